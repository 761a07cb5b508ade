package probe

import (
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"manus/language"
)

const (
	// ianasRegistries is the list of registries that answer RDAP (RFC 9224).
	ianasRegistries = "https://data.iana.org/rdap/dns.json"
	registriesKept  = 24 * time.Hour
	maxRegistries   = 1 << 20
	maxRegistration = 512 << 10
	rdapRedirects   = 5
)

// registries is who knows the domains below which ending.
type registries struct {
	address string
	turn    chan struct{} // one check at a time asks for the list

	mu       sync.Mutex
	services map[string]string // the address of the registry, by the ending
	read     time.Time
}

func newRegistries(address string) *registries {
	return &registries{address: cmp.Or(address, ianasRegistries), turn: make(chan struct{}, 1)}
}

// of is the address of a domain's registry; empty where the list has none.
func (r *registries) of(domain string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for rest := domain; rest != ""; _, rest, _ = strings.Cut(rest, ".") { // the longest ending
		if address, ok := r.services[rest]; ok {
			return address
		}
	}
	return ""
}

// refresh reads the list where it is missing or old. One that can't be had leaves the old
// one.
func (r *registries) refresh(a *attempt) error {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-a.ctx.Done():
		return a.ctx.Err()
	}
	r.mu.Lock()
	known, fresh := r.services != nil, time.Since(r.read) < registriesKept
	r.mu.Unlock()
	if known && fresh {
		return nil
	}
	services, err := a.fetchRegistries(r.address)
	if err != nil && !known {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.read = time.Now() // also of one that can't be had, which isn't asked for at each check
	if err == nil {
		r.services = services
	}
	return nil
}

// fetchRegistries reads the list in the form of RFC 9224.
func (a *attempt) fetchRegistries(address string) (map[string]string, error) {
	status, body, err := a.get(address, "application/json", maxRegistries)
	var list struct {
		Services [][][]string `json:"services"`
	}
	if err != nil || status != http.StatusOK || json.Unmarshal(body, &list) != nil {
		return nil, ownFault("RDAP: the list of registries can't be had", "RDAP: تعذّر الحصول على قائمة السجلات")
	}
	services := map[string]string{}
	for _, service := range list.Services {
		if len(service) != 2 {
			continue
		}
		address := preferred(service[1])
		for _, ending := range service[0] {
			services[strings.ToLower(ending)] = address
		}
	}
	return services, nil
}

// preferred is the address of several that is encrypted, with a slash at its end.
func preferred(addresses []string) string {
	i := slices.IndexFunc(addresses, func(address string) bool { return strings.HasPrefix(address, "https:") })
	if i < 0 {
		i = 0
	}
	if len(addresses) == 0 {
		return ""
	}
	return strings.TrimSuffix(addresses[i], "/") + "/"
}

// get reads what an address has.
func (a *attempt) get(address, accept string, most int64) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(a.ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("User-Agent", a.agent)
	req.Header.Set("Accept", accept)
	response, err := a.exchange(req, rdapRedirects)
	if err != nil {
		return 0, nil, err
	}
	body, err = io.ReadAll(io.LimitReader(response.Body, most))
	return response.StatusCode, body, err
}

// domain asks the registry. What becomes of that says nothing of the target unless the
// registry says so.
func (a *attempt) domain() error {
	err := a.askRegistry()
	if err == nil || a.parent.Err() != nil {
		return err
	}
	f := a.explain(err)
	if strings.HasPrefix(f.text.En, "RDAP: ") {
		return f
	}
	return &fault{unknown: true, text: language.Text{
		En: "RDAP: the registry can't be asked (" + f.text.En + ")",
		Ar: "RDAP: تعذّر سؤال السجل (" + f.text.Ar + ")",
	}}
}

func (a *attempt) askRegistry() error {
	if err := a.registries.refresh(a); err != nil {
		return err
	}
	registry := a.registries.of(a.host)
	if registry == "" {
		return ownFault("RDAP: no registry is known that answers for this domain", "RDAP: لا يوجد سجل معروف يجيب عن هذا النطاق")
	}
	status, body, err := a.get(registry+"domain/"+url.PathEscape(a.host), "application/rdap+json", maxRegistration)
	switch {
	case err != nil:
		return err
	case status == http.StatusNotFound:
		return newFault("RDAP: the domain isn't registered", "RDAP: النطاق غير مسجَّل")
	case status != http.StatusOK:
		return ownFault("RDAP: the registry answered %d", "RDAP: رد السجل بالرمز %d", status)
	}
	return a.registered(body)
}

// registered reads a registration (RFC 9083, section 5.3).
func (a *attempt) registered(body []byte) error {
	var registration struct {
		Status []string `json:"status"`
		Events []struct {
			Action string    `json:"eventAction"`
			Date   time.Time `json:"eventDate"`
		} `json:"events"`
	}
	if json.Unmarshal(body, &registration) != nil {
		return ownFault("RDAP: the registry's answer can't be read", "RDAP: تعذّرت قراءة رد السجل")
	}
	for _, status := range registration.Status {
		if slices.Contains(lost, strings.ToLower(status)) {
			return newFault("RDAP: the domain's status is %s", "RDAP: حالة النطاق هي %s", strings.ToLower(status))
		}
	}
	for _, event := range registration.Events {
		if event.Action == "expiration" {
			a.seen.DomainDays = a.expiresAt(event.Date)
			return nil
		}
	}
	return ownFault("RDAP: the registry doesn't say when the domain expires", "RDAP: لا يذكر السجل متى تنتهي صلاحية النطاق")
}

// lost are the statuses (RFC 8056) of a domain that its names have been taken from, as after it expired.
var lost = []string{"redemption period", "pending delete", "client hold", "server hold"}
