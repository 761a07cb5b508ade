package oidctest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

var (
	ada = User{Name: "ada", Password: "analytical", Email: "ada@example.com", Subject: "subject-of-ada", Verified: VerifiedTrue}
	bob = User{Name: "bob", Password: "unverifiable", Email: "bob@example.com", Subject: "subject-of-bob"}
)

func TestPeopleSignIn(t *testing.T) {
	t.Parallel()
	provider := start(t)
	for _, user := range []User{ada, bob} {
		flow := newFlow(t, provider, provider.ClientID)
		back := provider.SignIn(t, flow.authURL(), user.Name, user.Password)
		if back.Get("state") != flow.state {
			t.Fatalf("the state came back as %q, not %q", back.Get("state"), flow.state)
		}
		tokens := flow.exchange(back.Get("code"), flow.verifier, http.StatusOK)
		claims := flow.claims(tokens.IDToken)
		userinfo := jwt.MapClaims{}
		flow.get(flow.UserinfoEndpoint, tokens.AccessToken, &userinfo)
		if claims["nonce"] != flow.nonce {
			t.Errorf("the nonce came back as %v, not %q", claims["nonce"], flow.nonce)
		}
		for from, claims := range map[string]jwt.MapClaims{"the ID token": claims, "userinfo": userinfo} {
			want := map[string]any{
				"sub": user.Subject, "name": user.Name, "preferred_username": user.Name,
				"email": user.Email, "email_verified": user.Verified == VerifiedTrue,
			}
			for claim, value := range want {
				if claims[claim] != value {
					t.Errorf("%s of %s says %s is %v, not %v", from, user.Name, claim, claims[claim], value)
				}
			}
		}
		flow.exchange(back.Get("code"), flow.verifier, http.StatusBadRequest)
	}
}

func TestSparseIDTokensLeaveTheClaimsToUserinfo(t *testing.T) {
	t.Parallel()
	provider := start(t)
	flow := newFlow(t, provider, provider.SparseClientID)
	back := provider.SignIn(t, flow.authURL(), ada.Name, ada.Password)
	tokens := flow.exchange(back.Get("code"), flow.verifier, http.StatusOK)
	claims := flow.claims(tokens.IDToken)
	if claims["sub"] != ada.Subject || claims["email"] != nil || claims["email_verified"] != nil {
		t.Errorf("the ID token claims %v", claims)
	}
	userinfo := jwt.MapClaims{}
	flow.get(flow.UserinfoEndpoint, tokens.AccessToken, &userinfo)
	if userinfo["sub"] != ada.Subject || userinfo["email"] != ada.Email || userinfo["email_verified"] != true {
		t.Errorf("userinfo claims %v", userinfo)
	}
}

func TestCodesNeedTheirVerifierAndSecret(t *testing.T) {
	t.Parallel()
	provider := start(t)
	flow := newFlow(t, provider, provider.ClientID)
	code := provider.SignIn(t, flow.authURL(), ada.Name, ada.Password).Get("code")
	flow.exchange(code, rand.Text()+rand.Text(), http.StatusBadRequest)
	flow.exchange(code, "", http.StatusBadRequest)
	flow.secret = "wrong"
	flow.exchange(code, flow.verifier, http.StatusUnauthorized)
	flow.secret = provider.ClientSecret
	flow.exchange(code, flow.verifier, http.StatusOK)
}

func TestTheProviderKeepsTheBrowser(t *testing.T) {
	t.Parallel()
	provider := start(t)
	flow := newFlow(t, provider, provider.ClientID)

	_, err := provider.signIn(t.Context(), flow.authURL(), ada.Name, "wrong")
	if err == nil || !strings.Contains(err.Error(), "username or password wrong") {
		t.Errorf("with a wrong password: %v", err)
	}
	flow.redirectURL += "/elsewhere"
	_, err = provider.signIn(t.Context(), flow.authURL(), ada.Name, ada.Password)
	if !errors.Is(err, errNoForm) || !strings.Contains(err.Error(), "400 Bad Request") {
		t.Errorf("with a redirect URL that isn't the client's: %v", err)
	}
}

func TestErrorsComeBackToTheRedirectURL(t *testing.T) {
	t.Parallel()
	provider := start(t)
	flow := newFlow(t, provider, provider.ClientID)
	back := provider.SignIn(t, flow.authURL()+"&prompt=none", ada.Name, ada.Password)
	if back.Get("error") != "login_required" || back.Get("state") != flow.state {
		t.Errorf("the browser was sent back with %v", back)
	}
}

func TestTheProcessEndsWithTheTest(t *testing.T) {
	t.Parallel()
	var provider *Provider
	t.Run("start", func(t *testing.T) { provider = start(t) })
	conn, err := net.Dial("tcp", strings.TrimPrefix(provider.Issuer, "http://"))
	if err == nil {
		_ = conn.Close()
		t.Fatal("the provider still listens after its test")
	}
}

// start runs a provider that knows ada and bob, and fails t if anything opens
// its redirect URL.
func start(t *testing.T) *Provider {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s was opened", r.URL.Path)
	}))
	t.Cleanup(app.Close)
	return Start(t, app.URL+"/callback", ada, bob)
}

// flow is one sign-in by the authorization code flow with PKCE.
type flow struct {
	t                             *testing.T
	clientID, secret, redirectURL string
	state, nonce, verifier        string
	Issuer                        string   `json:"issuer"`
	AuthorizationEndpoint         string   `json:"authorization_endpoint"`
	TokenEndpoint                 string   `json:"token_endpoint"`
	UserinfoEndpoint              string   `json:"userinfo_endpoint"`
	KeysEndpoint                  string   `json:"jwks_uri"`
	ChallengeMethods              []string `json:"code_challenge_methods_supported"`
}

func newFlow(t *testing.T, provider *Provider, clientID string) *flow {
	t.Helper()
	flow := &flow{
		t: t, clientID: clientID, secret: provider.ClientSecret, redirectURL: provider.redirectURL,
		state: rand.Text(), nonce: rand.Text(), verifier: rand.Text() + rand.Text(),
	}
	flow.get(provider.Issuer+"/.well-known/openid-configuration", "", flow)
	if flow.Issuer != provider.Issuer {
		t.Fatalf("the provider calls itself %q, not %q", flow.Issuer, provider.Issuer)
	}
	if fmt.Sprint(flow.ChallengeMethods) != "[S256]" {
		t.Fatalf("the provider knows the challenge methods %v", flow.ChallengeMethods)
	}
	return flow
}

func (f *flow) authURL() string {
	challenge := sha256.Sum256([]byte(f.verifier))
	return f.AuthorizationEndpoint + "?" + url.Values{
		"response_type":         {"code"},
		"client_id":             {f.clientID},
		"redirect_uri":          {f.redirectURL},
		"scope":                 {"openid profile email"},
		"state":                 {f.state},
		"nonce":                 {f.nonce},
		"code_challenge":        {base64.RawURLEncoding.EncodeToString(challenge[:])},
		"code_challenge_method": {"S256"},
	}.Encode()
}

type tokens struct {
	IDToken     string `json:"id_token"`
	AccessToken string `json:"access_token"`
}

// exchange redeems the code and wants the status.
func (f *flow) exchange(code, verifier string, status int) tokens {
	f.t.Helper()
	form := url.Values{
		"grant_type":    {"authorization_code"},
		"code":          {code},
		"redirect_uri":  {f.redirectURL},
		"code_verifier": {verifier},
	}
	request, err := http.NewRequestWithContext(f.t.Context(), http.MethodPost, f.TokenEndpoint, strings.NewReader(form.Encode()))
	if err != nil {
		f.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(f.clientID, f.secret)
	var got tokens
	f.send(request, status, &got)
	return got
}

// claims are those of an ID token that the provider signed for this client.
func (f *flow) claims(idToken string) jwt.MapClaims {
	f.t.Helper()
	var keys struct {
		Keys []struct{ Kid, N, E string }
	}
	f.get(f.KeysEndpoint, "", &keys)
	claims := jwt.MapClaims{}
	_, err := jwt.ParseWithClaims(idToken, claims, func(token *jwt.Token) (any, error) {
		for _, key := range keys.Keys {
			if key.Kid == token.Header["kid"] {
				return &rsa.PublicKey{N: f.number(key.N), E: int(f.number(key.E).Int64())}, nil
			}
		}
		return nil, fmt.Errorf("the provider has no key %v", token.Header["kid"])
	}, jwt.WithValidMethods([]string{"RS256"}), jwt.WithIssuer(f.Issuer), jwt.WithAudience(f.clientID), jwt.WithExpirationRequired())
	if err != nil {
		f.t.Fatal(err)
	}
	return claims
}

func (f *flow) number(text string) *big.Int {
	f.t.Helper()
	bytes, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		f.t.Fatal(err)
	}
	return new(big.Int).SetBytes(bytes)
}

// get reads JSON from address, with the access token unless it is empty.
func (f *flow) get(address, accessToken string, into any) {
	f.t.Helper()
	request, err := http.NewRequestWithContext(f.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	if accessToken != "" {
		request.Header.Set("Authorization", "Bearer "+accessToken)
	}
	f.send(request, http.StatusOK, into)
}

func (f *flow) send(request *http.Request, status int, into any) {
	f.t.Helper()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		f.t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != status {
		f.t.Fatalf("%s answered %s, not %d", request.URL.Path, response.Status, status)
	}
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		f.t.Fatal(err)
	}
}
