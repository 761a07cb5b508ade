package account

import (
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// A hash in the store may be of other costs than today's, but of none that take the
// machine or that are no protection.
func TestStoredHashesAreReadWithinBounds(t *testing.T) {
	t.Parallel()
	text := func(n int) string { return base64.RawStdEncoding.EncodeToString(make([]byte, n)) }
	hash := func(memory, time, threads, salt, digest int) string {
		return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", memory, time, threads, text(salt), text(digest))
	}
	padded := func(length int) string { // the same numbers, with zeros before them
		plain := hash(8, 1, 1, 8, 16)
		return strings.Replace(plain, "m=", "m="+strings.Repeat("0", length-len(plain)), 1)
	}
	for stored, read := range map[string]bool{
		hash(19*1024, 2, 1, 16, 32):                              true,
		hash(256*1024, 10, 4, 64, 64):                            true,
		hash(256*1024+1, 2, 1, 16, 32):                           false,
		hash(19*1024, 11, 1, 16, 32):                             false,
		hash(19*1024, 2, 5, 16, 32):                              false,
		hash(8, 1, 1, 8, 16):                                     true,
		hash(7, 1, 1, 8, 16):                                     false,
		hash(16, 1, 2, 8, 16):                                    true,
		hash(15, 1, 2, 8, 16):                                    false, // argon2 needs eight times the threads
		hash(8, 0, 1, 8, 16):                                     false,
		hash(8, 1, 0, 8, 16):                                     false,
		hash(8, 1, 1, 7, 16):                                     false,
		hash(8, 1, 1, 65, 16):                                    false,
		hash(8, 1, 1, 8, 15):                                     false,
		hash(8, 1, 1, 8, 65):                                     false,
		hash(8, 1, 1, 8, 16) + "$":                               false,
		strings.Replace(hash(8, 1, 1, 8, 16), "v=19", "v=16", 1): false,
		strings.Replace(hash(8, 1, 1, 8, 16), "argon2id", "argon2i", 1): false,
		strings.Replace(hash(8, 1, 1, 8, 16), "m=8,", "m=eight,", 1):    false,
		hash(8, 1, 1, 8, 16)[:len(hash(8, 1, 1, 8, 16))-1] + "!":        false,
		padded(512): true,
		padded(513): false,
		"":          false,
	} {
		if _, _, _, ok := parseHash(stored); ok != read {
			t.Errorf("%q is read: %v", stored, ok)
		}
	}
}

func TestHashingLeavesAProcessorToEverythingElse(t *testing.T) {
	t.Parallel()
	processors := runtime.GOMAXPROCS(0)
	if n := setup(t).hasher.capacity / int64(current.memory); n < 1 || n >= int64(max(2, processors)) {
		t.Errorf("of %d processors %d hash", processors, n)
	}
}
