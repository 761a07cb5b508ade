package statuspage

import (
	"strings"
	"time"
	"unicode/utf8"

	"manus/language"
)

const stamp = "20060102T150405Z"

// calendar is the maintenance that is on, comes and was, as RFC 5545 has it. One that comes
// again and again is several events, so that no program has to know its time zone.
func (s *site) calendar(tag language.Tag) []byte {
	var out []byte
	line := func(name, value string) { out = appendFolded(out, name+":"+value) }
	line("BEGIN", "VCALENDAR")
	line("VERSION", "2.0")
	line("PRODID", "-//Manus//Status page//EN")
	line("CALSCALE", "GREGORIAN")
	line("METHOD", "PUBLISH")
	line("X-WR-CALNAME", calendarText(s.Title.In(tag)))
	line("REFRESH-INTERVAL;VALUE=DURATION", "PT1H")
	for _, list := range [][]Maintenance{s.Over, s.On, s.Next} {
		for _, m := range list {
			line("BEGIN", "VEVENT")
			line("UID", calendarText(m.ID)+"@manus")
			line("DTSTAMP", latest(m.CreatedAt, time.Unix(0, 0)).UTC().Format(stamp))
			line("DTSTART", m.From.UTC().Format(stamp))
			line("DTEND", m.Until.UTC().Format(stamp))
			if m.IsCancelled() {
				line("STATUS", "CANCELLED")
				line("SEQUENCE", "1")
			}
			line("SUMMARY", calendarText(m.Title.In(tag)))
			text := s.plainText(m.Text.In(tag))
			if names := s.names(m.Components, tag); len(names) > 0 {
				text = strings.TrimSpace(strings.Join(names, ", ") + "\n" + text)
			}
			if text != "" {
				line("DESCRIPTION", calendarText(text))
			}
			line("URL", links{tag: tag, root: s.root(), files: s.settings.files}.to(mainPage))
			line("END", "VEVENT")
		}
	}
	line("END", "VCALENDAR")
	return out
}

// plainText is a text without marks of Markdown.
func (s *site) plainText(text string) string {
	if s.plain == nil {
		return text
	}
	return s.plain(text)
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// calendarText is a text as a value (RFC 5545, 3.3.11), without what can't stand in one.
func calendarText(text string) string {
	text = strings.NewReplacer("\\", "\\\\", ";", "\\;", ",", "\\,", "\r\n", "\\n", "\n", "\\n").Replace(text)
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f || r == utf8.RuneError {
			return -1
		}
		return r
	}, text)
}

// appendFolded appends a line of any length as lines of 75 bytes at most (RFC 5545, 3.1), and cuts no
// character in two.
func appendFolded(to []byte, line string) []byte {
	const most = 75
	for left := most; len(line) > left; left = most - 1 {
		end := left
		for !utf8.RuneStart(line[end]) {
			end--
		}
		to = append(append(to, line[:end]...), "\r\n "...)
		line = line[end:]
	}
	return append(append(to, line...), "\r\n"...)
}
