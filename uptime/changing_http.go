package uptime

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"

	"manus/httpapi"
	"manus/language"
	"manus/uptime/probe"
)

type createMonitorInput struct {
	Body struct {
		ID   string     `json:"id" maxLength:"64" doc:"Lower-case letters, digits, '-' and '_'. What is known of a monitor hangs on it." ar:"حروف لاتينية صغيرة وأرقام و'-' و'_'. وبه يرتبط ما يُعرف عن المراقَب."`
		Type probe.Kind `json:"type" enum:"http,tcp,dns,icmp,tls,domain,heartbeat"`
		Definition
	}
}

type changeMonitorInput struct {
	Path
	Body monitorPatch
}

// monitorPatch is what is said anew of a monitor. Its text says what is null.
type monitorPatch struct {
	Definition
	text json.RawMessage
}

// UnmarshalJSON keeps the text.
func (p *monitorPatch) UnmarshalJSON(text []byte) error {
	p.text = bytes.Clone(text)
	return json.Unmarshal(text, &p.Definition)
}

type muteMonitorInput struct {
	Path
	Body struct {
		For string `json:"for" minLength:"1" maxLength:"30" example:"10m" doc:"For how long, from 1s to 24h." ar:"كم من الوقت، من 1s إلى 24h."`
	}
}

type muteMonitorBody struct {
	MutedUntil string `json:"muted_until" format:"date-time"`
}

// showMonitor is a monitor after something was done to it.
func (s *Service) showMonitor(ctx context.Context, id string, done error) (*httpapi.Output[monitorBody], error) {
	if done != nil {
		return nil, done
	}
	w, err := s.Monitor(ctx, id)
	if err != nil {
		return nil, err
	}
	b := newMonitorBody(ctx)(w)
	b.Heartbeat, err = s.newHeartbeatBody(ctx, w)
	return httpapi.OutputOf(b, err)
}

// changingRoutes registers the routes by which monitors are made, changed, deleted and muted.
func (s *Service) changingRoutes(group httpapi.Group, route newRoute) {
	large := func(r httpapi.Route, status int) httpapi.Route { // in any script and escaped
		r.Status, r.MaxBody = status, 16*maxDefinition
		return r
	}
	httpapi.Register(group, large(route("POST /ops/monitors", "create-monitor", language.Text{En: "Watch something; all keys are those of manus.yaml", Ar: "راقب شيئًا؛ والمفاتيح كلّها مفاتيح manus.yaml"}, ErrInvalid, ErrExists, ErrOfFile, ErrTooMany), http.StatusCreated),
		func(ctx context.Context, in *createMonitorInput) (*httpapi.Output[monitorBody], error) {
			d := in.Body.Definition
			d.Type = &in.Body.Type
			return s.showMonitor(ctx, in.Body.ID, s.Create(ctx, in.Body.ID, d))
		})
	httpapi.Register(group, large(route("PATCH /ops/monitors/{id}", "change-monitor", language.Text{En: "Change a monitor that was made by the API; what isn't named stays, and null is as if it had never been said", Ar: "غيّر مراقَبًا أُنشئ عبر الواجهة البرمجية؛ يبقى ما لا يُذكر، وnull كأنّه لم يُذكر قطّ"}, ErrInvalid, ErrNoMonitor, ErrOfFile, ErrOfProduct), http.StatusOK),
		func(ctx context.Context, in *changeMonitorInput) (*httpapi.Output[monitorBody], error) {
			return s.showMonitor(ctx, in.ID, s.Change(ctx, in.ID, in.Body.text))
		})
	httpapi.Register(group, route("DELETE /ops/monitors/{id}", "delete-monitor", language.Text{En: "Don't watch any more what the API has made", Ar: "أوقف مراقبة ما أُنشئ عبر الواجهة البرمجية"}, ErrNoMonitor, ErrOfFile, ErrOfProduct, ErrHasChildren),
		func(ctx context.Context, in *Path) (*struct{}, error) { return nil, s.Remove(ctx, in.ID) })
	httpapi.Register(group, route("POST /ops/monitors/{id}/mute", "mute-monitor", language.Text{En: "Tell nobody that it goes down, for a time; the id * is for all. What is down at the end is told then", Ar: "لا تخبر أحدًا بتعطّله مدّةً؛ والمعرّف * للجميع. وما يكون متعطّلًا في نهايتها يُخبَر به حينئذ"}, ErrNoMonitor, ErrInvalid),
		func(ctx context.Context, in *muteMonitorInput) (*httpapi.Output[muteMonitorBody], error) {
			length, err := MuteFor(in.Body.For)
			if err != nil {
				return nil, err
			}
			until, err := s.Mute(ctx, in.ID, length)
			return httpapi.OutputOf(muteMonitorBody{timeText(until)}, err)
		})
	httpapi.Register(group, route("DELETE /ops/monitors/{id}/mute", "unmute-monitor", language.Text{En: "Tell again", Ar: "أعد الإخبار"}, ErrNoMonitor),
		func(ctx context.Context, in *Path) (*struct{}, error) {
			_, err := s.Mute(ctx, in.ID, 0)
			return nil, err
		})
}
