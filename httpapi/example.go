package httpapi

import (
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
		return usual(name, resolved.Format)
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

// usual is a text that is usual for a field's format or its name.
func usual(name, format string) string {
	text, named := usualByName[name]
	switch {
	case usualByFormat[format] != "":
		return usualByFormat[format]
	case named:
		return text
	case strings.HasSuffix(name, "_at") || strings.HasSuffix(name, "_until"):
		return usualByFormat["date-time"]
	case strings.HasSuffix(name, "_id"):
		return usualByName["id"]
	}
	return "text"
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
		"access_token":     "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0R1pUTCJ9.c2lnbmF0dXJl",
		"address":          "192.0.2.7",
		"agent":            "Mozilla/5.0",
		"assignee":         "amal@example.com",
		"ceremony_id":      "YX7KQ2M4RWCJ5H3NBT6ZPVDLFA",
		"code":             "492039",
		"component":        "api",
		"culprit":          "shop.(*Cart).checkout",
		"current_password": "correct horse battery staple",
		"dsn":              "https://4c1d9a7b2e6f4d3c8b5a0f1e2d3c4b5a@app.example.com/1",
		"detail":           "A mail is on its way to the address; open the link in it.",
		"email":            "amal@example.com",
		"environment":      "production",
		"fingerprint":      "5b1f0c6f2a9d4e37",
		"first_release":    "shop@1.4.1",
		"full_name":        "Amal Haddad",
		"id":               "4GZTLGJVK3A5XOAWZBQ3PVNM4U",
		"last_release":     "shop@1.4.2",
		"lease":            "NQ3PVWZB4GZTLGJVK3A5XOAM4U",
		"monitor":          "website",
		"name":             "Amal's laptop",
		"new_password":     "a cart of unrelated words",
		"next_cursor":      "",
		"origin":           "https://app.example.com",
		"otp":              "492039",
		"password":         "correct horse battery staple",
		"place":            "frankfurt",
		"platform":         "go",
		"redirect_url":     "https://app.example.com/signed-in",
		"refresh_token":    "rt_4GZTLGJVK3A5XOAWZBQ3PVNM4U",
		"scope":            "read",
		"text":             "Summarise the third chapter.",
		"text_ar":          "لخّص الفصل الثالث.",
		"ticket":           "VDLFAYX7KQ2M4RWCJ5H3NBT6ZP",
		"timezone":         "Europe/Berlin",
		"title":            "Quarterly report",
		"title_ar":         "التقرير الفصلي",
		"token":            "VDLFAYX7KQ2M4RWCJ5H3NBT6ZP",
		"url":              "https://example.com/",
		"version":          "1.4.2",
	}
)
