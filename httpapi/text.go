package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// What comes in has to be text, wherever it stands: bytes that are none are stored, shown
// and compared as something else, so that texts which differ would be equal. The door asks
// it of addresses, jsonFormat of bodies, and [ReadForm] of forms.

// addressIsText tells whether the path and the query of a request are UTF-8.
func addressIsText(u *url.URL) bool {
	if !utf8.ValidString(u.Path) {
		return false
	}
	if !strings.ContainsRune(u.RawQuery, '%') {
		return utf8.ValidString(u.RawQuery)
	}
	query, err := url.QueryUnescape(u.RawQuery)
	return err != nil || utf8.ValidString(query) // one that can't be read isn't read at all
}

// ReadForm reads a form into r.PostForm. It returns an error that every route may answer:
// for a form that can't be read, is too large, or has something that isn't UTF-8.
func ReadForm(r *http.Request) error {
	err := r.ParseForm()
	if err == nil {
		err = r.ParseMultipartForm(MaxBody)
	}
	if err != nil && !errors.Is(err, http.ErrNotMultipart) {
		if _, known := common.Find(err); !known {
			err = fmt.Errorf("%w: %w", errInvalidRequest, err)
		}
		return err
	}
	for name, values := range r.PostForm {
		if !utf8.ValidString(name + strings.Join(values, "")) {
			return errNotText
		}
	}
	return nil
}
