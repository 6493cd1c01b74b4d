package jobfile

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/batcher/feature"
)

// Parameter is what a job says of one of its parameters.
type Parameter struct {
	Type    ParameterType   `json:"type,omitempty" doc:"text, the default; integer; number; boolean; or date (2026-11-22)"`
	Default *feature.Scalar `json:"default,omitempty" doc:"its value where --set gives none; without one it must be given"`
	Doc     string          `json:"doc,omitempty" doc:"what it is, for people"`
}

// ParameterType is the type of a parameter by its name.
type ParameterType string

// The types.
const (
	TextParameter    ParameterType = "text"
	IntegerParameter ParameterType = "integer"
	NumberParameter  ParameterType = "number"
	BooleanParameter ParameterType = "boolean"
	DateParameter    ParameterType = "date"
)

// Values are all of them.
func (ParameterType) Values() []string {
	return []string{string(TextParameter), string(IntegerParameter), string(NumberParameter), string(BooleanParameter), string(DateParameter)}
}

// check says what is wrong with a value.
func (p *Parameter) check(text string) error {
	kind, _ := resolvePlain(text)
	switch p.Type {
	case IntegerParameter:
		if _, err := strconv.ParseInt(text, 10, 64); err != nil {
			return errors.New("must be a whole number of 64 bits")
		}
	case NumberParameter:
		if x, ok := parseFloat(text); kind != numberNode || !ok || x != x || x-x != 0 {
			return errors.New("must be a number")
		}
	case BooleanParameter:
		if text != "true" && text != "false" {
			return errors.New("must be true or false")
		}
	case DateParameter:
		if _, err := time.Parse(time.DateOnly, text); err != nil {
			return errors.New("must be a date, such as 2026-11-22")
		}
	default:
		if strings.ContainsFunc(text, isControl) {
			return errors.New("must not have control characters")
		}
	}
	return nil
}

// literal writes a value as a literal of the filter language: a text cannot end before
// its quotes do.
func (p *Parameter) literal(text string) string {
	switch p.Type {
	case IntegerParameter, NumberParameter, BooleanParameter:
		return text
	default:
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
	}
}

// sqlLiteral writes a value as a literal of SQL, in which a quote stands for itself when it
// stands twice.
func (p *Parameter) sqlLiteral(text string) string {
	switch p.Type {
	case IntegerParameter, NumberParameter, BooleanParameter:
		return text
	default:
		return "'" + strings.ReplaceAll(text, "'", "''") + "'"
	}
}

// parameters decodes what the file declares, and checks what was given.
func (d *decoder) parameters(root *node, set map[string]string) {
	d.vars.values, d.vars.set, d.vars.missing = maps.Clone(set), set, map[string]bool{}
	if d.vars.values == nil {
		d.vars.values = map[string]string{}
	}
	none := Parameter{}
	for name, text := range set {
		if err := none.check(text); err != nil {
			d.bad(place{}, "--set %s: %v", clipped(name), err)
		}
	}
	n := root.field("parameters")
	if n == nil || n.kind != mapNode {
		return
	}
	d.vars.declared = map[string]Parameter{}
	quiet := &decoder{source: newSource(d.file, nil), origins: newOrigins()} // all is decoded, and said, once more
	for _, e := range n.entries {
		var p Parameter
		quiet.value(e.value, reflect.ValueOf(&p).Elem(), tags{name: "parameter"})
		d.vars.declared[e.key] = p
		d.declare(e, &p)
	}
}

// declare checks one declared parameter, and gives it its value.
func (d *decoder) declare(e entry, p *Parameter) {
	if !parameterName.MatchString(e.key) {
		d.bad(e.at, "a parameter's name is lower-case letters, digits and _, not %s: upper-case names are the environment's", quoted(e.key))
		return
	}
	if p.Default != nil {
		if err := p.checkDefault(); err != nil {
			d.bad(e.at, "default %s of parameter %s %v", quoted(p.Default.Text), e.key, err)
			return
		}
	}
	text, given := d.vars.values[e.key]
	switch {
	case given:
		if err := p.check(text); err != nil {
			d.bad(e.at, "--set %s=%s %v", e.key, clipped(text), err)
		}
	case p.Default != nil:
		d.vars.values[e.key] = p.Default.Text
	default:
		what := ""
		if p.Doc != "" {
			what = " (" + clipped(p.Doc) + ")"
		}
		kind := p.Type
		if kind == "" {
			kind = TextParameter
		}
		d.bad(e.at, "parameter %s is missing%s: give --set %s=%s", e.key, what, e.key, strings.ToUpper(string(kind)))
	}
}

func (p *Parameter) checkDefault() error {
	switch p.Default.Kind {
	case feature.Null:
		return errors.New("is nothing")
	case feature.Text:
		if p.Type != "" && p.Type != TextParameter && p.Type != DateParameter {
			return fmt.Errorf("is a text, and the parameter's type is %s", p.Type)
		}
	default:
		if p.Type == "" || p.Type == TextParameter || p.Type == DateParameter {
			return errors.New("must be a text: write it in quotes")
		}
	}
	return p.check(p.Default.Text)
}

// unusedParameters refuses what was given or declared and stands for nothing. Of a file with
// other problems, not all of which is understood, that cannot be told of what it declares.
func (d *decoder) unusedParameters(root *node, set map[string]string) {
	if n := root.field("parameters"); n != nil && len(d.problems) == 0 {
		for _, e := range n.entries {
			if !d.vars.used[e.key] {
				d.bad(e.at, "parameter %s is declared, and nothing uses it: write ${%s} where its value belongs, or leave it out", e.key, e.key)
			}
		}
	}
	known := slices.Sorted(maps.Keys(d.vars.used))
	if d.vars.declared != nil {
		known = slices.Sorted(maps.Keys(d.vars.declared))
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if slices.Contains(known, name) {
			continue
		}
		hint := didYouMean(name, known)
		if hint == "" && len(known) > 0 && len(known) <= maxListed {
			hint = ": it has " + strings.Join(known, ", ")
		}
		d.bad(place{}, "--set %s: the job has no such parameter%s", clipped(name), hint)
	}
}

// parseFloat reads a number of the core schema.
func parseFloat(text string) (float64, bool) {
	s, err := feature.ParseNumber(text)
	return s.Number, err == nil
}
