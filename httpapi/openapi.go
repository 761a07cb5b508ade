package httpapi

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"manus/language"
)

// problemRef is the answer that all problems share in the document.
const problemRef = "#/components/responses/Problem"

// describe begins the document with what all routes have in common.
func describe(doc *huma.OpenAPI) {
	doc.Info.Description = "Accounts, plans and metered sessions. Errors are RFC 9457 problems; times are RFC 3339 in UTC; ids are opaque."
	doc.Info.License = &huma.License{Name: "Proprietary", Identifier: "LicenseRef-Proprietary"}
	doc.Servers = []*huma.Server{{URL: Prefix}}
	doc.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"bearer": {Type: "http", Scheme: "bearer", Description: "An access token from signing in, or an API key."},
	}
	problem := doc.Components.Schemas.Schema(reflect.TypeFor[Problem](), true, "")
	doc.Components.Responses = map[string]*huma.Response{"Problem": {
		Description: "A problem",
		Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: problem}},
	}}
}

// operation is the route as huma takes it.
func (api *API) operation(route *Route) huma.Operation {
	operation := huma.Operation{
		Method: route.Method(), Path: route.Path(), OperationID: route.ID, DefaultStatus: route.Status,
		Summary: route.Summary.En, Description: route.Description.En, Tags: []string{route.Group.En},
		MaxBodyBytes: -1, BodyReadTimeout: -1, // see readJSON
		Responses: map[string]*huma.Response{},
		Security:  []map[string][]string{}, // which says that none is needed
	}
	for status, answer := range route.Answers {
		response := &huma.Response{Description: answer.Description, Content: map[string]*huma.MediaType{}}
		for media, body := range answer.Types {
			response.Content[media] = &huma.MediaType{}
			if body != nil {
				response.Content[media].Schema = api.huma.OpenAPI().Components.Schemas.Schema(body, true, "")
			}
		}
		operation.Responses[status] = response
	}
	if route.Access != Public {
		operation.Security = []map[string][]string{{"bearer": {}}}
	}
	operation.Responses["default"] = &huma.Response{Ref: problemRef}
	return operation
}

// complete says the rest, once huma has read the handler's types.
func (e *endpoint) complete(operation *huma.Operation) {
	e.takes = operation.RequestBody != nil || len(operation.Parameters) > 0
	for _, kind := range slices.Concat(e.problems(), e.theirs()) {
		operation.Responses[strconv.Itoa(kind.Status)] = &huma.Response{Ref: problemRef}
	}
	if e.creates() {
		documentKey(operation)
	}
	e.documentConditions(operation)
	schemas := e.api.huma.OpenAPI().Components.Schemas
	completeSchemas(schemas)
	if operation.RequestBody != nil {
		exemplify(schemas, operation.RequestBody.Content)
	}
	for _, response := range operation.Responses {
		exemplify(schemas, response.Content)
	}
}

// completeSchemas gives schemas the properties of embedded types that aren't exported, which
// encoding/json writes and huma passes over.
func completeSchemas(schemas huma.Registry) {
	for _, name := range slices.Sorted(maps.Keys(schemas.Map())) { // a copy: schemas are added meanwhile
		if t := schemas.TypeFromRef("#/components/schemas/" + name); t != nil && t.Kind() == reflect.Struct {
			addEmbedded(schemas, schemas.Map()[name], t)
		}
	}
}

func addEmbedded(schemas huma.Registry, schema *huma.Schema, t reflect.Type) {
	for field := range t.Fields() {
		if !field.Anonymous || field.Tag.Get("json") != "" {
			continue
		}
		embedded := field.Type
		if embedded.Kind() == reflect.Pointer {
			embedded = embedded.Elem()
		}
		if embedded.Kind() != reflect.Struct {
			continue
		}
		if !field.IsExported() {
			addProperties(schema, huma.SchemaFromType(schemas, embedded))
		}
		addEmbedded(schemas, schema, embedded)
	}
}

// addProperties adds those that there aren't: an outer field hides an inner one.
func addProperties(schema, embedded *huma.Schema) {
	for name, property := range embedded.Properties {
		if schema.Properties[name] != nil {
			continue
		}
		schema.Properties[name] = property
		if slices.Contains(embedded.Required, name) {
			schema.Required = append(schema.Required, name)
		}
	}
	slices.Sort(schema.Required)
	schema.PrecomputeMessages()
}

// OpenAPI is the OpenAPI 3.1 document of all routes, as JSON. It is asked for after
// the last Register.
func (api *API) OpenAPI() ([]byte, error) {
	doc := *api.huma.OpenAPI()
	components := *doc.Components
	components.Schemas, doc.Components = published{components.Schemas}, &components
	for _, group := range api.Groups() {
		doc.Tags = append(doc.Tags, &huma.Tag{Name: group.Name.En, Description: group.About.En})
	}
	return json.MarshalIndent(&doc, "", "  ")
}

// learnGroup adds a group to those that the reference describes.
func (api *API) learnGroup(group Group) {
	known := slices.IndexFunc(api.groups, func(g Group) bool { return g.Name == group.Name })
	if known < 0 {
		known, api.groups = len(api.groups), append(api.groups, Group{Name: group.Name})
	}
	if group.About != (language.Text{}) {
		api.groups[known].About, api.groups[known].Chapter = group.About, group.Chapter
	}
}

// published are the schemas without those of huma's own errors, which it registers whether
// or not a route uses them.
type published struct{ huma.Registry }

// MarshalJSON leaves the map that inputs are held against meanwhile as it is.
func (p published) MarshalJSON() ([]byte, error) {
	schemas := maps.Clone(p.Map())
	delete(schemas, "ErrorModel")
	delete(schemas, "ErrorDetail")
	return json.Marshal(schemas)
}
