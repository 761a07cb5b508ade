package guard

import (
	"errors"
	"net/netip"
	"testing"
)

func TestWhichAddressesAreDialled(t *testing.T) {
	t.Parallel()
	for address, want := range map[string][2]error{ // by default, and with ALLOW_PRIVATE_TARGETS
		"93.184.215.14": {nil, nil}, "2606:4700::1111": {nil, nil}, "64:ff9b::5db8:d70e": {nil, nil},
		"127.0.0.1": {ErrPrivate, nil}, "127.255.0.9": {ErrPrivate, nil}, "::1": {ErrPrivate, nil}, "::ffff:127.0.0.1": {ErrPrivate, nil},
		"10.0.0.1": {ErrPrivate, nil}, "172.16.9.9": {ErrPrivate, nil}, "192.168.1.1": {ErrPrivate, nil}, "100.64.0.1": {ErrPrivate, nil},
		"fd12:3456::1": {ErrPrivate, nil}, "::ffff:10.0.0.1": {ErrPrivate, nil}, "64:ff9b::a00:1": {ErrPrivate, nil}, "64:ff9b::7f00:1": {ErrPrivate, nil},
		"0.0.0.0": {ErrSpecial, ErrSpecial}, "::": {ErrSpecial, ErrSpecial}, "224.0.0.1": {ErrSpecial, ErrSpecial}, "255.255.255.255": {ErrSpecial, ErrSpecial},
		"2001:db8::1": {ErrSpecial, ErrSpecial}, "2002:7f00:1::": {ErrSpecial, ErrSpecial}, "::127.0.0.1": {ErrSpecial, ErrSpecial}, "ff02::1": {ErrSpecial, ErrSpecial}, "fec0::1": {ErrSpecial, ErrSpecial},
		"169.254.169.254": {ErrNever, ErrNever}, "169.254.0.1": {ErrNever, ErrNever}, "::ffff:169.254.169.254": {ErrNever, ErrNever}, "64:ff9b::a9fe:a9fe": {ErrNever, ErrNever},
		"fe80::1": {ErrNever, ErrNever}, "fe80::1%eth0": {ErrNever, ErrNever}, "fd00:ec2::254": {ErrNever, ErrNever}, "fd20:ce::254": {ErrNever, ErrNever}, "100.100.100.200": {ErrNever, ErrNever}, "168.63.129.16": {ErrNever, ErrNever}, "192.0.0.192": {ErrNever, ErrNever},
	} {
		for i, allowed := range []bool{false, true} {
			at := netip.AddrPortFrom(netip.MustParseAddr(address), 8443).String()
			if err := Control(allowed)("tcp", at, nil); !errors.Is(err, want[i]) || want[i] == nil && err != nil {
				t.Errorf("%s, allowed %v: %v", address, allowed, err)
			}
		}
	}
	if Control(true)("tcp", "nonsense", nil) == nil {
		t.Error("nonsense is dialled")
	}
}
