package errtrack

import (
	"manus/httpapi"
	"manus/language"
)

// invalid is an ErrInvalid that says which part of what was asked is wrong, and why.
func invalid(field, en, ar string) error {
	return &httpapi.Invalid{Of: ErrInvalid, Field: field, Why: language.Text{En: en, Ar: ar}}
}
