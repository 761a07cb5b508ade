package design

import (
	"bytes"
	"encoding/xml"
	"errors"
	"os"
)

// Picture is a logo, ready to be served.
type Picture struct {
	Type string // its media type
	Body []byte
}

// Extension is how names of such files end, by which web servers tell what they are.
func (p Picture) Extension() string {
	return map[string]string{"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "image/svg+xml": ".svg"}[p.Type]
}

// maxPicture bounds one, in bytes.
const maxPicture = 64 << 10

// ReadPicture reads a picture from a file. Its errors are fit for whoever has named the file.
func ReadPicture(path string) (Picture, error) {
	body, err := readBounded(path)
	if err != nil {
		return Picture{}, err
	}
	if kind := pictureType(body); kind != "" {
		return Picture{kind, body}, nil
	}
	return Picture{}, errors.New("is no picture that is known; use SVG, PNG, WebP or JPEG")
}

func readBounded(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, errors.New("the file can't be read; check the path")
	case !info.Mode().IsRegular():
		return nil, errors.New("is no file")
	case info.Size() > maxPicture:
		return nil, errors.New("is larger than 64 KiB; use a smaller picture")
	}
	body, err := os.ReadFile(path)
	if err != nil || len(body) > maxPicture {
		return nil, errors.New("the file can't be read, or grows")
	}
	return body, nil
}

// pictureType is the media type of a picture by what is in it; empty for anything else.
func pictureType(body []byte) string {
	switch {
	case bytes.HasPrefix(body, []byte("\x89PNG\r\n\x1a\n")):
		return "image/png"
	case bytes.HasPrefix(body, []byte("\xff\xd8\xff")):
		return "image/jpeg"
	case len(body) > 12 && string(body[:4]) == "RIFF" && string(body[8:12]) == "WEBP":
		return "image/webp"
	}
	decoder := xml.NewDecoder(bytes.NewReader(body))
	for {
		token, err := decoder.Token()
		if err != nil {
			return ""
		}
		if root, ok := token.(xml.StartElement); ok {
			if root.Name.Local == "svg" {
				return "image/svg+xml"
			}
			return ""
		}
	}
}
