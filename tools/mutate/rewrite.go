package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/tools/go/packages"
)

// mutant is one change of one operator.
type mutant struct {
	id       int
	at       token.Position
	from, to string
	line     string // of the source
}

func (m mutant) String() string {
	return fmt.Sprintf("%s:%d:%d  %s → %s  | %s", filepath.Base(m.at.Filename), m.at.Line, m.at.Column, m.from, m.to, m.line)
}

// What operators are changed to.
var (
	opposite = map[token.Token]string{token.EQL: "!=", token.NEQ: "==", token.LSS: ">=", token.LEQ: ">", token.GTR: "<=", token.GEQ: "<"}
	boundary = map[token.Token]string{token.LSS: "<=", token.LEQ: "<", token.GTR: ">=", token.GEQ: ">"}
	inverse  = map[token.Token]string{token.ADD: "-", token.SUB: "+", token.MUL: "/", token.QUO: "*", token.REM: "*", token.INC: "--", token.DEC: "++"}
)

// helper is the source of what the rewritten files call.
//
//go:embed helper.go.txt
var helper string

// rewrite writes a room's files with all mutants in them into work, and an overlay for
// the go command.
func rewrite(root, room, work string, files []string) (mutants []mutant, overlay string, err error) {
	const mode = packages.NeedName | packages.NeedFiles | packages.NeedImports | packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo | packages.NeedExportFile
	found, err := packages.Load(&packages.Config{Mode: mode, Dir: root}, "./"+room)
	if err != nil {
		return nil, "", err
	}
	p := found[0]
	if len(p.Errors) > 0 {
		return nil, "", errors.Join(p.Errors[0])
	}
	text := map[string]string{filepath.Join(root, room, "mutants.go"): strings.Replace(helper, "package helper", "package "+p.Name, 1)}
	for i, file := range p.Syntax {
		path := p.GoFiles[i]
		if len(files) > 0 && !slices.Contains(files, filepath.Base(path)) {
			continue
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return nil, "", err
		}
		r := rewriter{p: p, file: file, source: string(source), mutants: &mutants}
		text[path] = r.children(file)
	}
	overlay, err = write(work, text)
	return mutants, overlay, err
}

// write writes files into a folder, and what says that they take the place of others.
func write(folder string, text map[string]string) (overlay string, err error) {
	replace := map[string]string{}
	for path, text := range text {
		replace[path] = filepath.Join(folder, filepath.Base(path))
		if err := os.WriteFile(replace[path], []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	overlay = filepath.Join(folder, "overlay.json")
	data, err := json.Marshal(map[string]any{"Replace": replace})
	return overlay, errors.Join(err, os.WriteFile(overlay, data, 0o600))
}

// rewriter puts the mutants into one file.
type rewriter struct {
	p       *packages.Package
	file    *ast.File
	source  string
	mutants *[]mutant
}

func (r rewriter) offset(at token.Pos) int { return r.p.Fset.Position(at).Offset }

// text is a node's source with the mutants in it.
func (r rewriter) text(n ast.Node) string {
	if text, ok := r.mutated(n); ok {
		return text
	}
	return r.children(n)
}

// children is a node's source with the mutants inside of it.
func (r rewriter) children(n ast.Node) string {
	var b strings.Builder
	at, end := r.offset(n.Pos()), r.offset(n.End())
	if n == r.file {
		at, end = 0, len(r.source)
	}
	ast.Inspect(n, func(child ast.Node) bool {
		if child == nil || child == n {
			return child == n
		}
		if isFixed(child) {
			return false
		}
		text, ok := r.mutated(child)
		if ok {
			b.WriteString(r.source[at:r.offset(child.Pos())] + text)
			at = r.offset(child.End())
		}
		return !ok
	})
	return b.String() + r.source[at:end]
}

// isFixed tells of what can't be chosen while the program runs: constants, and what
// recovers, which only works where it stands.
func isFixed(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.GenDecl:
		return n.Tok == token.CONST
	case *ast.ArrayType:
		return true
	case *ast.BinaryExpr:
		call, ok := n.X.(*ast.CallExpr)
		return ok && types.ExprString(call.Fun) == "recover"
	}
	return false
}

// mutated is a node's source with a choice of its mutants, if it has some.
func (r rewriter) mutated(n ast.Node) (text string, ok bool) {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		if opposite[n.Op] != "" {
			return r.comparison(n), true
		}
		if typ, ok := r.number(n); ok && inverse[n.Op] != "" {
			x, y, id := r.text(n.X), r.text(n.Y), r.add(n.OpPos, n.Op, inverse[n.Op])
			return fmt.Sprintf("mutantOf(%d, func() %s { return %s %s %s }, func() %s { return %s %s (%s) })", id, typ, x, n.Op, y, typ, x, inverse[n.Op], y), true
		}
	case *ast.UnaryExpr:
		if typ, ok := r.number(n); ok && n.Op == token.SUB {
			x, id := r.text(n.X), r.add(n.OpPos, n.Op, "+")
			return fmt.Sprintf("mutantOf(%d, func() %s { return -(%s) }, func() %s { return +(%s) })", id, typ, x, typ, x), true
		}
	case *ast.IncDecStmt:
		x, id := r.text(n.X), r.add(n.TokPos, n.Tok, inverse[n.Tok])
		return fmt.Sprintf("func() { if isMutant(%d) { %s%s } else { %s%s } }()", id, x, inverse[n.Tok], x, n.Tok), true
	}
	return "", false
}

// comparison has two mutants: the opposite, and the bound moved by one.
func (r rewriter) comparison(n *ast.BinaryExpr) string {
	x, y := r.text(n.X), r.text(n.Y)
	compare := func(operator string) string { return fmt.Sprintf("func() bool { return %s %s %s }", x, operator, y) }
	text := compare(n.Op.String())
	for _, other := range []string{opposite[n.Op], boundary[n.Op]} {
		if other != "" {
			text = fmt.Sprintf("func() bool { return mutantOf(%d, %s, %s) }", r.add(n.OpPos, n.Op, other), text, compare(other))
		}
	}
	return text + "()"
}

func (r rewriter) add(at token.Pos, from token.Token, to string) (id int) {
	id = len(*r.mutants) + 1
	place := r.p.Fset.Position(at)
	line := strings.TrimSpace(strings.Split(r.source, "\n")[place.Line-1])
	*r.mutants = append(*r.mutants, mutant{id, place, from.String(), to, line})
	return id
}

// number is the name of an expression's type in the file, if it is a numeric one.
func (r rewriter) number(n ast.Expr) (name string, ok bool) {
	value := r.p.TypesInfo.Types[n]
	basic, ok := value.Type.Underlying().(*types.Basic)
	if !ok || basic.Info()&types.IsNumeric == 0 || value.Value != nil && basic.Info()&types.IsUntyped != 0 {
		return "", false
	}
	ok = true
	name = types.TypeString(types.Default(value.Type), func(p *types.Package) string {
		if p == r.p.Types {
			return ""
		}
		name := r.imported(p.Path())
		ok = ok && name != ""
		return name
	})
	return name, ok
}

// imported is the name of a package in the file, empty where it isn't imported.
func (r rewriter) imported(path string) string {
	for _, spec := range r.file.Imports {
		if spec.Path.Value != strconv.Quote(path) {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return r.p.Imports[path].Name
	}
	return ""
}
