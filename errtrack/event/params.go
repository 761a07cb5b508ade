package event

import (
	"regexp"
	"strconv"
	"strings"

	"manus/language"
)

// maxParams bounds what is put into a message.
const maxParams = 50

// params are what a program puts into a message's template: in order, or by names.
type params struct {
	list  []string
	named map[string]string
}

func (d *decoder) params() (p params) {
	value := func() string {
		if d.in.PeekKind() == 'n' {
			d.skip()
			return "null"
		}
		return d.flat("message", maxLine)
	}
	switch d.in.PeekKind() {
	case '[':
		d.array(func() {
			if len(p.list) > maxParams {
				d.skip()
				return
			}
			p.list = append(p.list, value())
		})
	case '{':
		p.named = map[string]string{}
		d.object("message", func(name []byte) {
			if len(p.named) >= maxParams {
				d.skip()
				return
			}
			p.named[string(name)] = value()
		})
	default:
		d.skip()
	}
	return p
}

// Where parameters are put in: %s, %5.2f and %(name)s; {}, {0} and {name}.
var (
	percents = regexp.MustCompile(`%%|%(?:\((\w+)\))?[-+ #0]*\d*(?:\.\d+)?[a-zA-Z]`)
	braces   = regexp.MustCompile(`\{(\w*)\}`)
)

// fill is a template with its parameters put in, as the program's logging does it. A template that
// doesn't take what there is stays as it is.
func (p params) fill(template string) string {
	if len(p.list) == 0 && len(p.named) == 0 || len(p.list) > maxParams {
		return template
	}
	places := percents
	if !percents.MatchString(template) {
		places = braces
	}
	next, fits := 0, true
	filled := places.ReplaceAllStringFunc(template, func(place string) string {
		if place == "%%" {
			return "%"
		}
		name := places.FindStringSubmatch(place)[1]
		if value, known := p.named[name]; known {
			return value
		}
		k, err := strconv.Atoi(name)
		if err != nil {
			fits = fits && name == ""
			k = next
		}
		if next++; k < 0 || k >= len(p.list) {
			fits = false
			return place
		}
		return p.list[k]
	})
	if !fits || next < len(p.list) {
		return template
	}
	return language.Cut(strings.ReplaceAll(filled, "\x00", ""), maxLong)
}
