package design

import (
	_ "embed"
	"html/template"
)

//go:embed letter.html
var letter string

// Letter is the HTML of a mail. It may use "letter-top", of what has Lang, Title and Colour (of the line
// above it), "letter-facts", of what have Name and Value, "letter-button" and "letter-more", the beginnings
// of a link to an address that is drawn as a button, and "letter-bottom".
func Letter(name, page string) *template.Template {
	return template.Must(template.Must(template.New(name).Parse(letter)).Parse(page))
}

// Accent is the colour of what asks to be pressed, in a mail.
const Accent = "#0f6a5a"
