// Package identity says who is calling: a value carried in the request's
// context from the door to the rule that asks. It is a leaf; it knows neither
// how callers prove who they are nor what they may do.
package identity

import (
	"context"
	"net/netip"
	"slices"
)

// Role is what a person may do on the whole installation.
type Role string

// The roles.
const (
	User     Role = "user"     // has their own account and sessions
	Operator Role = "operator" // runs the installation
)

// Scope is what a program's key may do on its person's behalf.
type Scope string

// The scopes.
const (
	Read         Scope = "read"
	Write        Scope = "write"
	Worker       Scope = "worker"   // of an operator's: works at anybody's sessions, see Caller.IsWorker
	ScopeOperate Scope = "operator" // what the person may do as an operator
	Probe        Scope = "probe"    // of an operator's: sees what is watched, and hands in what was found
)

// MaxAgent bounds Caller.Agent, in bytes.
const MaxAgent = 200

// Caller is who sent a request. The zero Caller is a stranger.
type Caller struct {
	// UserID is the account; empty for a stranger.
	UserID string
	// Account is the e-mail address that the account is signed in to with, for limits
	// that count by account; empty for a stranger.
	Account string
	// LoginID is the login (device) the access token belongs to; empty for a
	// stranger and for an API key.
	LoginID string
	// Role is the account's role now, not when the token was made.
	Role Role
	// Scopes bound what an API key may do; nil for a person, who may do all
	// that the role allows.
	Scopes []Scope
	// KeyID is the API key that was sent; empty for a stranger and for a person.
	KeyID string
	// Address is the client's address, as far as the trusted proxies vouch.
	Address netip.Addr
	// Agent is what the client calls itself, at most MaxAgent bytes of text.
	Agent string
	// Alive tells whether the proof the caller came with still holds; long
	// streams ask it again and again. Nil for a stranger. It returns an error
	// when the login has ended or when that can't be told.
	Alive func(context.Context) error
}

// Known tells whether the caller has proved an account.
func (c Caller) Known() bool { return c.UserID != "" }

// AddressText is the address as it is written down; empty when it isn't known.
func (c Caller) AddressText() string {
	if !c.Address.IsValid() {
		return ""
	}
	return c.Address.String()
}

// Can tells whether the caller's proof reaches as far as scope.
func (c Caller) Can(scope Scope) bool {
	ofOperators := scope == ScopeOperate || scope == Probe || scope == Worker
	has := c.Scopes == nil || slices.Contains(c.Scopes, scope) || scope == Probe && slices.Contains(c.Scopes, ScopeOperate)
	return c.Known() && has && (!ofOperators || c.Role == Operator)
}

// IsWorker tells whether the caller is a part of the product that works at all sessions: a
// program with an operator's key of scope worker. No person is.
func (c Caller) IsWorker() bool { return c.KeyID != "" && c.Can(Worker) }

// Key is the key under which a context has a *Caller, for a context that carries
// one by itself.
type Key struct{}

// With returns a context that carries the caller.
func With(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, Key{}, &c)
}

// From returns the context's caller, a stranger when there is none.
func From(ctx context.Context) Caller {
	if c, ok := ctx.Value(Key{}).(*Caller); ok {
		return *c
	}
	return Caller{}
}
