package console

import (
	"cmp"
	"slices"
	"strings"

	"manus/httpapi"
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
	httpapi.Operation
	Access string // a word of the vocabulary
}

// docsFieldList is what the template of a list of fields gets.
type docsFieldList struct {
	Words  map[string]string
	Fields []httpapi.Field
}

func newFieldList(words map[string]string, fields []httpapi.Field) docsFieldList {
	return docsFieldList{words, fields}
}

func newDocs(f frame, api *httpapi.API) docs {
	d := docs{frame: f, Prefix: httpapi.Prefix, Problems: slices.Clone(api.Problems())}
	slices.SortFunc(d.Problems, func(a, b httpapi.Kind) int { return cmp.Compare(a.Name, b.Name) })
	d.Problems = slices.CompactFunc(d.Problems, func(a, b httpapi.Kind) bool { return a.Name == b.Name })
	for _, operation := range api.Reference() {
		i := slices.IndexFunc(d.Groups, func(g docsGroup) bool { return g.Name == operation.Group })
		if i < 0 {
			i = len(d.Groups)
			d.Groups = append(d.Groups, docsGroup{Name: operation.Group, ID: "group-" + strings.ToLower(operation.Group)})
		}
		access := f.Words[map[httpapi.Access]string{httpapi.Public: "public", httpapi.Known: "known", httpapi.Persons: "persons", httpapi.Operators: "operators"}[operation.Access]]
		d.Groups[i].Operations = append(d.Groups[i].Operations, docsOperation{operation, access})
	}
	return d
}
