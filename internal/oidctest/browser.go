package oidctest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// maxPage is the most bytes that are read of one of the provider's pages.
const maxPage = 1 << 20

// errNoForm says that a page has no form with a field for a password.
var errNoForm = errors.New("the page has no sign-in form")

func (p *Provider) signIn(ctx context.Context, authURL, user, password string) (url.Values, error) {
	client, err := p.browser()
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()

	request, err := http.NewRequestWithContext(ctx, http.MethodGet, authURL, nil)
	if err != nil {
		return nil, err
	}
	query, page, err := open(client, request)
	if err != nil || query != nil {
		return query, err
	}
	request, err = page.filledIn(ctx, user, password)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, page)
	}
	query, page, err = open(client, request)
	if err != nil || query != nil {
		return query, err
	}
	return nil, fmt.Errorf("the provider didn't send the browser back: %s", page)
}

// browser is a client that keeps cookies and follows redirects, but not the one
// back to the redirect URL.
func (p *Provider) browser() (*http.Client, error) {
	back, err := url.Parse(p.redirectURL)
	if err != nil {
		return nil, err
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Transport: &http.Transport{},
		Jar:       jar,
		CheckRedirect: func(next *http.Request, via []*http.Request) error {
			if next.URL.Scheme == back.Scheme && next.URL.Host == back.Host && next.URL.Path == back.Path {
				return http.ErrUseLastResponse
			}
			if len(via) == 10 {
				return errors.New("the provider redirected 10 times")
			}
			return nil
		},
	}, nil
}

// page is what the browser shows when it wasn't sent back.
type page struct {
	url    *url.URL
	status string
	text   string
}

func (p *page) String() string { return p.url.Redacted() + " says " + p.status + "\n" + p.text }

// open sends the request, and returns the query of the redirect back, or else
// the page that the provider shows.
func open(client *http.Client, request *http.Request) (url.Values, *page, error) {
	response, err := client.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	if response.StatusCode/100 == 3 {
		location, err := response.Location()
		if err != nil {
			return nil, nil, err
		}
		return location.Query(), nil, nil
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxPage))
	if err != nil {
		return nil, nil, err
	}
	return nil, &page{response.Request.URL, response.Status, string(text)}, nil
}

// filledIn is the request that sends the page's sign-in form, filled in.
func (p *page) filledIn(ctx context.Context, user, password string) (*http.Request, error) {
	root, err := html.Parse(strings.NewReader(p.text))
	if err != nil {
		return nil, err
	}
	for node := range root.Descendants() {
		if node.DataAtom != atom.Form {
			continue
		}
		values, ok := fill(node, user, password)
		if !ok {
			continue
		}
		target, err := p.url.Parse(attribute(node, "action"))
		if err != nil {
			return nil, err
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), strings.NewReader(values.Encode()))
		if err != nil {
			return nil, err
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return request, nil
	}
	return nil, errNoForm
}

// fill returns the fields of a form with the user's name and password in the
// visible ones, and whether it has a field for a password.
func fill(form *html.Node, user, password string) (values url.Values, ok bool) {
	values = url.Values{}
	for node := range form.Descendants() {
		name := attribute(node, "name")
		if node.DataAtom != atom.Input || name == "" {
			continue
		}
		switch attribute(node, "type") {
		case "password":
			values.Set(name, password)
			ok = true
		case "", "text", "email":
			values.Set(name, user)
		case "hidden":
			values.Set(name, attribute(node, "value"))
		}
	}
	return values, ok
}

func attribute(node *html.Node, key string) string {
	for _, attr := range node.Attr {
		if attr.Key == key {
			return attr.Val
		}
	}
	return ""
}
