package probe

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

// registration is an answer in the form of RFC 9083, section 5.3.
func registration(t *testing.T, status []string, events ...string) string {
	t.Helper()
	type event struct {
		Action string `json:"eventAction"`
		Date   string `json:"eventDate"`
	}
	answer := map[string]any{"objectClassName": "domain", "handle": "X", "rdapConformance": []string{"rdap_level_0"}, "status": status}
	var all []event
	for i := 0; i < len(events); i += 2 {
		all = append(all, event{events[i], events[i+1]})
	}
	answer["events"] = all
	encoded, err := json.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}

func TestADomainDoesNotExpireSoon(t *testing.T) {
	t.Parallel()
	cz, err := os.ReadFile("testdata/example.cz.json") // as its registry published it
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2019, 7, 1, 12, 0, 0, 0, time.UTC)
	active := []string{"active"}
	answers := map[string]string{
		"example.cz":  string(cz),
		"soon.com":    registration(t, active, "registration", "1995-08-14T04:00:00Z", "expiration", "2019-07-21T12:00:00Z", "last update of RDAP database", "2019-07-01T11:59:00Z"),
		"over.com":    registration(t, active, "expiration", "2019-06-29T12:00:00Z"),
		"lost.com":    registration(t, []string{"Redemption Period"}, "expiration", "2020-06-29T12:00:00Z"),
		"silent.com":  registration(t, active, "registration", "1995-08-14T04:00:00Z"),
		"strange.com": registration(t, active, "expiration", "some day"),
		"web.com":     "<html>",
	}
	var lists, asked atomic.Int32
	var registry string
	handle := func(w http.ResponseWriter, r *http.Request) {
		switch name := r.PathValue("name"); {
		case r.URL.Path == "/dns.json":
			lists.Add(1)
			_, _ = fmt.Fprintf(w, `{"version":"1.0","publication":"2019-03-15T21:26:24Z","services":[[["cz","COM"],["%[1]s/wrong"]],[["com","cz"],["http://wrong.example/","%[1]s"]],[["uk"],["%[1]s/uk"]],[["co.uk"],["%[1]s/"]],[["nowhere"],[]],[]]}`, registry)
		case name == "busy.com":
			w.WriteHeader(http.StatusTooManyRequests)
		case name == "moved.com":
			http.Redirect(w, r, "/domain/example.cz", http.StatusMovedPermanently)
		case name == "private.com":
			http.Redirect(w, r, "http://169.254.169.254/", http.StatusMovedPermanently)
		case r.Header.Get("Accept") != "application/rdap+json" || answers[name] == "":
			asked.Add(1)
			http.NotFound(w, r)
		default:
			asked.Add(1)
			w.Header().Set("Content-Type", "application/rdap+json")
			_, _ = io.WriteString(w, answers[name])
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/dns.json", handle)
	mux.HandleFunc("/domain/{name}", handle)
	ca := newAuthority(t)
	server := secured(t, ca.certificate(t, nil), mux.ServeHTTP)
	registry = server.URL
	p := New(Options{Registries: server.URL + "/dns.json", Now: func() time.Time { return now }, roots: ca.pool})
	for _, c := range []struct {
		domain, want string
		unknown      bool
	}{
		{"example.cz", "", false}, {"domain://EXAMPLE.cz.", "", false}, {"moved.com", "", false},
		{"soon.com", "domain.days is 20; expected: domain.days > 30", false},
		{"over.com", "domain.days is -2; expected: domain.days > 30", false},
		{"lost.com", "RDAP: the domain's status is redemption period", false},
		{"gone.com", "RDAP: the domain isn't registered", false},
		{"shop.co.uk", "RDAP: the domain isn't registered", false},
		{"silent.com", "RDAP: the registry doesn't say when the domain expires", true},
		{"strange.com", "RDAP: the registry's answer can't be read", true},
		{"web.com", "RDAP: the registry's answer can't be read", true},
		{"busy.com", "RDAP: the registry answered 429", true},
		{"private.com", "RDAP: the registry can't be asked (Connection: the target leads to a link-local or metadata address, which is never dialled)", true},
		{"example.nowhere", "RDAP: no registry is known that answers for this domain", true},
		{"example.de", "RDAP: no registry is known that answers for this domain", true},
	} {
		r := do(t, p, Target{Kind: Domain, Address: c.domain})
		if r.Up != (c.want == "") || r.Unknown != c.unknown || r.Error.En != c.want || (r.Error.Ar == "") != r.Up {
			t.Errorf("%s: %+v instead of %q", c.domain, r, c.want)
		}
		if c.domain == "example.cz" && !r.Expires.Equal(time.Date(2019, 8, 30, 12, 0, 0, 0, time.UTC)) {
			t.Errorf("it expires %v", r.Expires)
		}
	}
	if lists.Load() != 1 {
		t.Errorf("the list was read %d times", lists.Load())
	}
	server.CloseClientConnections()
	server.Close()
	r := do(t, p, Target{Kind: Domain, Address: "example.cz"})
	if r.Up || !r.Unknown || r.Error.En != "RDAP: the registry can't be asked (Connection: refused: nothing listens there)" {
		t.Errorf("a registry that is down: %+v", r)
	}
	r = do(t, New(Options{Registries: server.URL}), Target{Kind: Domain, Address: "example.cz"})
	if r.Up || !r.Unknown || r.Error.En != "RDAP: the list of registries can't be had" {
		t.Errorf("without a list: %+v", r)
	}
}

// An old list is better than none, and one that can't be had isn't asked for again and again.
func TestAListOfRegistriesIsKept(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	var broken atomic.Bool
	server := plain(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.NotFound(w, r)
			return
		}
		asked.Add(1)
		if broken.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_, _ = fmt.Fprintf(w, `{"services":[[["com"],["http://%s"]]]}`, r.Host)
	})
	p := New(Options{Registries: server.URL})
	check := func(lists int32) {
		t.Helper()
		down(t, do(t, p, Target{Kind: Domain, Address: "gone.com"}), "RDAP: the domain isn't registered")
		if asked.Load() != lists {
			t.Errorf("the list was asked for %d times instead of %d", asked.Load(), lists)
		}
	}
	check(1)
	check(1)
	p.registries.read = p.registries.read.Add(-registriesKept)
	check(2)
	broken.Store(true)
	p.registries.read = p.registries.read.Add(-registriesKept)
	check(3)
	check(3)
}
