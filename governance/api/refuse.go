package api

import (
	"github.com/sluice-mesh/sluice/governance/say"
	"github.com/sluice-mesh/sluice/internal/httpapi"
)

// refuse is an error of a kind of httpapi that pages say in their language.
func refuse(kind func(format string, args ...any) *httpapi.Error, why say.Sentence) *httpapi.Error {
	e := kind("%s", why.Text)
	e.Say = why
	return e
}

// wrong is refuse for what was sent; path names the field.
func wrong(path string, why say.Sentence) *httpapi.Error {
	e := httpapi.Invalid(path, "%s", why.Text)
	e.Say = why
	return e
}
