package account

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"manus/httpapi"
	"manus/identity"
	"manus/language"
	"manus/ratelimit"
)

// introspection is what a token stands for now (RFC 7662, 2.2).
type introspection struct {
	Active    bool          `json:"active" doc:"Whether the token is in force. Where it isn't, there is nothing else." ar:"هل الرمز ساري. وحيث ليس كذلك فلا شيء غيره."`
	Subject   string        `json:"sub,omitempty" doc:"The account's id." ar:"معرّف الحساب."`
	Username  string        `json:"username,omitempty" doc:"The account's e-mail address." ar:"عنوان البريد الإلكتروني للحساب."`
	Role      identity.Role `json:"role,omitempty" doc:"The account's role, user or operator." ar:"دور الحساب: user أو operator." example:"user"`
	TokenType string        `json:"token_type,omitempty" doc:"Bearer for an access token, api_key for an API key." ar:"القيمة Bearer لرمز وصول، وapi_key لمفتاح برمجي." example:"Bearer"`
	Scope     string        `json:"scope,omitempty" doc:"What an API key may do, with spaces between; a person may do what their role allows." ar:"ما يجوز للمفتاح البرمجي، وبين كلّ اثنين مسافة؛ أمّا الشخص فله ما يسمح به دوره." example:"read write"`
	LoginID   string        `json:"sid,omitempty" doc:"The login (device) that an access token belongs to." ar:"عملية الدخول (الجهاز) التي لها رمز الوصول."`
	KeyID     string        `json:"client_id,omitempty" doc:"The id of an API key." ar:"معرّف المفتاح البرمجي."`
	IssuedAt  int64         `json:"iat,omitempty" doc:"Of an access token, in Unix time." ar:"لرمز وصول، بتوقيت Unix."`
	ExpiresAt int64         `json:"exp,omitempty" doc:"Of an access token, in Unix time." ar:"لرمز وصول، بتوقيت Unix."`
}

type introspectInputBody struct {
	Token         string `json:"token" maxLength:"2048" doc:"An access token, or an API key, as your caller has sent it." ar:"رمز وصول أو مفتاح برمجي، كما أرسله من يستدعيك."`
	TokenTypeHint string `json:"token_type_hint,omitempty" maxLength:"100" doc:"Not looked at." ar:"لا يُنظر فيه."`
}

// introspect tells what a token stands for, or an error of the store. Why one isn't in
// force is nobody's business.
func (s *Service) introspect(ctx context.Context, token string) (introspection, error) {
	authenticate := s.Authenticate
	if strings.HasPrefix(token, keyPrefix) {
		authenticate = s.authenticateKey
	}
	caller, err := authenticate(ctx, token)
	if errors.Is(err, ErrInvalidToken) {
		return introspection{}, nil
	}
	if err != nil {
		return introspection{}, err
	}
	found := introspection{
		Active: true, Subject: caller.UserID, Username: caller.Account, Role: caller.Role, TokenType: "api_key", LoginID: caller.LoginID, KeyID: caller.KeyID,
	}
	var scopes []string
	for _, scope := range caller.Scopes {
		scopes = append(scopes, string(scope))
	}
	found.Scope = strings.Join(scopes, " ")
	if caller.KeyID == "" {
		read, err := s.verify(token)
		if err != nil { // its time has just ended
			return introspection{}, nil
		}
		found.TokenType, found.IssuedAt, found.ExpiresAt = "Bearer", read.issued.Unix(), read.expires.Unix()
	}
	return found, nil
}

func (s *Service) introspectRoute(group httpapi.Group) {
	httpapi.Register(group, httpapi.Route{
		Access: httpapi.Operators, Scope: identity.ScopeOperate, Form: true, Pattern: "POST /auth/introspect", ID: "introspect", Status: http.StatusOK, Summary: language.Text{En: "Tell who a token belongs to, for your backend", Ar: "اعرف صاحب الرمز، لخادم منتجك"},
		Description: language.Text{En: "RFC 7662, as JSON or as a form; with an API key of scope 'operator'. What another copy of the program has ended is seen within a second.", Ar: "وفق RFC 7662، في هيئة JSON أو نموذج، بمفتاح برمجي بصلاحية operator. وما تنهيه نسخة أخرى من البرنامج يُرى خلال ثانية."},
		Limits:      []ratelimit.Rule{ratelimit.NewRule("60000/minute", ratelimit.ByUser)},
	},
		func(ctx context.Context, in *httpapi.Input[introspectInputBody]) (*httpapi.Output[introspection], error) {
			return httpapi.OutputOf(s.introspect(ctx, in.Body.Token))
		})
}
