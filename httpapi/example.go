package httpapi

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// exemplify gives a body an example that is put together of its fields' own.
func exemplify(schemas huma.Registry, content map[string]*huma.MediaType) {
	for media, body := range content {
		if strings.HasSuffix(media, "json") && body.Schema != nil && body.Example == nil {
			body.Example = example(schemas, "", body.Schema, 0)
		}
	}
}

// maxExampleDepth ends the examples of types that hold themselves.
const maxExampleDepth = 10

// example is a value that a schema allows: the one that its field names, else one that is
// usual for what it is called, its format or its type.
func example(schemas huma.Registry, name string, schema *huma.Schema, depth int) any {
	resolved := resolve(schemas, schema)
	switch {
	case len(schema.Examples) > 0:
		return schema.Examples[0]
	case len(resolved.Examples) > 0:
		return resolved.Examples[0]
	case resolved.Default != nil:
		return resolved.Default
	case len(resolved.Enum) > 0:
		return resolved.Enum[0]
	}
	switch resolved.Type {
	case huma.TypeBoolean:
		return false
	case huma.TypeInteger, huma.TypeNumber:
		return atLeast(resolved)
	case huma.TypeString:
		return cmp.Or(usualByFormat[resolved.Format], usualByName[name], "text")
	case huma.TypeArray:
		if depth >= maxExampleDepth {
			return []any{}
		}
		return []any{example(schemas, strings.TrimSuffix(name, "s"), resolved.Items, depth+1)}
	}
	return exampleObject(schemas, resolved, depth)
}

// exampleObject has what is required, and what has an example of its own. Where that is
// nothing it has all.
func exampleObject(schemas huma.Registry, schema *huma.Schema, depth int) map[string]any {
	object := map[string]any{}
	if depth >= maxExampleDepth {
		return object
	}
	for _, all := range []bool{false, true} {
		for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
			property := schema.Properties[name]
			if all || slices.Contains(schema.Required, name) || len(property.Examples) > 0 {
				object[name] = example(schemas, name, property, depth+1)
			}
		}
		if len(object) > 0 {
			break
		}
	}
	return object
}

func atLeast(schema *huma.Schema) float64 {
	if schema.Minimum != nil {
		return *schema.Minimum
	}
	return 1
}

// Values that are usual, by a field's format and name; fields for which they are wrong have
// an example of their own.
var (
	usualByFormat = map[string]string{
		"date-time": "2026-01-31T12:00:00Z",
		"date":      "2026-01-31",
		"email":     "amal@example.com",
		"uri":       "https://example.com/",
	}
	usualByName = map[string]string{
		"access_token":  "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0R1pUTCJ9.c2lnbmF0dXJl",
		"address":       "192.0.2.7",
		"agent":         "Mozilla/5.0",
		"ceremony_id":   "YX7KQ2M4RWCJ5H3NBT6ZPVDLFA",
		"code":          "492039",
		"detail":        "A mail is on its way to the address; open the link in it.",
		"email":         "amal@example.com",
		"full_name":     "Amal Haddad",
		"id":            "4GZTLGJVK3A5XOAWZBQ3PVNM4U",
		"name":          "Amal's laptop",
		"next_cursor":   "",
		"otp":           "492039",
		"refresh_token": "rt_4GZTLGJVK3A5XOAWZBQ3PVNM4U",
		"text":          "Summarise the third chapter.",
		"title":         "Quarterly report",
		"url":           "https://example.com/",
	}
)
