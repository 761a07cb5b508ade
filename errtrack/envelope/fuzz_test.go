package envelope

import (
	"bytes"
	"errors"
	"io"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/iotest"
)

// FuzzReader holds that an envelope is read alike however it arrives, that nothing is larger
// than it may be, and that every error is a refusal.
func FuzzReader(f *testing.F) {
	for _, text := range []string{
		small, head, "{}\n{\"type\":\"event\"}\nx", "{}\n{\"type\":\"attachment\",\"length\":2}\n\n\n\n{\"type\":\"session\",\"length\":1}\nx",
		"{}\n{\"type\":\"span\",\"content_type\":\"application/vnd.sentry.items.span.v2+json\",\"item_count\":1}\n[NaN]\n", "{}\n{\"type\":\"event\",\"length\":9}\nx",
	} {
		f.Add([]byte(text))
	}
	u := NewUnpacker()
	f.Fuzz(func(t *testing.T, text []byte) {
		var seen []string
		for _, from := range []io.Reader{bytes.NewReader(text), iotest.OneByteReader(bytes.NewReader(text))} {
			body, err := open(t, u, from, "")
			if err != nil {
				t.Fatal(err)
			}
			r, items, err := readAll(body)
			body.Close()
			if err != nil && status(err) == 0 {
				t.Fatalf("%v is no refusal", err)
			}
			var now []string
			for _, item := range items {
				if len(item.Payload) > 3*len(text) || kinds[item.Type].size == 0 {
					t.Fatalf("a %s of %d bytes of %d", item.Type, len(item.Payload), len(text))
				}
				now = append(now, item.Type, item.ContentType, string(item.Payload))
			}
			if r != nil {
				if r.Header.EventID != "" && len(r.Header.EventID) != 32 {
					t.Fatalf("the id is %q", r.Header.EventID)
				}
				for _, s := range r.Skipped() {
					now = append(now, s.Type, string(s.Reason))
				}
				_, _ = r.Header.Credentials()
			}
			if now = append(now, errorText(err)); seen != nil && !slices.Equal(now, seen) {
				t.Fatalf("byte by byte it is %q, at once %q", now, seen)
			}
			seen = now
		}
	})
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// FuzzUnpack holds that whatever is said to be packed is unpacked within the bounds or
// refused, with decoders that have been used for other bodies.
func FuzzUnpack(f *testing.F) {
	for packer := range packers {
		f.Add(header(packer), pack(f, packer, []byte(small)))
	}
	u := NewUnpacker()
	f.Fuzz(func(t *testing.T, encoding string, packed []byte) {
		r := httptest.NewRequest("POST", "/", bytes.NewReader(packed))
		r.Header["Content-Encoding"] = []string{encoding}
		body, err := u.Open(r)
		if err == nil {
			defer body.Close()
			var n int64
			n, err = io.Copy(io.Discard, body)
			if most := int64(maxFree+maxRatio*len(packed)) + maxLine; n > most {
				t.Fatalf("%d bytes of %d", n, len(packed))
			}
		}
		if err != nil && status(err) == 0 {
			t.Fatalf("%v is no refusal", err)
		}
	})
}

func FuzzCredentials(f *testing.F) {
	f.Add("Sentry sentry_key=a, sentry_client=b/1", "", "", "")
	f.Add("", "Sentry sentry_key=a", "", "")
	f.Add("", "", "sentry_key=a&sentry_client=b", "")
	f.Add("", "", "", "https://key@host/1")
	f.Fuzz(func(t *testing.T, sentry, authorization, query, dsn string) {
		r := httptest.NewRequest("POST", "/", nil)
		r.Header["X-Sentry-Auth"] = []string{sentry}
		r.Header["Authorization"] = []string{authorization}
		r.URL.RawQuery = query
		a, err := Credentials(r)
		b, errDSN := Header{DSN: dsn}.Credentials()
		for auth, err := range map[Auth]error{a: err, b: errDSN} {
			if (auth.Key == "") == (err == nil) || err != nil && status(err) != 401 {
				t.Fatalf("%+v, %v", auth, err)
			}
			if len(auth.Key) > maxName || len(auth.Client) > maxName || len(auth.Project) > maxName {
				t.Fatalf("%+v is too long", auth)
			}
		}
		if errors.Is(err, ErrNoCredentials) && sentry != "" {
			t.Fatal("a header that is there was passed over")
		}
	})
}
