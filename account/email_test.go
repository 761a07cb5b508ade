package account

import (
	"errors"
	"strings"
	"testing"
)

func TestAddressesAreBounded(t *testing.T) {
	t.Parallel()
	domain := func(n int) string { // of n bytes, in labels that DNS allows
		return strings.Repeat(strings.Repeat("d", 49)+".", n/50) + strings.Repeat("e", n%50)
	}
	local := strings.Repeat("a", maxLocalPart)
	for name, c := range map[string]struct {
		address string
		taken   bool
	}{
		"one letter":          {"a@example.com", true},
		"the longest local":   {local + "@example.com", true},
		"a longer one":        {local + "a@example.com", false},
		"the longest address": {local + "@" + domain(maxEmail-maxLocalPart-1), true},
		"a longer one in all": {local + "@" + domain(maxEmail-maxLocalPart), false},
	} {
		key, err := newEmailKey(c.address)
		if c.taken != (err == nil) || err != nil && !errors.Is(err, ErrInvalidEmail) {
			t.Errorf("%s: %v", name, err)
		}
		if c.taken && key != c.address {
			t.Errorf("%s: its key is %q", name, key)
		}
	}
}

func TestWhatIsNoAddressIsItsOwnKey(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{"Amal@Example.com": "amal@example.com", "Amal": "Amal", "": ""} {
		if got := EmailKey(address); got != want {
			t.Errorf("of %q it is %q", address, got)
		}
	}
}

// A name in letters of other scripts is longer in DNS than as it is written.
func TestADomainFitsIntoDNS(t *testing.T) {
	t.Parallel()
	labels := strings.Repeat("é.", 31) // eight bytes each, as in xn--9ca.
	key, err := emailKey("a@" + labels + "com.a")
	if err != nil || len(key) != len("a@")+253 {
		t.Errorf("its key has %d bytes: %v", len(key), err)
	}
	if key, err := emailKey("a@" + labels + "com.ab"); !errors.Is(err, ErrInvalidEmail) {
		t.Errorf("a longer one has the key %q: %v", key, err)
	}
}
