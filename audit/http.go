package audit

import (
	"context"

	"manus/httpapi"
	"manus/identity"
	"manus/language"
)

// auditBody is a line of the log.
type auditBody struct {
	ID      string `json:"id"`
	UserID  string `json:"user_id"`
	Kind    Kind   `json:"kind" example:"signed-in"`
	Subject string `json:"subject,omitempty" doc:"What it was done to, where that is no account." ar:"ما فُعل به ذلك، إن لم يكن حسابًا."`
	At      string `json:"at" format:"date-time"`
	Count   int64  `json:"count" doc:"How many such events the line stands for." ar:"كم حدثًا كهذا يمثّله السطر."`
	Address string `json:"address,omitempty" doc:"The client's." ar:"عنوان العميل."`
	Agent   string `json:"agent,omitempty" doc:"What the client called itself." ar:"ما سمّى به العميل نفسه."`
	KeyID   string `json:"key_id,omitempty" doc:"The API key that did it." ar:"المفتاح البرمجي الذي فعله."`
}

func newAuditBody(e Event) auditBody {
	return auditBody{ID: e.ID, UserID: e.UserID, Kind: e.Kind, Subject: e.Subject, At: e.At.String(), Count: max(1, e.Count), Address: e.Address, Agent: e.Agent, KeyID: e.ByKey}
}

type listInput struct {
	httpapi.Page
	User string `query:"user" maxLength:"64" doc:"Of this account alone." ar:"ما لهذا الحساب وحده."`
}

// Routes registers the room's routes.
func (l *Log) Routes(api *httpapi.API) {
	group := httpapi.Group{API: api, Name: language.Text{En: "Your account", Ar: "حسابك"}}
	httpapi.Register(group, httpapi.Route{Access: httpapi.Persons, Pattern: "GET /auth/me/events", ID: "list-my-events", Summary: language.Text{En: "See what has happened to your account's security", Ar: "اعرض ما جرى لأمان حسابك"}},
		func(ctx context.Context, in *httpapi.Page) (*httpapi.ListOutput[auditBody], error) {
			found, next, err := l.List(ctx, identity.From(ctx).UserID, in.Limit, in.Cursor)
			return httpapi.ListOf(found, next, err, newAuditBody)
		})
	operations := httpapi.Group{API: api, Name: language.Text{En: "Operations", Ar: "التشغيل"}}
	httpapi.Register(operations, httpapi.Route{Access: httpapi.Operators, Scope: identity.ScopeOperate, Pattern: "GET /ops/audit", ID: "list-events", Summary: language.Text{En: "See the security events of all accounts", Ar: "اعرض أحداث الأمان لكلّ الحسابات"}},
		func(ctx context.Context, in *listInput) (*httpapi.ListOutput[auditBody], error) {
			found, next, err := l.List(ctx, in.User, in.Limit, in.Cursor)
			return httpapi.ListOf(found, next, err, newAuditBody)
		})
}
