// Package page is what the project's pages of HTML have in common: their look in light
// and dark, on a phone, on a desk and on paper; how numbers and names of others are
// written; and bars. A page stands alone: no scripts, nothing fetched.
package page

import (
	_ "embed"
	"html/template"
)

//go:embed page.html.tmpl
var shared string

// New parses a page's template. It has the templates "style", the rules of a style element,
// and "bars", which draws Bars.
func New(name, text string) *template.Template {
	return template.Must(template.Must(template.New(name).Parse(shared)).Parse(text))
}
