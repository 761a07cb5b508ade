package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"manus/account"
)

func TestTheProductHasItsOwnName(t *testing.T) {
	t.Parallel()
	logo := filepath.Join(t.TempDir(), "logo.svg")
	if err := os.WriteFile(logo, []byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Load(Source{Environ: enough("PRODUCT_NAME=Tea", "PRODUCT_NAME_AR=شاي", "SUPPORT_EMAIL=help@tea.example", "LOGO_FILE="+logo, "REGISTRATION=closed", "REGISTRATION_DOMAINS=Tea.example, example.org")})
	if err != nil {
		t.Fatal(err)
	}
	p := s.Product
	if p.Name.En != "Tea" || p.Name.Ar != "شاي" || p.Support != "help@tea.example" || p.Logo.Type != "image/svg+xml" {
		t.Errorf("got %+v", p)
	}
	if s.Registration.Mode != account.Closed || strings.Join(s.Registration.Domains, " ") != "tea.example example.org" {
		t.Errorf("got %+v", s.Registration)
	}
	for set, want := range map[string]string{
		"PRODUCT_NAME=" + strings.Repeat("a", 101): "PRODUCT_NAME: is no name",
		"SUPPORT_EMAIL=Help <h@x.test>":            "SUPPORT_EMAIL: is not an e-mail address",
		"LOGO_FILE=/nowhere.svg":                   "LOGO_FILE: the file can't be read; check the path",
		"REGISTRATION=sometimes":                   "REGISTRATION: is not a way to register",
		"REGISTRATION=invited":                     "REGISTRATION: is invited, but SMTP_URL is not set",
		"REGISTRATION_DOMAINS=@x":                  "REGISTRATION_DOMAINS: entry 1 is not a domain",
	} {
		if _, err := Load(Source{Environ: enough(set)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", set, err)
		}
	}
}
