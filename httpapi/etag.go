package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"manus/docstore"
	"manus/language"
)

// tagged tells whether the route's answers have an ETag.
func (e *endpoint) tagged() bool {
	return e.Method() == http.MethodGet && e.Access != Public && e.Timeout != NoTimeout
}

// conditional tells whether a request may ask for the route's address to be changed only if it is
// as it was read.
func (e *endpoint) conditional() bool {
	return slices.Contains([]string{http.MethodPatch, http.MethodPut, http.MethodDelete}, e.Method())
}

// What the reference says of conditions.
var (
	unlessDescription = language.Text{En: "The ETag of an answer that you have: if that is still right, the answer is 304 without a body.", Ar: "وسم ETag لجواب عندك: فإن كان ما زال صحيحًا فالجواب 304 بلا جسم."}
	ifDescription     = language.Text{En: "The ETag of this address as you have read it: if it has been changed since, this isn't done and the answer is 412.", Ar: "وسم ETag لهذا العنوان كما قرأته: فإن تغيّر منذ ذلك لم يُفعل هذا وكان الجواب 412."}
)

// documentConditions says in the document which of them the route takes.
func (e *endpoint) documentConditions(operation *huma.Operation) {
	name, description, status := "", language.Text{}, ""
	switch {
	case e.tagged():
		name, description, status = "If-None-Match", unlessDescription, "304"
	case e.conditional():
		name, description, status = "If-Match", ifDescription, "412"
	default:
		return
	}
	operation.Parameters = append(operation.Parameters, &huma.Param{Name: name, In: "header", Description: description.En, Schema: &huma.Schema{Type: huma.TypeString}})
	operation.Responses[status] = &huma.Response{Ref: problemRef}
	if status == "304" {
		operation.Responses[status] = &huma.Response{Description: "What you have is right"}
	}
}

// Changing is a body that changes by itself too, as by what is counted. Changeable is what of it
// requests alone change: its ETag tells of that and of the whole, and If-Match asks for that alone.
type Changing interface{ Changeable() any }

// noteChanging is a huma transformer: it notes what an answer that is held is of.
func noteChanging(ctx huma.Context, _ string, body any) (any, error) {
	if changing, ok := body.(Changing); ok {
		_, w := humago.Unwrap(ctx)
		if held, ok := w.(*heldAnswer); ok {
			held.changing = changing
		}
	}
	return body, nil
}

// tag is the ETag of an answer. That of a [Changing] has what can be changed before a dot.
func (h *heldAnswer) tag() string {
	tag := digest(h.body.Bytes())
	if h.changing != nil {
		text, err := json.Marshal(h.changing.Changeable())
		if err != nil { // it is a part of what was written
			return `"` + tag + `"`
		}
		tag = digest(text) + "." + tag
	}
	return `"` + tag + `"`
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:12])
}

// changeable is the part of an ETag that tells of what can be changed.
func changeable(tag string) string {
	before, _, _ := strings.Cut(tag, ".")
	return strings.TrimSuffix(before, `"`)
}

// serveTagged answers with the ETag of what do answers, or says that the client has that.
func (e *endpoint) serveTagged(w http.ResponseWriter, r *http.Request, do http.HandlerFunc) {
	if !e.tagged() {
		do(w, r)
		return
	}
	held := &heldAnswer{ResponseWriter: w, status: http.StatusOK}
	do(held, r)
	if held.status == http.StatusOK {
		tag := held.tag()
		w.Header().Set("ETag", tag)
		if names(r.Header.Values("If-None-Match"), func(named string) bool { return strings.TrimPrefix(named, "W/") == tag }) {
			w.Header().Del("Content-Type")
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	w.WriteHeader(held.status)
	_, _ = w.Write(held.body.Bytes()) // the client is gone if this fails
}

// names tells whether the values of a header have a tag among them that is right. One that a proxy
// has made weak, as it packed the answer, still tells what a client has.
func names(values []string, right func(tag string) bool) bool {
	for named := range strings.SplitSeq(strings.Join(values, ","), ",") {
		if named = strings.TrimSpace(named); named == "*" || right(named) {
			return true
		}
	}
	return false
}

// maxLooks is how often an address is looked at that changes by itself between a look and a change.
const maxLooks = 10

// matched does what a handler does, where If-Match asks for what the request's address is now.
func matched[I, O any](ctx context.Context, in *I, handler func(context.Context, *I) (*O, error)) (out *O, err error) {
	for range maxLooks {
		guarded, changes, err := ifMatch(ctx)
		if err != nil {
			return nil, err
		}
		if out, err = handler(guarded, in); !changes || !errors.Is(err, docstore.ErrChanged) {
			return out, err
		}
	}
	return nil, docstore.ErrChanged
}

// ifMatch holds the request's If-Match against what its address is now, and returns a context in which
// that can't be changed any more by anybody else before it is changed by this request, and whether
// it changes by itself. It returns [docstore.ErrChanged].
func ifMatch(ctx context.Context) (guarded context.Context, changes bool, err error) {
	if guard, _ := ctx.Value(docstore.GuardKey{}).(*docstore.Guard); guard != nil { // this is the reading
		return ctx, false, nil
	}
	x := exchangeOf(ctx)
	if x == nil || !x.endpoint.conditional() || x.r.Header.Get("If-Match") == "" {
		return ctx, false, nil
	}
	read := x.api.find(x.r, http.MethodGet)
	if read == nil || !read.tagged() || read.allows(&x.caller) != nil {
		return ctx, false, docstore.ErrChanged
	}
	guard := &docstore.Guard{}
	ctx = docstore.WithGuard(ctx, guard)
	now := &heldAnswer{ResponseWriter: unsent{http.Header{}}, status: http.StatusOK}
	read.serve(now, readingOf(ctx, x.r))
	guard.Close()
	switch {
	case now.status >= http.StatusInternalServerError:
		return ctx, false, docstore.ErrUnavailable
	case now.status != http.StatusOK || !names(x.r.Header.Values("If-Match"), func(named string) bool { return changeable(named) == changeable(now.Header().Get("ETag")) }):
		return ctx, false, docstore.ErrChanged
	}
	return ctx, strings.Contains(now.Header().Get("ETag"), "."), nil
}

// readingOf is the request that reads what another one is to change.
func readingOf(ctx context.Context, r *http.Request) *http.Request {
	read := r.WithContext(ctx)
	read.Method, read.Body, read.ContentLength, read.TransferEncoding = http.MethodGet, http.NoBody, 0, nil
	u := *r.URL
	u.RawQuery = ""
	read.URL, read.Header = &u, r.Header.Clone()
	read.Header.Del("If-None-Match")
	return read
}

// unsent is the writer of an answer that nobody gets.
type unsent struct{ header http.Header }

func (u unsent) Header() http.Header            { return u.header }
func (u unsent) Write(part []byte) (int, error) { return len(part), nil }
func (u unsent) WriteHeader(int)                {}
