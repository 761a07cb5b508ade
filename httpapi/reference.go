package httpapi

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"manus/internal/words"
)

// Operation is a route of the reference, with what its types tell.
type Operation struct {
	Route
	Parameters, Body []Field
	Answers          []OperationAnswer
}

// OperationAnswer is one of an operation's answers, problems left out.
type OperationAnswer struct {
	Status      string
	Description string
	Types       []string // media types
	Fields      []Field
}

// Field is a parameter, or a property of a JSON body. Rules say in a few words what
// a value has to be like.
type Field struct {
	Name, Where, Type, Rules, Doc string
	Required                      bool
}

// Reference lists the operations of the API, in order of their registration, for
// pages that show them.
func (api *API) Reference() []Operation {
	var all []Operation
	for _, e := range api.endpoints {
		if e.operation != nil {
			all = append(all, newOperation(api.huma.OpenAPI().Components.Schemas, e.Route, e.operation))
		}
	}
	return all
}

func newOperation(schemas huma.Registry, route Route, operation *huma.Operation) Operation {
	o := Operation{Route: route}
	for _, p := range operation.Parameters {
		field := newField(schemas, p.Name, p.Schema, p.Required)
		field.Where = p.In
		field.Doc = cmp.Or(p.Description, field.Doc)
		o.Parameters = append(o.Parameters, field)
	}
	if operation.RequestBody != nil {
		o.Body = fields(schemas, operation.RequestBody.Content)
	}
	for _, status := range slices.Sorted(maps.Keys(operation.Responses)) {
		response := operation.Responses[status]
		if response.Ref == problemRef {
			continue // problems, which are told of once
		}
		answer := OperationAnswer{
			Status: status, Description: response.Description,
			Types: slices.Sorted(maps.Keys(response.Content)), Fields: fields(schemas, response.Content),
		}
		for i := range answer.Fields {
			answer.Fields[i].Required = false // it is the server who has to send them
		}
		o.Answers = append(o.Answers, answer)
	}
	return o
}

// fields are the properties of a JSON body.
func fields(schemas huma.Registry, content map[string]*huma.MediaType) []Field {
	json, ok := content["application/json"]
	if !ok || json.Schema == nil {
		return nil
	}
	schema := resolve(schemas, json.Schema)
	var all []Field
	for name, property := range schema.Properties {
		all = append(all, newField(schemas, name, property, slices.Contains(schema.Required, name)))
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

func newField(schemas huma.Registry, name string, schema *huma.Schema, required bool) Field {
	resolved := resolve(schemas, schema)
	return Field{
		Name:     name,
		Type:     typeName(schemas, resolved),
		Rules:    rules(resolved),
		Doc:      cmp.Or(schema.Description, resolved.Description),
		Required: required,
	}
}

func resolve(schemas huma.Registry, schema *huma.Schema) *huma.Schema {
	if schema.Ref != "" {
		return schemas.SchemaFromRef(schema.Ref)
	}
	return schema
}

func typeName(schemas huma.Registry, schema *huma.Schema) string {
	name := schema.Type
	switch {
	case schema.Type == huma.TypeArray && schema.Items != nil:
		name = "array of " + typeName(schemas, resolve(schemas, schema.Items))
	case schema.Type == "":
		name = "any JSON"
	case schema.Format == "date-time":
		name = "time"
	}
	if schema.Nullable {
		name += " or null"
	}
	return name
}

// rules says what a value has to be like, in a few words.
func rules(schema *huma.Schema) string {
	var all []string
	if len(schema.Enum) > 0 {
		var values []string
		for _, value := range schema.Enum {
			values = append(values, fmt.Sprint(value))
		}
		all = append(all, strings.Join(values, " | "))
	}
	if schema.Minimum != nil {
		all = append(all, fmt.Sprintf("≥ %v", *schema.Minimum))
	}
	if schema.Maximum != nil {
		all = append(all, fmt.Sprintf("≤ %v", *schema.Maximum))
	}
	if schema.MaxLength != nil {
		all = append(all, "≤ "+words.Count(*schema.MaxLength, "character"))
	}
	if schema.Pattern != "" {
		all = append(all, schema.Pattern)
	}
	return strings.Join(all, ", ")
}
