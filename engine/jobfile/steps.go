package jobfile

import (
	"reflect"
	"strings"

	"github.com/millrace/millrace/batcher/feature"
)

// scalar decodes any scalar. In a fitted file a number that JSON cannot write is
// {"number": ".nan"}; see feature.Scalar.
func (d *decoder) scalar(n *node, into *feature.Scalar, f tags) {
	switch n.kind {
	case nullNode:
		*into = feature.Scalar{}
	case boolNode:
		*into = feature.BoolOf(n.text == "true")
	case numberNode:
		text := n.text
		if digits, ok := integerDigits(text); ok {
			text = digits
		}
		number, err := feature.ParseNumber(text)
		if err != nil {
			d.bad(n.at, "%s: no float64 holds %s", f.name, quoted(n.text))
			return
		}
		*into = number
	case textNode:
		if text, ok := d.expand(n, f); ok {
			*into = feature.TextOf(text)
		}
	case mapNode:
		special := n.field("number")
		if d.vars != nil || special == nil || len(n.entries) != 1 || special.kind != textNode && special.kind != numberNode {
			d.want(n, f, "a number, a text, true, false or null")
			return
		}
		number, err := feature.ParseNumber(special.text)
		if err != nil || !specialNumber.MatchString(special.text) {
			d.bad(special.at, "number is for .nan, .inf and -.inf, not %s", quoted(special.text))
			return
		}
		*into = number
	default:
		d.want(n, f, "a number, a text, true, false or null")
	}
}

// category decodes one category, or a list of those that share a value.
func (d *decoder) category(n *node, into *feature.Category, f tags) {
	if n.kind != listNode {
		*into = make(feature.Category, 1)
		d.scalar(n, &(*into)[0], f)
		return
	}
	*into = make(feature.Category, len(n.items))
	for i, item := range n.items {
		d.scalar(item, &(*into)[i], f)
	}
	if len(n.items) == 0 {
		d.bad(n.at, "%s is a list of no categories", f.name)
	}
}

// step decodes one transform: its name and settings, or its name alone.
func (d *decoder) step(n *node, into *feature.Step, f tags) {
	known := d.fieldsOf(reflect.TypeFor[feature.Step]())
	var settings *node
	var name string
	at := n.at
	switch {
	case n.kind == textNode:
		name = n.text
	case n.kind == mapNode && len(n.entries) == 1:
		name, at, settings = n.entries[0].key, n.entries[0].at, n.entries[0].value
	case n.kind == mapNode && len(n.entries) > 1:
		d.bad(n.entries[1].at, "a transform is one name with its settings, and here are %d: begin each with a dash", len(n.entries))
		return
	default:
		d.want(n, f, "a transform: its name, or its name and settings")
		return
	}
	for _, t := range known {
		if t.key != name {
			continue
		}
		t.name = name
		v := reflect.ValueOf(into).Elem().FieldByIndex(t.index)
		if settings == nil {
			d.bare(at, v, t)
			return
		}
		d.value(settings, v, t)
		return
	}
	names := make([]string, len(known))
	for i := range known {
		names[i] = known[i].key
	}
	hint := didYouMean(name, names)
	if hint == "" {
		hint = "; there are " + strings.Join(names, ", ")
	}
	d.bad(at, "no transform is called %s%s", quoted(name), hint)
}

// bare decodes a transform of which only the name is there.
func (d *decoder) bare(at place, v reflect.Value, f tags) {
	if !bareStep(f) {
		d.bad(at, "%s needs settings: %s", f.name, f.doc)
		return
	}
	v.Set(reflect.New(v.Type().Elem()))
}

// bareStep says that a transform can do with its name alone.
func bareStep(f tags) bool {
	t := f.typ.Elem()
	if t == reflect.TypeFor[feature.Scalar]() || t == reflect.TypeFor[feature.Clip]() || t == reflect.TypeFor[feature.Scale]() {
		return false
	}
	for _, field := range fieldsOf(t) {
		if field.required {
			return false
		}
	}
	return true
}
