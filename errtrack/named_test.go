package errtrack

import (
	"errors"
	"testing"

	"manus/internal/storetest"
)

// TestNamesThatMeanSomethingElse: a path, an address of a script, and another project's number.
func TestNamesThatMeanSomethingElse(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"..", ".", "/1.0", "1.0/", "a\n"} {
		if err := checkVersion(version); !errors.Is(err, ErrInvalid) {
			t.Errorf("a release is called %q: %v", version, err)
		}
	}
	for address, want := range map[string]string{"https://ci.example.com/1": "https://ci.example.com/1", "javascript:alert(1)": "", "https:x": "", "//a": ""} {
		if got := webPage(address); got != want {
			t.Errorf("%q is kept as %q", address, got)
		}
	}
	r := newRig(t, storetest.New(t, Specs()...))
	if _, err := r.NewProject(t.Context(), "2", ""); !errors.Is(err, ErrInvalid) {
		t.Errorf("a project is called by a number: %v", err)
	}
	if _, err := r.NewProject(t.Context(), "shop2", ""); err != nil {
		t.Error(err)
	}
}
