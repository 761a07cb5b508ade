package console

import (
	"net/http"
	"slices"
	"strings"

	"manus/httpapi"
	"manus/language"
)

// reference is the API's, for programs and for people. To make it takes as long as
// half of a start.
type reference struct {
	openapi document
	docs    map[language.Tag]document
}

func (p *Pages) newReference(api *httpapi.API) (made reference, err error) {
	spec, err := api.OpenAPI()
	if err != nil {
		return made, err
	}
	made = reference{newDocument("application/json", spec), map[language.Tag]document{}}
	for tag := range p.templates {
		if made.docs[tag], err = p.render(tag, "docs.html", newDocs(p.frameIn(tag), api)); err != nil {
			return made, err
		}
	}
	return made, nil
}

// ofReference serves a part of the reference.
func (p *Pages) ofReference(part func(reference) http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		made, err := p.reference()
		if err != nil {
			p.unrendered(w, r, "reference", err)
			return
		}
		part(made).ServeHTTP(w, r)
	}
}

// docs is the reference's page.
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
	Access language.Text
}

// accessNames say who may call a route.
var accessNames = map[httpapi.Access]language.Text{
	httpapi.Public:    {En: "Public", Ar: "عام"},
	httpapi.Known:     {En: "Signed in", Ar: "بعد تسجيل الدخول"},
	httpapi.Persons:   {En: "Signed in; no API keys", Ar: "بعد تسجيل الدخول، لا بمفتاح"},
	httpapi.Operators: {En: "Operators", Ar: "المشغّلون"},
}

func newDocs(f frame, api *httpapi.API) docs {
	d := docs{frame: f, Prefix: httpapi.Prefix, Problems: byName(api.Problems())}
	for _, operation := range api.Reference() {
		i := slices.IndexFunc(d.Groups, func(g docsGroup) bool { return g.Name == operation.Group })
		if i < 0 {
			i = len(d.Groups)
			d.Groups = append(d.Groups, docsGroup{Name: operation.Group, ID: "group-" + strings.ToLower(operation.Group)})
		}
		d.Groups[i].Operations = append(d.Groups[i].Operations, docsOperation{operation, accessNames[operation.Access]})
	}
	return d
}
