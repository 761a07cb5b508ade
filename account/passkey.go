package account

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"manus/docstore"
	"manus/httpapi"
)

// passkey is a WebAuthn credential (W3C Web Authentication, level 3).
type passkey struct {
	ID         string        `json:"id"` // base64url
	Name       string        `json:"name"`
	Credential []byte        `json:"credential"` // JSON of a webauthn.Credential: public key, counter, flags
	CreatedAt  docstore.Time `json:"created_at"`
	UsedAt     docstore.Time `json:"used_at,omitzero"`
	// SecondFactor makes the account need a second factor.
	SecondFactor bool `json:"second_factor,omitempty"`
}

// maxPasskeys bounds the passkeys of one account.
const maxPasskeys = 20

// ceremony is what is remembered between the two halves of using a passkey or
// of signing in with a provider.
type ceremony struct {
	ID      string        `json:"_id"`
	UserID  string        `json:"user_id,omitempty"` // empty where it isn't known yet
	Kind    ceremonyKind  `json:"kind"`
	Data    []byte        `json:"data"`
	Expires docstore.Time `json:"expires_at"`
}

// DocumentID is the ceremony's id.
func (c ceremony) DocumentID() string { return c.ID }

type ceremonyKind string

const (
	ceremonyAddPasskey ceremonyKind = "add-passkey"
	ceremonyUsePasskey ceremonyKind = "use-passkey"
	ceremonyProvider   ceremonyKind = "provider"
)

var ceremonySpec = docstore.Spec{Collection: "ceremonies", Of: ceremony{}, Transient: true, Indexes: []docstore.Index{
	{Name: "by_expiry", Fields: []string{"expires_at"}},
}}

const ceremonyLifetime = 10 * time.Minute

// errCeremony is returned for the second half of a ceremony that isn't under
// way, or went wrong.
var errCeremony = errors.New("the ceremony isn't under way, or not any more")

// begin remembers a ceremony under a new id.
func (s *Service) begin(ctx context.Context, id string, kind ceremonyKind, userID string, data any) error {
	encoded, err := json.Marshal(data)
	if err != nil {
		return err
	}
	return s.ceremonies.Insert(ctx, ceremony{ID: id, Kind: kind, UserID: userID, Data: encoded, Expires: docstore.At(s.c.Now().Add(ceremonyLifetime))})
}

// finish takes a ceremony, so that nobody can finish it again.
func (s *Service) finish(ctx context.Context, id string, kind ceremonyKind, userID string, data any) error {
	c, err := s.ceremonies.Update(ctx, id, func(c *ceremony) error {
		if c.Kind != kind || c.UserID != userID || !s.c.Now().Before(c.Expires.Time) {
			return errCeremony
		}
		return docstore.ErrRemoved
	})
	if err != nil {
		return docstore.NotFoundAs(err, errCeremony)
	}
	return json.Unmarshal(c.Data, data)
}

// newRelyingParty makes the one that passkeys are bound to: the host of the public
// URL, with a name for people, nil where it can't be: without one, or where the host is an address or a name that
// browsers bind no passkeys to. They may be used at that URL and at the origins.
func newRelyingParty(publicURL, name string, origins []string) (*webauthn.WebAuthn, error) {
	if publicURL == "" {
		return nil, nil
	}
	parsed, err := url.Parse(publicURL)
	if err != nil || parsed.Hostname() == "" {
		return nil, fmt.Errorf("account: the public URL can't be read")
	}
	if protocol.ValidateRPID(parsed.Hostname()) != nil {
		return nil, nil
	}
	c := webauthn.Config{RPID: parsed.Hostname(), RPDisplayName: cmp.Or(name, "Manus"), RPOrigins: []string{publicURL}}
	for _, origin := range origins {
		if strings.HasPrefix(origin, "android:") {
			c.RPOpaqueOrigins = append(c.RPOpaqueOrigins, origin)
		} else {
			c.RPOrigins = append(c.RPOrigins, origin)
		}
	}
	w, err := webauthn.New(&c)
	if err != nil {
		return nil, fmt.Errorf("account: passkeys: %w", err)
	}
	return w, nil
}

// relyingParty is the one that an answer from an origin is checked by.
func (s *Service) relyingParty(origin string) *webauthn.WebAuthn {
	if u, err := url.Parse(origin); !s.c.LocalOrigins || err != nil || u.Scheme != "http" || u.Hostname() != "localhost" {
		return s.passkeys
	}
	local := *s.passkeys.Config
	local.RPOrigins = append(slices.Clone(local.RPOrigins), origin)
	return &webauthn.WebAuthn{Config: &local}
}

// serveOrigins tells browsers where else than on its host passkeys may be used
// (Related Origin Requests, W3C Web Authentication, level 3, 5.11.1).
func (s *Service) serveOrigins(w http.ResponseWriter, r *http.Request) {
	if s.passkeys == nil {
		httpapi.WriteError(w, r, Kinds, errNoPasskeys)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string][]string{"origins": s.passkeys.Config.RPOrigins}) // who has left gets nothing
}

// errBadPasskey is returned where a passkey doesn't sign in, whatever is wrong with it.
var errBadPasskey = errors.New("the passkey isn't taken")

// errNoPasskeys is returned where no public URL is configured, or one that passkeys can't
// be bound to.
var errNoPasskeys = errors.New("passkeys need a public URL with a domain name")

// passkeyUser is an account as the library sees it.
type passkeyUser struct{ User }

// WebAuthnID is the user handle.
func (u passkeyUser) WebAuthnID() []byte { return []byte(u.ID) }

// WebAuthnName is what tells accounts apart on the authenticator.
func (u passkeyUser) WebAuthnName() string { return u.Email }

// WebAuthnDisplayName is the person's name.
func (u passkeyUser) WebAuthnDisplayName() string { return u.FullName }

// WebAuthnCredentials are the account's passkeys.
func (u passkeyUser) WebAuthnCredentials() []webauthn.Credential {
	var all []webauthn.Credential
	for _, p := range u.Passkeys {
		var c webauthn.Credential
		if json.Unmarshal(p.Credential, &c) == nil {
			all = append(all, c)
		}
	}
	return all
}

// beginPasskey begins to add a passkey: the options go to the browser.
func (s *Service) beginPasskey(ctx context.Context, userID string) (id string, options any, err error) {
	if s.passkeys == nil {
		return "", nil, errNoPasskeys
	}
	user, err := s.Get(ctx, userID)
	if err != nil {
		return "", nil, err
	}
	known := webauthn.Credentials(passkeyUser{user}.WebAuthnCredentials())
	creation, session, err := s.passkeys.BeginRegistration(passkeyUser{user},
		webauthn.WithExclusions(known.CredentialDescriptors()),
		webauthn.WithAuthenticatorSelection(protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementRequired, UserVerification: protocol.VerificationRequired,
		}))
	if err != nil {
		return "", nil, err
	}
	id = docstore.NewID()
	return id, creation.Response, s.begin(ctx, id, ceremonyAddPasskey, userID, session)
}

// addPasskey keeps the passkey that the browser has made. With secondFactor the
// account needs a second factor from then on; recovery codes are returned if it
// had none. Fresh was passed at beginPasskey.
func (s *Service) addPasskey(ctx context.Context, userID, loginID, name string, secondFactor bool, answer PasskeyAnswer) (added passkey, codes []string, err error) {
	if s.passkeys == nil {
		return passkey{}, nil, errNoPasskeys
	}
	var session webauthn.SessionData
	if err := s.finish(ctx, answer.CeremonyID, ceremonyAddPasskey, userID, &session); err != nil {
		return passkey{}, nil, err
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes([]byte(answer.Credential))
	if err != nil {
		return passkey{}, nil, errCeremony
	}
	user, err := s.Get(ctx, userID)
	if err != nil {
		return passkey{}, nil, err
	}
	credential, err := s.relyingParty(parsed.Response.CollectedClientData.Origin).CreateCredential(passkeyUser{user}, session, parsed)
	if err != nil {
		return passkey{}, nil, errCeremony
	}
	encoded, err := json.Marshal(credential)
	if err != nil {
		return passkey{}, nil, err
	}
	added = passkey{ID: parsed.ID, Name: name, Credential: encoded, CreatedAt: docstore.At(s.c.Now()), SecondFactor: secondFactor}
	err = s.updateNoting(ctx, userID, eventPasskeyAdded, func(u *User) error {
		codes = nil
		if len(u.Passkeys) >= maxPasskeys {
			return errTooManyPasskeys
		}
		needed := u.needsSecondFactor()
		u.Passkeys = append(u.Passkeys, added)
		if !needed && u.needsSecondFactor() {
			codes = u.newRecoveryCodes()
			u.endLogins(loginID)
		}
		return nil
	})
	return added, codes, err
}

var errTooManyPasskeys = errors.New("the account has as many passkeys as one can have")

// removePasskey removes a passkey and ends every other login. Its caller has
// passed StepUp.
func (s *Service) removePasskey(ctx context.Context, userID, loginID, id string) error {
	linked, err := s.identitiesOf(ctx, userID)
	if err != nil {
		return err
	}
	return s.updateNoting(ctx, userID, eventPasskeyRemoved, func(u *User) error {
		i := slices.IndexFunc(u.Passkeys, func(p passkey) bool { return p.ID == id })
		if i < 0 {
			return errNoFactor
		}
		u.Passkeys = slices.Delete(u.Passkeys, i, i+1)
		if !u.hasWayIn(linked) {
			return errLastWayIn
		}
		if !u.needsSecondFactor() {
			u.Recovery = nil
		}
		u.endLogins(loginID)
		return nil
	})
}

// PasskeyAnswer is what a browser answers to the options of beginPasskey or
// beginPasskeyUse.
type PasskeyAnswer struct {
	CeremonyID string
	Credential string // JSON
}

// beginPasskeyUse begins to sign in or to step up with a passkey. It asks for any
// passkey of this service, so it reveals nothing about any account.
func (s *Service) beginPasskeyUse(ctx context.Context) (id string, options any, err error) {
	if s.passkeys == nil {
		return "", nil, errNoPasskeys
	}
	assertion, session, err := s.passkeys.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return "", nil, err
	}
	id = docstore.NewID()
	return id, assertion.Response, s.begin(ctx, id, ceremonyUsePasskey, "", session)
}

// LoginWithPasskey signs in with a passkey, which is two factors in one: the
// authenticator and what it asks its owner for. It returns errBadPasskey.
func (s *Service) LoginWithPasskey(ctx context.Context, answer PasskeyAnswer) (Tokens, error) {
	user, err := s.takePasskey(ctx, "", answer)
	if errors.Is(err, ErrWrongPassword) || err == nil && user.Disabled {
		return Tokens{}, errBadPasskey
	}
	if err != nil {
		return Tokens{}, err
	}
	return s.start(ctx, user)
}

// takePasskey checks an answer, which has to be of the account when userID is
// given, and returns the account it proves. It returns ErrWrongPassword.
func (s *Service) takePasskey(ctx context.Context, userID string, answer PasskeyAnswer) (User, error) {
	if s.passkeys == nil {
		return User{}, errNoPasskeys
	}
	var session webauthn.SessionData
	err := s.finish(ctx, answer.CeremonyID, ceremonyUsePasskey, "", &session)
	if errors.Is(err, errCeremony) {
		return User{}, ErrWrongPassword
	}
	if err != nil {
		return User{}, err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes([]byte(answer.Credential))
	if err != nil {
		return User{}, ErrWrongPassword
	}
	var found User
	var storeErr error
	credential, err := s.relyingParty(parsed.Response.CollectedClientData.Origin).ValidateDiscoverableLogin(func(_, handle []byte) (webauthn.User, error) {
		if found, storeErr = s.users.Get(ctx, string(handle)); storeErr != nil {
			return nil, storeErr
		}
		return passkeyUser{found}, nil
	}, session, parsed)
	switch {
	case storeErr != nil && !errors.Is(storeErr, docstore.ErrNotFound):
		return User{}, storeErr
	case err != nil, userID != "" && found.ID != userID, credential.Authenticator.CloneWarning:
		return User{}, ErrWrongPassword
	}
	return s.usedPasskey(ctx, found.ID, credential)
}

// usedPasskey keeps the passkey's counter, which never goes back.
func (s *Service) usedPasskey(ctx context.Context, userID string, credential *webauthn.Credential) (User, error) {
	encoded, err := json.Marshal(credential)
	if err != nil {
		return User{}, err
	}
	return s.update(ctx, userID, func(u *User) error {
		for i := range u.Passkeys {
			var stored webauthn.Credential
			if json.Unmarshal(u.Passkeys[i].Credential, &stored) != nil || !bytes.Equal(stored.ID, credential.ID) {
				continue
			}
			if stored.Authenticator.SignCount > credential.Authenticator.SignCount {
				return ErrWrongPassword // another use came first
			}
			u.Passkeys[i].Credential, u.Passkeys[i].UsedAt = encoded, docstore.At(s.c.Now())
			return nil
		}
		return ErrWrongPassword // it has been removed
	})
}
