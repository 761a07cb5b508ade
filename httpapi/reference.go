package httpapi

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"manus/docstore"
	"manus/idempotency"
	"manus/internal/words"
	"manus/language"
)

// Operation is a route of the reference, with what its types tell.
type Operation struct {
	Route
	Parameters, Body []Field
	// Example is a body that it takes, as JSON; empty where it takes none.
	Example string
	Answers []OperationAnswer
	// Problems are those that a request to such a route can be answered before its handler is
	// asked, and Theirs those of its handler. What every address may answer is left out: that
	// is Everywhere.
	Problems, Theirs Kinds
}

// OperationAnswer is one of an operation's answers, problems left out.
type OperationAnswer struct {
	Status      string
	Description string
	Types       []string // media types
	Fields      []Field
	Example     string // of the body, as JSON
}

// Field is a parameter, or a property of a JSON body. Rules say in a few words what
// a value has to be like; Example is one, as it stands in an address or a header. Fields are
// the properties of an object, or of each object of a list.
type Field struct {
	Name, Where, Example string
	Type, Rules, Doc     language.Text
	Required             bool
	Fields               []Field
}

// Reference lists the operations of the API, for pages that show them. Those of a group's own
// room come before those that others add to it, else they are in order of their registration.
func (api *API) Reference() []Operation {
	var own, added []Operation
	docs := docsOf{api.huma.OpenAPI().Components.Schemas, api.fieldTexts()}
	for _, e := range api.endpoints {
		if e.operation == nil {
			continue
		}
		o := docs.newOperation(e)
		if e.group.About != (language.Text{}) {
			own = append(own, o)
		} else {
			added = append(added, o)
		}
	}
	return append(own, added...)
}

// Groups are the groups of the operations by their chapters, with what they are called and for.
func (api *API) Groups() []Group {
	return slices.SortedStableFunc(slices.Values(api.groups), func(a, b Group) int { return cmp.Compare(a.Chapter, b.Chapter) })
}

// docsOf reads what the document has of operations; texts are its descriptions of fields in Arabic.
type docsOf struct {
	schemas huma.Registry
	texts   map[string]string
}

// fieldTexts are the descriptions of fields in Arabic, by the English ones: tags "doc" and "ar" of
// the types that routes take and answer.
func (api *API) fieldTexts() map[string]string {
	texts, seen := map[string]string{}, map[reflect.Type]bool{}
	for _, text := range []language.Text{keyDescription, unlessDescription, ifDescription} {
		texts[text.En] = text.Ar
	}
	for _, e := range api.endpoints {
		for _, t := range e.types {
			learnTexts(t, seen, texts)
		}
		for _, answer := range e.Answers {
			for _, t := range answer.Types {
				learnTexts(t, seen, texts)
			}
		}
	}
	return texts
}

func learnTexts(t reflect.Type, seen map[reflect.Type]bool, texts map[string]string) {
	if t == nil || seen[t] {
		return
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		learnTexts(t.Elem(), seen, texts)
	case reflect.Struct:
		for field := range t.Fields() {
			if doc := field.Tag.Get("doc"); doc != "" {
				texts[doc] = field.Tag.Get("ar")
			}
			learnTexts(field.Type, seen, texts)
		}
	}
}

// told is a description in both languages.
func (d docsOf) told(description string) language.Text {
	return language.Text{En: description, Ar: d.texts[description]}
}

func (d docsOf) newOperation(e *endpoint) Operation {
	o := Operation{Route: e.Route, Problems: e.problems(), Theirs: e.theirs()}
	for _, p := range e.operation.Parameters {
		field := d.newField(p.Name, p.Schema, p.Required, maxFieldDepth)
		field.Where = p.In
		if p.Description != "" {
			field.Doc = d.told(p.Description)
		}
		field.Example = fmt.Sprint(example(d.schemas, p.Name, p.Schema, 0))
		o.Parameters = append(o.Parameters, field)
	}
	if body := e.operation.RequestBody; body != nil {
		o.Body, o.Example = d.fields(body.Content), exampleOf(body.Content)
	}
	for _, status := range slices.Sorted(maps.Keys(e.operation.Responses)) {
		response := e.operation.Responses[status]
		if response.Ref == problemRef {
			continue // see Problems
		}
		answer := OperationAnswer{
			Status: status, Description: response.Description, Example: exampleOf(response.Content),
			Types: slices.Sorted(maps.Keys(response.Content)), Fields: d.fields(response.Content),
		}
		optional(answer.Fields) // it is the server who has to send them
		o.Answers = append(o.Answers, answer)
	}
	return o
}

// theirs are the kinds of the group that the handler answers with, one of each name.
func (e *endpoint) theirs() (all Kinds) {
	for _, kind := range e.group.Kinds {
		if e.names(kind) && !slices.ContainsFunc(all, func(k Kind) bool { return k.Name == kind.Name }) {
			all = append(all, kind)
		}
	}
	return all
}

// names tells whether the route says that it answers such a problem.
func (e *endpoint) names(kind Kind) bool {
	return slices.ContainsFunc(e.Route.Problems, func(err error) bool {
		named, _ := e.group.Kinds.Find(err)
		return named.Name == kind.Name
	})
}

// tellUnnamed logs that the reference is wrong, where a handler's error is of its group but not
// of those that the route names.
func (e *endpoint) tellUnnamed(ctx context.Context, err error) {
	for _, kind := range e.group.Kinds {
		if !errors.Is(err, kind.Err) {
			continue
		}
		if !e.names(kind) {
			e.api.Log.ErrorContext(ctx, Unnamed, "route", e.pattern, "problem", kind.Name)
		}
		return
	}
}

// Unnamed is what the log says of a problem that its route should name in [Route].Problems.
const Unnamed = "a route answers a problem that its reference lacks"

// problems are what is answered to a request to the route before, or instead of, what its
// handler does: of what the route is it follows what can be wrong.
func (e *endpoint) problems() (all Kinds) {
	add := func(is bool, errs ...error) {
		for _, err := range errs {
			if is {
				kind, _ := common.Find(err)
				all = append(all, kind)
			}
		}
	}
	add(slices.ContainsFunc(e.operation.Parameters, func(p *huma.Param) bool { return p.Name == "cursor" }), docstore.ErrCursor)
	add(e.creates(), errInvalidKey)
	add(e.operation.RequestBody != nil, errBrokenBody)
	add(e.Access != Public, ErrUnauthorized)
	add(e.Access == Persons, ErrNotForKeys)
	add(e.Access == Operators || e.Access == Workers || e.Access == Known && e.Scope != "", ErrForbidden)
	add(e.operation.RequestBody != nil, errSlowBody)
	add(e.creates(), idempotency.ErrAtWork)
	add(e.conditional(), docstore.ErrChanged)
	add(e.operation.RequestBody != nil, errTooLarge, errMediaType)
	add(e.takes, errInvalidRequest)
	add(e.creates(), idempotency.ErrReused, idempotency.ErrTooMany)
	add(true, ErrTooMany)
	slices.SortStableFunc(all, func(a, b Kind) int { return cmp.Compare(a.Status, b.Status) })
	return all
}

// Everywhere are the problems that any request can be answered, whatever its route is.
func Everywhere() Kinds {
	return slices.DeleteFunc(slices.Clone(common), func(k Kind) bool {
		return k.Status < http.StatusInternalServerError && !slices.ContainsFunc([]error{ErrNotFound, errMethodNotAllowed, errWrongHost}, func(err error) bool { return errors.Is(k.Err, err) })
	})
}

// exampleOf is a body's example as JSON; empty where there is none.
func exampleOf(content map[string]*huma.MediaType) string {
	body, ok := content["application/json"]
	if !ok || body.Example == nil {
		return ""
	}
	var out bytes.Buffer
	write := json.NewEncoder(&out)
	write.SetEscapeHTML(false) // the page escapes it
	write.SetIndent("", "  ")
	if write.Encode(body.Example) != nil {
		return ""
	}
	return strings.TrimSpace(out.String())
}

// maxFieldDepth bounds how far fields of fields are told.
const maxFieldDepth = 4

// fields are the properties of a JSON body.
func (d docsOf) fields(content map[string]*huma.MediaType) []Field {
	json, ok := content["application/json"]
	if !ok || json.Schema == nil {
		return nil
	}
	return d.properties(resolve(d.schemas, json.Schema), maxFieldDepth)
}

// properties are the fields of an object, or of each object of a list.
func (d docsOf) properties(schema *huma.Schema, depth int) []Field {
	if schema.Type == huma.TypeArray && schema.Items != nil {
		schema = resolve(d.schemas, schema.Items)
	}
	if depth == 0 {
		return nil
	}
	var all []Field
	for name, property := range schema.Properties {
		all = append(all, d.newField(name, property, slices.Contains(schema.Required, name), depth))
	}
	// Required ones first, as people think of them.
	slices.SortFunc(all, func(a, b Field) int {
		if a.Required != b.Required {
			return map[bool]int{true: -1, false: 1}[a.Required]
		}
		return cmp.Compare(a.Name, b.Name)
	})
	return all
}

func optional(fields []Field) {
	for i := range fields {
		fields[i].Required = false
		optional(fields[i].Fields)
	}
}

func (d docsOf) newField(name string, schema *huma.Schema, required bool, depth int) Field {
	resolved := resolve(d.schemas, schema)
	return Field{
		Name:     name,
		Type:     d.typeName(resolved),
		Rules:    rules(resolved),
		Doc:      d.told(cmp.Or(schema.Description, resolved.Description)),
		Required: required,
		Fields:   d.properties(resolved, depth-1),
	}
}

func resolve(schemas huma.Registry, schema *huma.Schema) *huma.Schema {
	if schema.Ref != "" {
		return schemas.SchemaFromRef(schema.Ref)
	}
	return schema
}

// typeName is what JSON Schema calls a value, as people say it.
func (d docsOf) typeName(schema *huma.Schema) language.Text {
	name := language.Text{En: schema.Type, Ar: schema.Type}
	switch {
	case schema.Type == huma.TypeArray && schema.Items != nil:
		of := d.typeName(resolve(d.schemas, schema.Items))
		name = language.Text{En: "array of " + of.En, Ar: "قائمة من " + of.Ar}
	case schema.Type == "":
		name = language.Text{En: "any JSON", Ar: "أيّ JSON"}
	case schema.Format == "date-time":
		name = language.Text{En: "time", Ar: "وقت"}
	}
	if schema.Nullable {
		name = name.Then(language.Text{En: "or null", Ar: "أو null"})
	}
	return name
}

// rules says what a value has to be like, in a few words.
func rules(schema *huma.Schema) language.Text {
	var all []language.Text
	if len(schema.Enum) > 0 {
		var values []string
		for _, value := range schema.Enum {
			values = append(values, fmt.Sprint(value))
		}
		list := strings.Join(values, " | ")
		all = append(all, language.Text{En: list, Ar: language.Arabic.Isolate(list)})
	}
	if n := schema.Minimum; n != nil {
		all = append(all, language.Text{En: fmt.Sprintf("≥ %v", *n), Ar: fmt.Sprintf("%v فأكثر", *n)})
	}
	if n := schema.Maximum; n != nil {
		all = append(all, language.Text{En: fmt.Sprintf("≤ %v", *n), Ar: fmt.Sprintf("%v فأقلّ", *n)})
	}
	count := func(sign string, n *int, what, arabic string) {
		if n != nil {
			all = append(all, language.Text{En: sign + " " + words.Count(*n, what), Ar: fmt.Sprintf(arabic, *n)})
		}
	}
	count("≥", schema.MinLength, "character", "طوله %d فأكثر")
	count("≤", schema.MaxLength, "character", "طوله %d فأقلّ")
	count("≥", schema.MinItems, "item", "عدده %d فأكثر")
	count("≤", schema.MaxItems, "item", "عدده %d فأقلّ")
	if schema.Pattern != "" {
		all = append(all, language.Text{En: schema.Pattern, Ar: language.Arabic.Isolate(schema.Pattern)})
	}
	if schema.Default != nil {
		all = append(all, language.Text{En: "default #", Ar: "والأصل #"}.Quoting(fmt.Sprint(schema.Default)))
	}
	return joined(all)
}

// joined is a list in both languages.
func joined(all []language.Text) language.Text {
	return language.Both(func(tag language.Tag) string {
		said := make([]string, len(all))
		for i, text := range all {
			said[i] = text.In(tag)
		}
		return strings.Join(said, language.Text{En: ", ", Ar: "، "}.In(tag))
	})
}
