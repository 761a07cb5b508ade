package sqlitedocs

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"manus/docstore"
)

// collection is a declared collection and the texts of its statements.
type collection struct {
	spec  docstore.Spec
	table string // quoted

	getText, insertText, updateText, deleteText string
}

func newCollection(spec docstore.Spec) (*collection, error) {
	if err := spec.Check(); err != nil {
		return nil, err
	}
	if IsOwnTable(spec.Collection) {
		return nil, fmt.Errorf("%w: the name %q is taken", docstore.ErrInvalid, spec.Collection)
	}
	table := quote(spec.Collection)
	return &collection{
		spec:       spec,
		table:      table,
		getText:    "SELECT doc FROM " + table + " WHERE id = ?",
		insertText: "INSERT INTO " + table + " (id, doc) VALUES (?, ?)",
		updateText: "UPDATE " + table + " SET doc = ? WHERE id = ?",
		deleteText: "DELETE FROM " + table + " WHERE id = ?",
	}, nil
}

// Spec is what was declared.
func (c *collection) Spec() docstore.Spec { return c.spec }

func quote(name string) string { return `"` + name + `"` }

// indexName is the name in the file: index names are shared by all tables.
func (c *collection) indexName(index docstore.Index) string {
	return c.spec.Collection + "." + index.Name
}

// field is the expression that an index holds for a field of the document.
func field(name string) string { return "doc ->> '$." + name + "'" }

func (c *collection) get(r *conn, id string) (docstore.Raw, error) {
	doc, err := r.value(c.getText, id)
	switch doc, found := doc.(string); {
	case err != nil:
		return nil, unavailable(err)
	case !found:
		return nil, docstore.ErrNotFound
	default:
		return docstore.Raw(doc), nil
	}
}

func (c *collection) insert(w *conn, id string, doc docstore.Raw) error {
	_, err := w.exec(c.insertText, id, string(doc))
	return c.outcome(err)
}

// modify stores what apply makes of the old document, which is nil where there is none.
func (c *collection) modify(w *conn, id string, apply func(docstore.Raw) (docstore.Raw, error)) error {
	old, err := c.get(w, id)
	if err != nil && !errors.Is(err, docstore.ErrNotFound) {
		return err
	}
	doc, err := apply(old)
	switch {
	case err != nil || doc == nil, old == nil && len(doc) == 0:
		return err
	case len(doc) == 0:
		_, err = w.exec(c.deleteText, id)
		return unavailable(err)
	case old == nil:
		return c.insert(w, id, doc)
	}
	_, err = w.exec(c.updateText, string(doc), id)
	return c.outcome(err)
}

// outcome turns a violated unique index into a ConflictError. SQLite tells
// which one only in its message, "… failed: index 'users.by_email'" for an
// index on expressions; the engine is linked in, so its words are fixed.
func (c *collection) outcome(err error) error {
	switch {
	case err == nil:
		return nil
	case !isUnique(err):
		return unavailable(err)
	}
	conflict := &docstore.ConflictError{Collection: c.spec.Collection, Index: docstore.IDIndex}
	for _, index := range c.spec.Indexes {
		if strings.Contains(err.Error(), "'"+c.indexName(index)+"'") {
			conflict.Index = index.Name
		}
	}
	return conflict
}

// selection is the part of a statement that picks a plan's range.
type selection struct {
	from  string // the table and the index to be used
	where []string
	args  []any
	order []string // expressions, in the index's order
}

func (c *collection) selection(plan docstore.Plan) selection {
	s := selection{from: c.table}
	if plan.Index.Name != "" {
		// An index that can't be used is an error then, not a slow answer.
		s.from += " INDEXED BY " + quote(c.indexName(plan.Index))
	}
	for i, value := range plan.Equal {
		s.add(field(plan.Index.Fields[i])+" = ?", value)
	}
	for _, name := range plan.Rest {
		s.add(field(name) + " IS NOT NULL") // what the index is limited to
		s.order = append(s.order, field(name))
	}
	if !plan.Index.Unique || len(plan.Rest) == 0 {
		s.order = append(s.order, "id")
	}
	if plan.From != nil {
		s.add(s.order[0]+" >= ?", plan.From)
	}
	if plan.Until != nil {
		s.add(s.order[0]+" < ?", plan.Until)
	}
	return s
}

// parts are the ranges that a plan's is read as, one after another. Behind the position of a
// cursor they are what is equal to it but for the last of what it is ordered by, what is equal
// but for the last two, and so on: each is found by the index at once, however many
// documents are equal.
func (c *collection) parts(plan docstore.Plan) []selection {
	if plan.After == nil {
		return []selection{c.selection(plan)}
	}
	beyond := " > ?"
	if plan.Descending {
		beyond = " < ?"
	}
	var all []selection
	for n := len(c.selection(plan).order) - 1; n >= 0; n-- { // the id isn't of it where the fields are unique
		s := c.selection(plan)
		for i, value := range plan.After[:n] {
			s.add(s.order[i]+" = ?", value)
		}
		s.order = s.order[n:] // what is equal isn't ordered
		s.add(s.order[0]+beyond, plan.After[n])
		all = append(all, s)
	}
	return all
}

func (s *selection) add(condition string, values ...any) {
	s.where = append(s.where, condition)
	for _, value := range values {
		s.args = append(s.args, argument(value))
	}
}

// argument is a field's value as the index holds it.
func argument(value any) any {
	if t, ok := value.(docstore.Time); ok {
		return t.String()
	}
	return value
}

// text is a statement that selects columns of the range, in order.
func (s *selection) text(columns string, plan docstore.Plan) string {
	var b strings.Builder
	b.WriteString("SELECT " + columns + " FROM " + s.from)
	if len(s.where) > 0 {
		b.WriteString(" WHERE " + strings.Join(s.where, " AND "))
	}
	direction := ""
	if plan.Descending {
		direction = " DESC"
	}
	b.WriteString(" ORDER BY " + strings.Join(s.order, direction+", ") + direction + " LIMIT ?")
	return b.String()
}

// find reads one document more than the limit to know whether more follow.
func (c *collection) find(r *conn, plan docstore.Plan) (docstore.Page, error) {
	columns := []string{"doc"}
	for _, name := range plan.Rest {
		columns = append(columns, field(name))
	}
	columns = append(columns, "id")
	var page docstore.Page
	position := make([]any, len(plan.Rest)+1) // of the page's last document
	for _, s := range c.parts(plan) {
		left := plan.Limit + 1 - len(page.Documents)
		err := r.query(func(row []driver.Value) bool {
			if len(page.Documents) == plan.Limit {
				page.Next = docstore.EncodeCursor(position)
				return false
			}
			page.Documents = append(page.Documents, docstore.Raw(row[0].(string)))
			for i, value := range row[1:] {
				position[i] = value
			}
			return true
		}, s.text(strings.Join(columns, ", "), plan), append(s.args, left)...)
		if err != nil || page.Next != "" {
			return page, unavailable(err)
		}
	}
	return page, nil
}

func (c *collection) deleteRange(w *conn, plan docstore.Plan) (deleted int, err error) {
	for _, s := range c.parts(plan) {
		text := "DELETE FROM " + c.table + " WHERE id IN (" + s.text("id", plan) + ")"
		n, err := w.exec(text, append(s.args, plan.Limit-deleted)...)
		if deleted += int(n); err != nil || deleted == plan.Limit {
			return deleted, unavailable(err)
		}
	}
	return deleted, nil
}
