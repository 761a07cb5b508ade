package uptime

import (
	"context"
	"io"
	"net/http"
	"time"

	"manus/httpapi"
	"manus/identity"
	"manus/language"
	"manus/ratelimit"
	"manus/uptime/heartbeat"
)

const (
	// maxPing is how much may be sent with a ping, in bytes; what is beyond maxSaid is read over.
	maxPing = 100 << 20
	// readOver is how much of that is awaited, so that who sends it hears the answer.
	readOver = 1 << 20
	// noteWithin is how long a ping may take to be kept, though whoever has sent it is gone.
	noteWithin = 10 * time.Second
	maxRunName = 64
)

// pingRoutes registers the addresses that jobs report to.
func (s *Service) pingRoutes(api *httpapi.API) {
	limits := []ratelimit.Rule{ratelimit.NewRule("100/minute", ratelimit.ByAddress), ratelimit.NewRule("60/minute", ratelimit.ByProof)}
	for _, method := range []string{"GET", "POST"} { // one pattern each, so that a key has one count whatever is said
		api.Handle(httpapi.Route{Access: httpapi.Public, Proves: true, Pattern: method + " /ping/{path...}", Limits: limits, MaxBody: maxPing}, http.HandlerFunc(s.servePing))
	}
}

// servePing takes a ping. Where there is no such key, or nothing is said by what stands behind
// it, the answer is that of an address that there isn't.
func (s *Service) servePing(w http.ResponseWriter, r *http.Request) {
	m, p, ok, err := s.pinged(r.Context(), r.PathValue("path"))
	if err == nil && !ok {
		err = httpapi.ErrNotFound
	}
	if err == nil {
		err = httpapi.Prove(r.Context(), httpapi.Proof{Subject: "heartbeat/" + m.ID})
	}
	if err == nil {
		p.Run = language.Cut(language.Line(r.URL.Query().Get("rid")), maxRunName)
		p.From = identity.From(r.Context()).AddressText()
		body, _ := io.ReadAll(io.LimitReader(r.Body, maxSaid)) // what has come counts: its address has said it all
		_, _ = io.CopyN(io.Discard, r.Body, readOver)
		var cancel context.CancelFunc
		ctx := context.WithoutCancel(r.Context())
		ctx, cancel = context.WithTimeout(ctx, noteWithin)
		defer cancel()
		err = s.hear(ctx, m.ID, p, body)
	}
	if err != nil {
		httpapi.WriteError(w, r, nil, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "OK") // the job is gone if this fails
}

type heartbeatBody struct {
	Schedule   string      `json:"schedule" example:"0 3 * * * Europe/Berlin"`
	Grace      string      `json:"grace" example:"10m0s"`
	MaxRuntime string      `json:"max_runtime" doc:"Empty where a run has until its next turn is overdue." ar:"فارغ حيث يُمهَل التشغيل إلى أن يفوت موعده التالي."`
	NamedURL   string      `json:"named_url" doc:"As ping_url, by the installation's key and the monitor's id." ar:"مثل ping_url، بمفتاح التثبيت ومعرّف المراقَب."`
	Running    string      `json:"running_since" doc:"Since when a run is under way; else empty." ar:"منذ متى يجري تشغيل؛ وإلّا ففارغ."`
	Due        string      `json:"due_at" doc:"When it will be down if nothing comes; else empty." ar:"متى يُعدّ متعطّلًا إن لم يأتِ شيء؛ وإلّا ففارغ."`
	Expected   []turnBody  `json:"expected" doc:"The next five turns of a crontab's line, by the clocks of its zone." ar:"المواعيد الخمسة التالية لسطر crontab، بساعات منطقته."`
	Clocks     *clocksBody `json:"clock_change,omitempty" doc:"The next time at which the zone's clocks are changed." ar:"الموعد التالي لتغيير ساعات المنطقة."`
	Advice     string      `json:"advice" doc:"What seems to be wrong with the schedule; else empty." ar:"ما يبدو خطأ في الجدول؛ وإلّا ففارغ."`
	Timezone   string      `json:"advised_timezone" doc:"The time zone that its pings keep to, where that isn't the schedule's." ar:"المنطقة الزمنية التي تلتزمها نبضاته، حيث ليست منطقة الجدول."`
	Pings      []pingBody  `json:"pings" doc:"The last ones, the newest first." ar:"آخرها، أحدثها أوّلًا."`
}

type turnBody struct {
	At    string `json:"at" format:"date-time"`
	Shift string `json:"clocks_shifted" doc:"By how much clocks were changed since the turn before, such as 1h0m0s in spring; else empty." ar:"بكم غُيّرت الساعات منذ الموعد السابق، مثل 1h0m0s في الربيع؛ وإلّا ففارغ."`
}

type clocksBody struct {
	At   string   `json:"at" format:"date-time"`
	Turn turnBody `json:"first_expected"`
}

type pingBody struct {
	At        string           `json:"at" format:"date-time"`
	Signal    heartbeat.Signal `json:"signal" enum:"start,success,fail"`
	Status    int64            `json:"exit_status"`
	Run       string           `json:"run"`
	Took      int64            `json:"took_ms" doc:"Since the start of its run; 0 where that isn't known." ar:"منذ بدء تشغيله؛ و0 حيث لا يُعرف."`
	Overtaken bool             `json:"overtaken" doc:"A start that came after the end of its run, and says nothing." ar:"بدء وصل بعد نهاية تشغيله، ولا يدلّ على شيء."`
	From      string           `json:"from"`
	Body      string           `json:"body" doc:"The first 10 KB." ar:"أوّل '10 KB'."`
}

func newTurnBody(t heartbeat.Turn) turnBody {
	b := turnBody{At: t.At.Format(time.RFC3339)}
	if t.Shift != 0 {
		b.Shift = t.Shift.String()
	}
	return b
}

const foreseen = 5 // turns

// newHeartbeatBody shows how a heartbeat is, with what its job has said; nil for another monitor.
func (s *Service) newHeartbeatBody(ctx context.Context, w Watched) (*heartbeatBody, error) {
	if w.Beats == nil {
		return nil, nil //nolint:nilnil // it is left out
	}
	texts, err := s.Said(ctx, w.ID)
	if err != nil {
		return nil, err
	}
	now, schedule := s.c.Now(), w.Beats.Schedule
	b := &heartbeatBody{
		Schedule: schedule.String(), Grace: schedule.Grace.String(), NamedURL: w.Beats.Named, Due: timeText(w.Beats.Due), Expected: []turnBody{}, Pings: []pingBody{},
		Advice: w.Beats.Advice().In(language.From(ctx)),
	}
	if schedule.MaxRuntime > 0 {
		b.MaxRuntime = schedule.MaxRuntime.String()
	}
	if w.Beats.Kind == heartbeat.Running {
		b.Running = timeText(w.Beats.Since)
	}
	for _, turn := range schedule.Turns(now, foreseen) {
		b.Expected = append(b.Expected, newTurnBody(turn))
	}
	if at, turn, ok := schedule.ClockChange(now); ok {
		b.Clocks = &clocksBody{at.Format(time.RFC3339), newTurnBody(turn)}
	}
	if w.Beats.Elsewhere != nil {
		b.Timezone = w.Beats.Elsewhere.String()
	}
	for _, p := range w.Beats.Pings {
		b.Pings = append(b.Pings, pingBody{p.At.String(), p.Signal, p.Status, p.Run, p.Took, p.Overtaken, p.From, texts[p.Seq]})
	}
	return b, nil
}

// Advice says what seems to be wrong with the schedule; empty where nothing does.
func (b *Beats) Advice() language.Text {
	if b.Elsewhere == nil {
		return language.Text{}
	}
	at := b.LastThere
	here, there := at.UTC().Format("15:04"), b.Elsewhere.String()
	zone := b.Schedule.Zone().String()
	return language.Text{
		En: "Its pings come at " + here + " UTC, which is when " + b.Schedule.Cron + " is in " + there + "; the schedule says " + zone + ". Should its timezone be " + there + "?",
		Ar: "تصل نبضاته في " + here + " بالتوقيت العالمي، وهو موعد " + language.Arabic.Isolate(b.Schedule.Cron) + " في " + language.Arabic.Isolate(there) +
			"؛ أما الجدول ففي " + language.Arabic.Isolate(zone) + ". هل ينبغي أن تكون timezone هي " + language.Arabic.Isolate(there) + "؟",
	}
}
