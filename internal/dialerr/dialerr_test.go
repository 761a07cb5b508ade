package dialerr

import (
	"errors"
	"net"
	"testing"
)

func TestTheResolverIsNotNamed(t *testing.T) {
	t.Parallel()
	asked := &net.DNSError{Err: "no such host", Name: "hooks.example.com", Server: "10.1.2.3:53", IsNotFound: true}
	got := WithoutResolver(&net.OpError{Op: "dial", Net: "tcp", Err: asked})
	if got.Error() != "lookup hooks.example.com: no such host" || asked.Server == "" {
		t.Errorf("got %q", got)
	}
	if lookup, ok := errors.AsType[*net.DNSError](got); !ok || !lookup.IsNotFound {
		t.Errorf("it is another error: %#v", got)
	}
	if other := errors.New("refused"); WithoutResolver(other) != other {
		t.Error("another error was changed")
	}
}
