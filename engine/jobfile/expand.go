package jobfile

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/internal/nearest"
	"github.com/millrace/millrace/io/query"
)

// Where ${...} is replaced in a text: the values of the tag expand.
const (
	expandPath       = "path"       // by parameters and variables of the environment; then relative to the file's folder
	expandFolder     = "folder"     // the same, but none stays none
	expandText       = "text"       // by parameters
	expandExpression = "expression" // by parameters, each as a literal of the language
	expandQuery      = "query"      // by parameters, each as a literal of SQL
)

// Names of parameters are lower case, and those of the environment upper case, so that
// a misspelt parameter is never a variable.
var (
	parameterName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	variableName  = regexp.MustCompile(`^[A-Z_][A-Z0-9_]*$`)
)

// variables are what ${...} may stand for.
type variables struct {
	dir      string // of the job file
	lookup   func(string) (string, bool)
	declared map[string]Parameter // nil: every name is a text that --set gives
	values   map[string]string    // by name, checked
	set      map[string]string    // those of them that --set gives
	used     map[string]bool
	missing  map[string]bool // that are said to be
}

// texts are the parameters' values, for the manifest.
func (v *variables) texts() map[string]string {
	all := map[string]string{}
	for name, text := range v.values {
		if v.declared != nil || v.used[name] {
			all[name] = text
		}
	}
	return all
}

// expand replaces each ${name} in a scalar's text; $${ gives ${ itself. In a fitted
// file nothing is replaced: it holds data.
func (d *decoder) expand(n *node, f tags) (string, bool) {
	text := n.text
	if d.vars == nil {
		return text, true
	}
	ok := true
	if strings.Contains(text, "${") {
		text, ok = d.replace(n, f)
	}
	if !ok {
		return "", false
	}
	switch {
	case text == "", text == engine.StreamName, f.expand == expandFolder && text == "none":
	case (f.expand == expandPath || f.expand == expandFolder) && strings.ContainsFunc(text, isControl):
		d.bad(n.at, "%s is %s: a path with a control character", f.name, quoted(text))
		return "", false
	case f.expand == expandPath, f.expand == expandFolder:
		text = d.vars.resolve(text)
	}
	return text, true
}

func (d *decoder) replace(n *node, f tags) (string, bool) {
	var b strings.Builder
	ok, rest := true, n.text
	for {
		before, after, found := strings.Cut(rest, "${")
		before, escape := strings.CutSuffix(before, "$")
		b.WriteString(before)
		switch {
		case !found:
			if escape { // of nothing: the text ends with a dollar
				b.WriteString("$")
			}
			return b.String(), ok
		case escape:
			b.WriteString("${")
			rest = after
			continue
		}
		name, tail, closed := strings.Cut(after, "}")
		if !closed {
			d.bad(n.at, "%s has ${ without its }; write $${ for ${ itself", f.name)
			return "", false
		}
		value, known := d.reference(n, name, f)
		ok = ok && known
		b.WriteString(value)
		rest = tail
	}
}

// reference gives the value of one ${name}.
func (d *decoder) reference(n *node, name string, f tags) (string, bool) {
	switch {
	case f.expand == "":
		d.bad(n.at, "${%s} stands in %s, where nothing is replaced: that is done in paths (model, input, output, from and others), and in output_prefix, model_sha256, endpoint, query, where and expr; write $${ for ${ itself", clipped(name), f.name)
	case parameterName.MatchString(name):
		return d.parameter(n, name, f)
	case !variableName.MatchString(name):
		d.bad(n.at, "${%s}: a parameter is lower-case letters, digits and _, and a variable of the environment upper-case ones; write $${ for ${ itself", clipped(name))
	case f.expand != expandPath && f.expand != expandFolder:
		d.bad(n.at, "${%s}: variables of the environment are replaced in paths only; make %s a parameter, and give --set", name, strings.ToLower(name))
	default:
		value, ok := d.vars.lookup(name)
		if !ok || value == "" {
			d.bad(n.at, "${%s}: the environment has no variable %s, or it is empty", name, name)
			return "", false
		}
		if urlPassword.MatchString(value) {
			d.bad(n.at, "${%s}: its value is a URL with a name or a password, which paths are not", name)
			return "", false
		}
		return value, d.printable(n, name, value)
	}
	return "", false
}

// printable refuses control characters, which no path has for a good reason.
func (d *decoder) printable(n *node, name, value string) bool {
	if strings.ContainsFunc(value, isControl) {
		d.bad(n.at, "${%s}: its value has a control character", name)
		return false
	}
	return true
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// parameter gives the value of one parameter, in the form of the place that it is for.
func (d *decoder) parameter(n *node, name string, f tags) (string, bool) {
	v := d.vars
	v.used[name] = true
	value, ok := v.values[name]
	p, declared := v.declared[name]
	switch {
	case v.declared != nil && !declared:
		d.bad(n.at, "${%s}: no such parameter is declared%s", name, nearest.DidYouMean(name, slices.Sorted(maps.Keys(v.declared))))
		return "", false
	case !ok:
		if !declared && !v.missing[name] { // a declared one is said to be missing where it is declared
			d.bad(n.at, "parameter %s is missing: give --set %s=VALUE", name, name)
			v.missing[name] = true
		}
		return "", false
	}
	if _, set := v.set[name]; set {
		d.origins.parameter(f.path, name)
	}
	switch f.expand {
	case expandExpression:
		return p.literal(value), true
	case expandQuery:
		return p.sqlLiteral(value), true
	}
	return value, true
}

// resolve makes a path relative to where millrace was started, of one relative to the
// job file's folder. Characters of the folder's name are no glob's.
func (v *variables) resolve(path string) string {
	if u, err := query.Parse(path); err == nil && u.Local() {
		if !filepath.IsAbs(u.Place) && v.dir != "." {
			u.Place = filepath.Join(v.dir, u.Place)
		}
		return u.String()
	}
	if filepath.IsAbs(path) || v.dir == "." || strings.Contains(path, "://") {
		return path
	}
	dir := v.dir
	if strings.ContainsAny(path, `*?[\`) {
		dir = globLiteral.ReplaceAllString(dir, `\$0`)
	}
	joined := filepath.Join(dir, path)
	if strings.HasSuffix(path, "/") {
		joined += "/"
	}
	return joined
}

var globLiteral = regexp.MustCompile(`[*?\[\\]`)

// clipped bounds what a message repeats.
func clipped(text string) string {
	if len(text) > maxNameBytes {
		text = text[:maxNameBytes] + "..."
	}
	text = fmt.Sprintf("%q", text)
	return text[1 : len(text)-1]
}
