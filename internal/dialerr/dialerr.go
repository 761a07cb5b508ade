// Package dialerr makes the errors of dialling fit for people.
package dialerr

import (
	"errors"
	"net"
)

// WithoutResolver is an error without the address of who was asked for a name, which is of
// the own network and says nothing of what is wrong.
func WithoutResolver(err error) error {
	lookup, ok := errors.AsType[*net.DNSError](err)
	if !ok {
		return err
	}
	own := *lookup // others may wait for the same answer
	own.Server = ""
	return &own
}
