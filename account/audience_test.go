package account

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"manus/identity"
	"manus/internal/clocktest"
)

// tokenMaker is a provider whose ID tokens say what a test wants: the real one that the
// other tests use makes none that are wrong.
type tokenMaker struct {
	*httptest.Server
	key    *rsa.PrivateKey
	claims map[string]any
}

func newTokenMaker(t *testing.T) *tokenMaker {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p, mux := &tokenMaker{key: key}, http.NewServeMux()
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	text := base64.RawURLEncoding.EncodeToString
	answer := func(pattern string, body func() any) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(body())
		})
	}
	answer("GET /.well-known/openid-configuration", func() any {
		return map[string]any{
			"issuer": p.URL, "authorization_endpoint": p.URL + "/auth", "token_endpoint": p.URL + "/token",
			"jwks_uri": p.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"},
		}
	})
	answer("GET /keys", func() any {
		return map[string]any{"keys": []any{map[string]string{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "1", "n": text(key.N.Bytes()), "e": "AQAB"}}}
	})
	answer("POST /token", func() any {
		return map[string]any{"access_token": "x", "token_type": "Bearer", "id_token": p.token(t)}
	})
	return p
}

func (p *tokenMaker) token(t *testing.T) string {
	text := base64.RawURLEncoding.EncodeToString
	claims, err := json.Marshal(p.claims)
	if err != nil {
		t.Error(err)
	}
	signed := text([]byte(`{"alg":"RS256","kid":"1"}`)) + "." + text(claims)
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, p.key, crypto.SHA256, sum[:])
	if err != nil {
		t.Error(err)
	}
	return signed + "." + text(signature)
}

// A token that others may have got proves nobody (OpenID Connect Core 1.0, 3.1.3.7).
func TestATokenForOthersTooIsRefused(t *testing.T) {
	t.Parallel()
	p, clock := newTokenMaker(t), clocktest.New()
	clock.Set(time.Now())
	b := copyOf(t, testStore(t), clock, []string{secretA}, func(c *Config) {
		c.Providers = []Provider{{ID: "test", Name: "Test", Issuer: p.URL, ClientID: "cid", RedirectURLs: []string{redirect}}}
	})
	for _, c := range []struct {
		audience, party any
		want            error
	}{
		{"cid", nil, nil}, {[]string{"cid"}, nil, nil}, {"cid", "cid", nil},
		{[]string{"cid", "other"}, nil, errProvider}, {[]string{"other", "cid"}, "cid", errProvider},
		{"other", nil, errProvider}, {"cid", "other", errProvider}, {[]string{}, nil, errProvider},
	} {
		authURL, ticket, err := b.BeginProvider(t.Context(), "test", "", identity.Caller{})
		if err != nil {
			t.Fatal(err)
		}
		asked, err := url.Parse(authURL)
		if err != nil {
			t.Fatal(err)
		}
		p.claims = map[string]any{
			"iss": p.URL, "sub": "s-1", "aud": c.audience, "nonce": asked.Query().Get("nonce"),
			"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(), "email": email, "email_verified": true,
		}
		if c.party != nil {
			p.claims["azp"] = c.party
		}
		_, err = b.FinishProvider(t.Context(), ProviderAnswer{Ticket: ticket, Code: "code", State: asked.Query().Get("state")})
		if !errors.Is(err, c.want) {
			t.Errorf("for %v, made for %v: %v", c.audience, c.party, err)
		}
	}
}
