package design

import "testing"

func FuzzPicture(f *testing.F) {
	f.Add([]byte("<svg/>"))
	f.Add([]byte("\x89PNG\r\n\x1a\n"))
	f.Add([]byte("<!DOCTYPE svg [<!ENTITY a \"b\">]><svg>&a;</svg>"))
	f.Fuzz(func(t *testing.T, body []byte) {
		switch kind := pictureType(body); kind {
		case "", "image/png", "image/jpeg", "image/webp", "image/svg+xml":
		default:
			t.Errorf("%q", kind)
		}
	})
}
