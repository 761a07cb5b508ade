// Package oidctest gives tests a real OpenID Connect provider, which runs as a
// process of its own. The program is in the folder provider, a module of its
// own that the product doesn't depend on.
package oidctest

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Provider is a running OpenID Connect provider with two confidential clients,
// which have one secret and one redirect URL in common.
type Provider struct {
	// Issuer is the provider's issuer identifier, http://127.0.0.1:PORT. Its
	// discovery document is at Issuer + "/.well-known/openid-configuration".
	Issuer string
	// ClientID is a client whose ID tokens carry the claims of the scopes
	// profile and email, as those of most large providers do.
	ClientID string
	// SparseClientID is a client whose ID tokens name the subject only, as the
	// standard has it when there is an access token: the claims of the scopes
	// are at the userinfo endpoint.
	SparseClientID string
	// ClientSecret is the secret of both clients.
	ClientSecret string

	redirectURL string
}

// User is a person known to the provider.
type User struct {
	// Name is what the person fills in to sign in; it becomes the claims name
	// and preferred_username.
	Name string
	// Password is what the person signs in with.
	Password string
	// Email becomes the claim email.
	Email string
	// Subject becomes the claim sub.
	Subject string
	// Verified becomes the claim email_verified.
	Verified Verified
}

// Verified is how a provider says whether it has verified an address.
type Verified string

// What is said as text isn't as the standard has it, but as some providers do.
const (
	VerifiedFalse     Verified = ""
	VerifiedTrue      Verified = "true"
	VerifiedText      Verified = "text"
	VerifiedFalseText Verified = "false-text"
	VerifiedUnsaid    Verified = "unsaid"
)

// Start runs a provider that knows the users and sends browsers back to
// redirectURL only. Its process is killed, and waited for, when t ends; what it
// logged is shown if t failed. The program is built when it isn't in the build
// cache. Every user needs a name, a password and a subject of their own.
func Start(t testing.TB, redirectURL string, users ...User) *Provider {
	t.Helper()
	provider := &Provider{
		ClientID:       "claims-in-id-token",
		SparseClientID: "claims-at-userinfo",
		ClientSecret:   rand.Text(),
		redirectURL:    redirectURL,
	}
	setup, err := json.Marshal(map[string]any{
		"ClientID":       provider.ClientID,
		"SparseClientID": provider.SparseClientID,
		"ClientSecret":   provider.ClientSecret,
		"RedirectURL":    redirectURL,
		"Users":          users,
	})
	if err != nil {
		t.Fatal(err)
	}
	program, err := build()
	if err != nil {
		t.Fatal(err)
	}
	provider.Issuer = run(t, program, setup)
	return provider
}

// run starts the program, killed when t ends, and returns the issuer that it
// prints. The program's input stays open as long as this process lives: its end
// ends the program even when a crash of the test leaves nobody to kill it.
func run(t testing.TB, program string, setup []byte) string {
	t.Helper()
	command := exec.Command(program)
	var log bytes.Buffer
	command.Stderr = &log
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Neither has anything to say: a killed process has failed, and one that
		// has failed can't be killed.
		_ = command.Process.Kill()
		_ = command.Wait()
		if t.Failed() {
			t.Logf("the provider logged:\n%s", &log)
		}
	})
	if _, err := in.Write(setup); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	issuer, ok := strings.CutPrefix(strings.TrimSpace(line), "issuer=")
	if err != nil || !ok {
		t.Fatalf("the provider printed %q instead of its issuer: %v", line, err)
	}
	return issuer
}

// build is the path of the provider's program in the build cache, which it is
// built into if need be.
var build = sync.OnceValues(func() (string, error) {
	dir, err := providerDir()
	if err != nil {
		return "", err
	}
	command := exec.Command("go", "tool", "-C", dir, "-n", "provider")
	command.Env = append(os.Environ(), "GOWORK=off")
	var log bytes.Buffer
	command.Stderr = &log
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("build the provider: %w\n%s", err, &log)
	}
	return strings.TrimSpace(string(out)), nil
})

// providerDir finds the provider's module from the folder that the test runs
// in, which is its package's.
func providerDir() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		provider := filepath.Join(dir, "internal", "oidctest", "provider")
		if _, err := os.Stat(filepath.Join(provider, "go.mod")); err == nil {
			return provider, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no folder above this one has internal/oidctest/provider")
		}
		dir = parent
	}
}

// SignIn does what a browser would: it opens the authorization URL, fills in the
// provider's sign-in form and follows the redirects until it is sent to the
// redirect URL. It returns that URL's query without opening it: the code and
// the state, or the error with which the provider sends the browser back. It
// ends the test if the browser stays with the provider: the password is wrong,
// or the request is one that no client may send.
func (p *Provider) SignIn(t testing.TB, authURL, user, password string) url.Values {
	t.Helper()
	query, err := p.signIn(t.Context(), authURL, user, password)
	if err != nil {
		t.Fatal(err)
	}
	return query
}
