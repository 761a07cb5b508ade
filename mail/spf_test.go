package mail

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
)

// A record is a stranger's: whatever it says it is read to its end, asks no more than it may, and who
// lets everybody send is not said to name somebody.
func FuzzSPF(f *testing.F) {
	for _, record := range []string{
		"v=spf1 include:_spf.example.net a mx//64 -all", "v=spf1 exists:%{i}.x redirect=%{d}", "v=spf1 ip4:0.0.0.0/1 ip6:::/0 ?all",
		"v=spf1 ptr a:x/33 all all", "v=spf1 redirect=a redirect=b", "v=spf1 " + strings.Repeat("include:%{i} ", 20), "v=spf1 =",
	} {
		f.Add(record)
	}
	silent := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("silent") }}
	f.Fuzz(func(t *testing.T, record string) {
		r := &spfReader{PromisesConfig: PromisesConfig{Resolver: silent}}
		s, err := r.read(t.Context(), "example.com", spfBegin+" "+record)
		if r.lookups > maxLookups+1 || r.void > maxVoid+1 {
			t.Errorf("%q: %d questions, %d without an answer", record, r.lookups, r.void)
		}
		if err == nil && s.others == '+' && s.everybody == "" {
			t.Errorf("%q lets everybody send, and is read as %+v", record, s)
		}
	})
}
