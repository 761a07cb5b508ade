//go:build !unix

// Package nice lets this process stand back behind others.
package nice

// Down does nothing here.
func Down() {}
