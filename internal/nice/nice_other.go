//go:build !unix

package nice

// Down does nothing here.
func Down() {}
