package incident

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/yuin/goldmark/ast"
	extast "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/text"
)

// Plain is an update's text as people read it where there is no HTML: without the marks of Markdown, and with
// the addresses of its links.
func Plain(markup string) string {
	source := []byte(markup)
	p := plain{source: source}
	_ = ast.Walk(markdown.Parser().Parse(text.NewReader(source)), p.visit) // visit has no errors
	return strings.TrimSpace(string(p.out))
}

// plain writes down what it visits.
type plain struct {
	source []byte
	out    []byte
	indent string // of the lines of a list's entry
}

// within is the text in a node, as it was written.
func (p *plain) within(n ast.Node) (text string) {
	for child := n.FirstChild(); child != nil; child = child.NextSibling() {
		if words, ok := child.(*ast.Text); ok {
			text += string(words.Segment.Value(p.source))
		}
		text += p.within(child)
	}
	return text
}

// begin begins a block: on a line of its own, with an empty one before it unless it is close to what was
// before.
func (p *plain) begin(close bool) {
	p.out = bytes.TrimRight(p.out, " \n")
	switch {
	case len(p.out) == 0:
	case close:
		p.say("\n")
	default:
		p.say("\n\n")
	}
	p.say(p.indent)
}

func (p *plain) say(text string) { p.out = append(p.out, text...) }

func (p *plain) visit(n ast.Node, entering bool) (ast.WalkStatus, error) {
	switch n := n.(type) {
	case *ast.Heading, *ast.Paragraph, *ast.TextBlock:
		if entering && !isFirst(n) {
			p.begin(false)
		}
	case *ast.ListItem:
		p.item(n, entering)
	case *extast.TableHeader, *extast.TableRow:
		if entering {
			p.begin(n.PreviousSibling() != nil)
		}
	case *extast.TableCell:
		if entering && n.PreviousSibling() != nil {
			p.say(" | ")
		}
	case *ast.FencedCodeBlock, *ast.CodeBlock:
		if entering {
			p.code(n)
		}
	case *ast.Link:
		if address := string(n.Destination); !entering && address != p.within(n) {
			p.say(" (" + address + ")")
		}
	case *ast.AutoLink:
		if entering {
			p.say(string(n.Label(p.source)))
		}
	case *ast.Text:
		if entering {
			p.text(n)
		}
	case *ast.String:
		if entering {
			p.say(string(n.Value))
		}
	case *ast.ThematicBreak:
		if entering {
			p.begin(false)
			p.say("———")
		}
	case *ast.Image, *ast.HTMLBlock, *ast.RawHTML:
		return ast.WalkSkipChildren, nil // they aren't in pages either
	}
	return ast.WalkContinue, nil
}

// isFirst tells whether a block is on the line of its list entry's mark.
func isFirst(n ast.Node) bool {
	_, is := n.Parent().(*ast.ListItem)
	return is && n.PreviousSibling() == nil
}

func (p *plain) item(n *ast.ListItem, entering bool) {
	const step = "  "
	if !entering {
		p.indent = strings.TrimSuffix(p.indent, step)
		return
	}
	list, _ := n.Parent().(*ast.List)
	_, inner := list.Parent().(*ast.ListItem)
	p.begin(n.PreviousSibling() != nil || inner)
	mark := "• "
	if list.IsOrdered() {
		at := list.Start
		for other := n.PreviousSibling(); other != nil; other = other.PreviousSibling() {
			at++
		}
		mark = strconv.Itoa(at) + ". "
	}
	p.say(mark)
	p.indent += step
}

func (p *plain) code(n ast.Node) {
	p.begin(false)
	for i := range n.Lines().Len() {
		line := n.Lines().At(i)
		p.say(string(line.Value(p.source)))
	}
}

func (p *plain) text(n *ast.Text) {
	p.say(string(n.Value(p.source)))
	switch {
	case n.HardLineBreak():
		p.say("\n" + p.indent)
	case n.SoftLineBreak():
		p.say(" ")
	}
}
