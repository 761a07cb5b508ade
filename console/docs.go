package console

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"manus/httpapi"
	"manus/language"
)

// docs is the API's reference.
type docs struct {
	frame
	Prefix   string
	Groups   []docsGroup
	Problems httpapi.Kinds
}

// docsGroup is the operations of one tag.
type docsGroup struct {
	Name, ID   string
	Operations []docsOperation
}

type docsOperation struct {
	ID, Method, Path     string
	Summary, Description string
	Access               language.Text
	Parameters, Body     []docsField
	Answers              []docsAnswer
}

type docsAnswer struct {
	Status      string
	Description string
	Types       []string // media types
	Fields      []docsField
}

type docsField struct {
	Name, Where, Type, Rules, Doc string
	Required                      bool
}

// accessNames say who may call a route.
var accessNames = map[httpapi.Access]language.Text{
	httpapi.Public:    {En: "Public", Ar: "عام"},
	httpapi.Known:     {En: "Signed in", Ar: "بعد تسجيل الدخول"},
	httpapi.Persons:   {En: "Signed in; no API keys", Ar: "بعد تسجيل الدخول، لا بمفتاح"},
	httpapi.Operators: {En: "Operators", Ar: "المشغّلون"},
}

func newDocs(f frame, api *httpapi.API) docs {
	d := docs{frame: f, Prefix: httpapi.Prefix, Problems: slices.Clone(api.Problems())}
	slices.SortFunc(d.Problems, func(a, b httpapi.Kind) int { return cmp.Compare(a.Name, b.Name) })
	d.Problems = slices.CompactFunc(d.Problems, func(a, b httpapi.Kind) bool { return a.Name == b.Name })
	schemas := api.Document().Components.Schemas
	for _, route := range api.Routes() {
		operation := find(api.Document(), route)
		i := slices.IndexFunc(d.Groups, func(g docsGroup) bool { return g.Name == route.Group })
		if i < 0 {
			i = len(d.Groups)
			d.Groups = append(d.Groups, docsGroup{Name: route.Group, ID: "group-" + strings.ToLower(route.Group)})
		}
		d.Groups[i].Operations = append(d.Groups[i].Operations, newOperation(schemas, route, operation))
	}
	return d
}

// find is the route's operation as huma has completed it.
func find(document *huma.OpenAPI, route httpapi.Route) *huma.Operation {
	item := document.Paths[route.Path()]
	switch route.Method() {
	case http.MethodPost:
		return item.Post
	case http.MethodPatch:
		return item.Patch
	case http.MethodDelete:
		return item.Delete
	}
	return item.Get
}

func newOperation(schemas huma.Registry, route httpapi.Route, operation *huma.Operation) docsOperation {
	o := docsOperation{
		ID: operation.OperationID, Method: route.Method(), Path: route.Path(),
		Summary: operation.Summary, Description: operation.Description,
		Access: accessNames[route.Access],
	}
	for _, p := range operation.Parameters {
		field := newField(schemas, p.Name, p.Schema, p.Required)
		field.Where = p.In
		field.Doc = cmp.Or(p.Description, field.Doc)
		o.Parameters = append(o.Parameters, field)
	}
	if operation.RequestBody != nil {
		o.Body = fields(schemas, operation.RequestBody.Content)
	}
	for status, response := range operation.Responses {
		if status == "default" {
			continue // problems, which are told of once
		}
		answer := docsAnswer{Status: status, Description: response.Description, Fields: fields(schemas, response.Content)}
		for i := range answer.Fields {
			answer.Fields[i].Required = false // it is the server who has to send them
		}
		for mediaType := range response.Content {
			answer.Types = append(answer.Types, mediaType)
		}
		slices.Sort(answer.Types)
		o.Answers = append(o.Answers, answer)
	}
	slices.SortFunc(o.Answers, func(a, b docsAnswer) int { return cmp.Compare(a.Status, b.Status) })
	return o
}

// fields are the properties of a JSON body.
func fields(schemas huma.Registry, content map[string]*huma.MediaType) []docsField {
	json, ok := content["application/json"]
	if !ok || json.Schema == nil {
		return nil
	}
	schema := resolve(schemas, json.Schema)
	var all []docsField
	for name, property := range schema.Properties {
		all = append(all, newField(schemas, name, property, slices.Contains(schema.Required, name)))
	}
	// Required ones first, as people think of them.
	slices.SortFunc(all, func(a, b docsField) int {
		if a.Required != b.Required {
			return map[bool]int{true: -1, false: 1}[a.Required]
		}
		return cmp.Compare(a.Name, b.Name)
	})
	return all
}

func newField(schemas huma.Registry, name string, schema *huma.Schema, required bool) docsField {
	resolved := resolve(schemas, schema)
	return docsField{
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
		all = append(all, fmt.Sprintf("≤ %d characters", *schema.MaxLength))
	}
	if schema.Pattern != "" {
		all = append(all, schema.Pattern)
	}
	return strings.Join(all, ", ")
}
