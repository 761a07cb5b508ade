// Package nice lowers the priority of this process, so that others go first.
package nice
