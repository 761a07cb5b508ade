// Command provider is an OpenID Connect provider for tests: the library of a
// real one, with clients, users and sessions in memory. It listens on a free
// port of 127.0.0.1 and prints its issuer. Its setup comes as JSON on standard
// input, and it ends when that is closed, so it never outlives who started it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
	"golang.org/x/text/language"
)

// setup is what the provider is told on standard input.
type setup struct {
	// ClientID is a client whose ID tokens carry the claims of its scopes,
	// SparseClientID one whose ID tokens leave them to the userinfo endpoint.
	ClientID       string
	SparseClientID string
	ClientSecret   string
	RedirectURL    string
	Users          []user
}

type user struct {
	Name     string
	Password string
	Email    string
	Subject  string
	Verified string // how email_verified is said, see complete
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "provider:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	var setup setup
	if err := json.NewDecoder(in).Decode(&setup); err != nil {
		return fmt.Errorf("read the setup: %w", err)
	}
	users, err := newUserStore(setup.Users)
	if err != nil {
		return err
	}

	// The port is held before the issuer, which names it, is made of it.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	issuer := "http://" + listener.Addr().String()
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	server := &http.Server{Handler: exampleop.SetupServer(issuer, newStore(setup, users), logger, false)}

	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	go func() {
		_, err := io.Copy(io.Discard, in)
		ended <- err
	}()
	if _, err := fmt.Fprintf(out, "issuer=%s\n", issuer); err != nil {
		return err
	}
	return <-ended
}

// store is the library's storage in memory, with clients that differ in what
// their ID tokens carry, and with claims as they are told of users.
type store struct {
	*storage.Storage
	sparseClientID string
	verified       map[string]string // by subject
}

func newStore(setup setup, users userStore) store {
	clients := map[string]*storage.Client{}
	for _, id := range []string{setup.ClientID, setup.SparseClientID} {
		clients[id] = storage.WebClient(id, setup.ClientSecret, setup.RedirectURL)
	}
	verified := map[string]string{}
	for _, u := range setup.Users {
		verified[u.Subject] = u.Verified
	}
	return store{storage.NewStorageWithClients(users, clients), setup.SparseClientID, verified}
}

func (s store) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	known, err := s.Storage.GetClientByClientID(ctx, id)
	if err != nil {
		return nil, err
	}
	return client{known, id != s.sparseClientID}, nil
}

func (s store) SetUserinfoFromRequest(ctx context.Context, info *oidc.UserInfo, request op.IDTokenRequest, scopes []string) error {
	err := s.Storage.SetUserinfoFromRequest(ctx, info, request, scopes)
	s.complete(info)
	return err
}

func (s store) SetUserinfoFromToken(ctx context.Context, info *oidc.UserInfo, tokenID, subject, origin string) error {
	err := s.Storage.SetUserinfoFromToken(ctx, info, tokenID, subject, origin)
	s.complete(info)
	return err
}

// complete takes off the space before the family name that nobody here has, and
// says of an email address whether it is verified, in the user's way.
func (s store) complete(info *oidc.UserInfo) {
	info.Name = strings.TrimSpace(info.Name)
	info.EmailVerified = false // which the library leaves out
	if info.Email == "" {
		return
	}
	ways := map[string]any{"": false, "true": true, "text": "true", "false-text": "false"}
	if said, ok := ways[s.verified[info.Subject]]; ok {
		info.AppendClaims("email_verified", said)
	}
}

type client struct {
	op.Client
	claimsInIDToken bool
}

func (c client) IDTokenUserinfoClaimsAssertion() bool { return c.claimsInIDToken }

type userStore []storage.User

func newUserStore(users []user) (userStore, error) {
	var known userStore
	for _, u := range users {
		if u.Name == "" || u.Password == "" || u.Subject == "" {
			return nil, errors.New("a user needs a name, a password and a subject")
		}
		if known.GetUserByUsername(u.Name) != nil || known.GetUserByID(u.Subject) != nil {
			return nil, errors.New("two users have the same name or subject")
		}
		known = append(known, storage.User{
			ID:                u.Subject,
			Username:          u.Name,
			Password:          u.Password,
			FirstName:         u.Name,
			Email:             u.Email,
			PreferredLanguage: language.English,
		})
	}
	return known, nil
}

func (s userStore) GetUserByID(id string) *storage.User {
	for i := range s {
		if s[i].ID == id {
			return &s[i]
		}
	}
	return nil
}

func (s userStore) GetUserByUsername(name string) *storage.User {
	for i := range s {
		if s[i].Username == name {
			return &s[i]
		}
	}
	return nil
}

// ExampleClientID is asked for by the library and concerns a grant that no
// client here has.
func (s userStore) ExampleClientID() string { return "" }
