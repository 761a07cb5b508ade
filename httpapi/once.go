package httpapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"manus/docstore"
	"manus/idempotency"
	"manus/language"
)

// Repeats remembers the answers of requests that have an Idempotency-Key.
type Repeats interface {
	Begin(ctx context.Context, r idempotency.Request) (idempotency.Run, error)
	End(ctx context.Context, run idempotency.Run, answer idempotency.Answer) error
}

const (
	keyHeader      = "Idempotency-Key"
	replayedHeader = "Idempotency-Replayed"
)

// errInvalidKey is answered to what can't be an Idempotency-Key.
var errInvalidKey = errors.New("the idempotency key isn't one")

// endTimeout bounds how long an answer waits to be remembered.
const endTimeout = 5 * time.Second

var keyDescription = language.Text{
	En: "Made up by you, another for each thing to be made, such as a UUID. The same request sent again with its key within 24 hours isn't done again and has the same answer, marked Idempotency-Replayed; another request with the key is 422, and 409 as long as the first is at work. A request that was refused (4xx) frees its key.",
	Ar: "من عندك، ولكلّ ما يُنشأ غيره، مثل UUID. فالطلب نفسه إذا أُعيد بمفتاحه خلال 24 ساعة لم يُفعل ثانية وكان له الجواب نفسه وعليه Idempotency-Replayed؛ وطلب آخر بهذا المفتاح جوابه 422، وجوابه 409 ما دام الأوّل جاريًا. والطلب المرفوض (4xx) يحرّر مفتاحه.",
}

// Remember sets what remembers the answers of requests with an Idempotency-Key.
func (api *API) Remember(r Repeats) { api.repeats = r }

// creates tells whether the route makes something, and so is done once for each key.
func (e *endpoint) creates() bool {
	return e.Method() == http.MethodPost && (e.Status == http.StatusCreated || e.Status == http.StatusAccepted)
}

// documentKey says in the document that the route takes a key.
func documentKey(operation *huma.Operation) {
	longest := 255
	operation.Parameters = append(operation.Parameters, &huma.Param{
		Name: keyHeader, In: "header", Description: keyDescription.En,
		Schema: &huma.Schema{Type: huma.TypeString, MaxLength: &longest, Examples: []any{"8e03978e-40d5-43dd-bc93-6894a57f9324"}},
	})
}

// serveOnce does what a request with a key asks for, or answers as before.
func (e *endpoint) serveOnce(w http.ResponseWriter, r *http.Request, do http.HandlerFunc) {
	x, sent := exchangeOf(r.Context()), r.Header.Get(keyHeader)
	if sent == "" || !e.creates() || e.api.repeats == nil || x == nil {
		do(w, r)
		return
	}
	key, ok := idempotency.ParseKey(sent)
	if !ok {
		WriteError(w, r, nil, errInvalidKey)
		return
	}
	content, err := contentOf(r)
	if err != nil {
		WriteError(w, r, nil, err)
		return
	}
	run, err := e.api.repeats.Begin(r.Context(), idempotency.Request{Caller: x.keyOwner(), Route: e.pattern, Key: key, Content: content})
	if err != nil {
		WriteError(w, r, nil, err)
		return
	}
	if run.Answer != nil {
		w.Header().Set(replayedHeader, "true")
		writeAnswer(w, *run.Answer)
		return
	}
	writeAnswer(w, e.work(w, r.WithContext(docstore.WithID(r.Context(), run.MadeID)), run, do))
}

// work does what is asked for, and has the answer remembered before anybody gets it. A
// handler that panics has come to a server's error.
func (e *endpoint) work(w http.ResponseWriter, r *http.Request, run idempotency.Run, do http.HandlerFunc) idempotency.Answer {
	held := &heldAnswer{ResponseWriter: w, status: http.StatusInternalServerError}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), endTimeout)
		defer cancel()
		if err := e.api.repeats.End(ctx, run, held.answer()); err != nil { // the repeat works on it again
			e.api.Log.WarnContext(ctx, "an answer wasn't remembered", "request_id", RequestID(ctx), "error", err)
		}
	}()
	do(held, r)
	return held.answer()
}

// keyOwner is whose an Idempotency-Key is.
func (x *exchange) keyOwner() string {
	if x.caller.UserID != "" {
		return x.caller.UserID
	}
	return "address/" + x.caller.Address.String()
}

// contentOf is all that a handler takes from the request beside headers, which stay as they are.
func contentOf(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	return append([]byte(r.URL.RequestURI()+"\n"), body...), err
}

// heldAnswer is an answer that nobody gets yet.
type heldAnswer struct {
	http.ResponseWriter
	status   int
	body     bytes.Buffer
	changing Changing // what the body is of, where that changes by itself
}

// WriteHeader holds the status.
func (h *heldAnswer) WriteHeader(status int) { h.status = status }

// Write holds a part of the body.
func (h *heldAnswer) Write(part []byte) (int, error) { return h.body.Write(part) }

// keptHeaders are those of an answer that its repeat has too.
var keptHeaders = []string{"Content-Type", "Content-Language", "ETag", "Location"}

func (h *heldAnswer) answer() idempotency.Answer {
	answer := idempotency.Answer{Status: h.status, Header: map[string]string{}, Body: h.body.Bytes()}
	for _, name := range keptHeaders {
		if value := h.Header().Get(name); value != "" {
			answer.Header[name] = value
		}
	}
	return answer
}

func writeAnswer(w http.ResponseWriter, answer idempotency.Answer) {
	for name, value := range answer.Header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(answer.Status)
	_, _ = w.Write(answer.Body) // the client is gone if this fails
}
