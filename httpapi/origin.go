package httpapi

import (
	"context"
	"net/http"
	"net/url"
	"strings"
)

// Origin is where the client has reached the program with the request that ctx belongs to,
// such as http://localhost:8080.
func Origin(ctx context.Context) string {
	x := exchangeOf(ctx)
	if x == nil {
		return ""
	}
	scheme := "http"
	if x.r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + x.r.Host
}

// CheckSameOrigin returns ErrCrossSite unless a request says that it comes from a page of
// the host that it is for, as browsers do by Sec-Fetch-Site, and older ones and those over
// plain http by Origin. It is for proofs that a browser adds by itself, so what says
// nothing is refused too.
func CheckSameOrigin(r *http.Request) error {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		if site == "same-origin" {
			return nil
		}
		return ErrCrossSite
	}
	origin, err := url.Parse(r.Header.Get("Origin"))
	if err == nil && origin.Host != "" && strings.EqualFold(origin.Host, r.Host) {
		return nil
	}
	return ErrCrossSite
}

// FromSameOrigin is CheckSameOrigin of the request that ctx belongs to.
func FromSameOrigin(ctx context.Context) error {
	if x := exchangeOf(ctx); x != nil {
		return CheckSameOrigin(x.r)
	}
	return ErrCrossSite
}
