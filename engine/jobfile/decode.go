package jobfile

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/batcher/feature"
	"github.com/millrace/millrace/internal/nearest"
)

// decoder fills tagged structs from nodes. What it takes, the schema says too; both
// go by the same tags:
//
//	json     the key; a field without omitempty must be there
//	doc      what it is
//	values   the texts that it may be, comma separated; a type's Values() are the same
//	min,max  bounds of a number
//	pattern  what a text must match, and form says in words
//	expand   where ${...} is replaced: path, text or expression
//	flag     the flag that says the same, if it is not the key with dashes; - where it says it otherwise
//	alike    what the key may be called by mistake, comma separated
type decoder struct {
	*source
	vars    *variables
	origins *origins
	// known are the tags of the structs that were met: a fitted file has a few, many times.
	known map[reflect.Type][]tags
}

// fieldsOf reads the tags of a struct's fields once; see the function.
func (d *decoder) fieldsOf(t reflect.Type) []tags {
	fields, ok := d.known[t]
	if !ok {
		if d.known == nil {
			d.known = map[reflect.Type][]tags{}
		}
		fields = fieldsOf(t)
		d.known[t] = fields
	}
	return fields
}

// custom is a type that a node of more than one form makes.
type custom interface {
	fromNode(d *decoder, n *node, f tags)
}

// values is a text type of few values.
type values interface{ Values() []string }

// value decodes one node.
func (d *decoder) value(n *node, v reflect.Value, f tags) {
	if v.CanAddr() {
		if c, ok := reflect.TypeAssert[custom](v.Addr()); ok {
			c.fromNode(d, n, f)
			return
		}
	}
	switch into := v.Addr().Interface().(type) {
	case *feature.Scalar:
		d.scalar(n, into, f)
		return
	case *feature.Category:
		d.category(n, into, f)
		return
	case *feature.Step:
		d.step(n, into, f)
		return
	case *feature.Plain:
		if n.kind != nullNode && (n.kind != mapNode || len(n.entries) > 0) {
			d.bad(n.at, "%s has no settings: write its name alone", f.name)
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, v.Elem(), f)
	case reflect.Struct:
		d.object(n, v, f)
	case reflect.Map:
		d.table(n, v, f)
	case reflect.Slice:
		d.list(n, v, f)
	case reflect.String:
		if n.kind == nullNode && slices.Contains(f.valuesFor(v), "null") {
			d.bad(n.at, `%s must be a text, and null is YAML's nothing: write "null" in quotes`, f.name)
		} else if text, ok := d.text(n, f); ok && d.allowed(n, text, v, f) {
			v.SetString(text)
		}
	case reflect.Bool:
		d.boolean(n, v, f)
	default:
		d.number(n, v, f)
	}
}

// want says that a node is of the wrong kind.
func (d *decoder) want(n *node, f tags, what string) {
	hint := ""
	if n.kind == textNode && what == boolNode.String() && slices.Contains([]string{"yes", "no", "on", "off"}, strings.ToLower(n.text)) {
		hint = ": in YAML 1.2 " + n.text + " is a text"
	}
	if n.kind == numberNode && n.quoted || n.kind == textNode && what == numberNode.String() {
		hint = ": " + quoted(n.text) + " is a text"
	}
	d.bad(n.at, "%s must be %s, and here is %s%s", f.name, what, n.kind, hint)
}

// object decodes keys and values into a struct.
func (d *decoder) object(n *node, v reflect.Value, f tags) {
	if n.kind != mapNode {
		d.want(n, f, mapNode.String())
		return
	}
	fields := d.fieldsOf(v.Type())
	lines := map[string]int{}
	for _, e := range n.entries {
		if d.doubled(e, lines) {
			continue
		}
		i := slices.IndexFunc(fields, func(t tags) bool { return t.key == e.key })
		if i < 0 {
			d.unknown(e, f, fields)
			continue
		}
		field := fields[i]
		field.name, field.path = field.key, joinPath(f.path, field.key)
		d.origins.note(field.path, e.value.at)
		d.value(e.value, v.FieldByIndex(field.index), field)
	}
	var missing []string
	for _, field := range fields {
		if _, ok := lines[field.key]; field.required && !ok {
			missing = append(missing, field.key)
		}
	}
	if len(missing) > 0 {
		d.bad(n.at, "%s needs %s", f.name, strings.Join(missing, " and "))
	}
}

// doubled says that a key stands a second time; lines are those of the keys before it.
func (d *decoder) doubled(e entry, lines map[string]int) bool {
	line, twice := lines[e.key]
	if twice {
		d.bad(e.at, "key %s is doubled: line %d has it too", quoted(e.key), line)
		return true
	}
	lines[e.key] = e.at.line
	return false
}

func joinPath(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// unknown names the nearest key that is known, and all of them where they are few.
func (d *decoder) unknown(e entry, f tags, fields []tags) {
	names := make([]string, len(fields))
	for i := range fields {
		names[i] = fields[i].key
	}
	hint := elsewhere(e.key, fields)
	if hint == "" {
		hint = didYouMean(e.key, names)
	}
	if hint == "" && len(names) <= maxListed {
		hint = "; " + f.name + " takes " + strings.Join(names, ", ")
	}
	d.bad(e.at, "unknown key %s%s", quoted(e.key), hint)
}

// elsewhere says where a key stands that has another name here, or lies deeper: people
// know what they want by its flag, or by what other programs call it.
func elsewhere(key string, fields []tags) string {
	key = strings.ReplaceAll(strings.ToLower(key), "-", "_")
	is := func(f *tags) bool {
		return key == f.key || key == strings.ReplaceAll(f.flagName(), "-", "_") || slices.Contains(f.alike, key)
	}
	for i := range fields {
		if is(&fields[i]) {
			return fmt.Sprintf(" (did you mean %q?)", fields[i].key)
		}
	}
	for i := range fields {
		if fields[i].typ.Kind() != reflect.Struct {
			continue
		}
		for _, inner := range fieldsOf(fields[i].typ) {
			if is(&inner) {
				return fmt.Sprintf("; it is %s, under %s", inner.key, fields[i].key)
			}
		}
	}
	return ""
}

// maxListed is how many names a message lists.
const maxListed = 12

// didYouMean names the nearest of the known names.
func didYouMean(name string, known []string) string {
	if len(name) > maxNameBytes {
		return ""
	}
	return nearest.DidYouMean(name, known)
}

// table decodes keys of the user's own into a map.
func (d *decoder) table(n *node, v reflect.Value, f tags) {
	if n.kind != mapNode {
		d.want(n, f, mapNode.String())
		return
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(n.entries)))
	for _, e := range d.owned(n, f) {
		item := reflect.New(v.Type().Elem()).Elem()
		inner := f
		inner.name, inner.path = f.name+" of "+quoted(e.key), joinPath(f.path, e.key)
		d.origins.note(inner.path, e.value.at)
		d.value(e.value, item, inner)
		v.SetMapIndex(reflect.ValueOf(e.key).Convert(v.Type().Key()), item)
	}
}

// owned are the entries of a map whose keys are the user's own, each key once. A key is a
// text in which nothing is replaced: $${ is ${ in it, too.
func (d *decoder) owned(n *node, f tags) []entry {
	all, lines := make([]entry, 0, len(n.entries)), map[string]int{}
	for _, e := range n.entries {
		if d.doubled(e, lines) {
			continue
		}
		if key, ok := d.expand(&node{kind: textNode, text: e.key, at: e.at}, tags{name: "a key of " + f.name}); ok {
			e.key = key
			all = append(all, e)
		}
	}
	return all
}

// list decodes a list.
func (d *decoder) list(n *node, v reflect.Value, f tags) {
	if n.kind != listNode {
		d.want(n, f, listNode.String())
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.items), len(n.items)))
	for i, item := range n.items {
		inner := f
		inner.name = "an entry of " + f.name
		d.value(item, v.Index(i), inner)
	}
}

// text decodes a text, with its ${...} replaced where the field allows it.
func (d *decoder) text(n *node, f tags) (string, bool) {
	switch n.kind {
	case textNode:
		text, ok := d.expand(n, f)
		if ok && d.vars != nil {
			d.origins.noteText(f.path, text, n.at)
		}
		return text, ok
	case numberNode, boolNode:
		d.bad(n.at, "%s must be a text, and %s is %s: write it in quotes", f.name, n.text, n.kind)
	default:
		d.want(n, f, textNode.String())
	}
	return "", false
}

// allowed checks a text against its type's values and its field's pattern.
func (d *decoder) allowed(n *node, text string, v reflect.Value, f tags) bool {
	if known := f.valuesFor(v); known != nil && !slices.Contains(known, text) {
		d.bad(n.at, "%s is %s, and must be %s%s", f.name, quoted(text), oneOf(known), didYouMean(text, known))
		return false
	}
	if f.pattern != nil && !f.pattern.MatchString(text) {
		d.bad(n.at, "%s is %s, and must be %s", f.name, quoted(text), f.form)
		return false
	}
	return true
}

// oneOf lists choices in words.
func oneOf(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}

func (d *decoder) boolean(n *node, v reflect.Value, f tags) {
	if n.kind != boolNode {
		d.want(n, f, boolNode.String())
		return
	}
	v.SetBool(n.text == "true")
}

// number decodes integers and floats.
func (d *decoder) number(n *node, v reflect.Value, f tags) {
	if n.kind != numberNode {
		d.want(n, f, numberNode.String())
		return
	}
	if v.CanFloat() {
		s, err := feature.ParseNumber(n.text)
		if err != nil || math.IsInf(s.Number, 0) && !specialNumber.MatchString(n.text) {
			d.bad(n.at, "%s: no float64 holds %s", f.name, quoted(n.text))
			return
		}
		if d.inBounds(n, s.Number, f) {
			v.SetFloat(s.Number)
		}
		return
	}
	digits, ok := wholeDigits(n.text)
	if !ok {
		d.bad(n.at, "%s must be a whole number, not %s", f.name, quoted(n.text))
		return
	}
	bits := v.Type().Bits()
	if v.CanInt() {
		i, err := strconv.ParseInt(digits, 10, bits)
		if err != nil {
			d.bad(n.at, "%s is %s, and must fit into %d bits", f.name, quoted(n.text), bits)
		} else if d.inBounds(n, float64(i), f) {
			v.SetInt(i)
		}
		return
	}
	u, err := strconv.ParseUint(digits, 10, bits)
	if err != nil {
		d.bad(n.at, "%s is %s, and must be between 0 and %d", f.name, quoted(n.text), uint64(1)<<bits-1)
	} else if d.inBounds(n, float64(u), f) {
		v.SetUint(u)
	}
}

// inBounds checks a number against its field's bounds.
func (d *decoder) inBounds(n *node, x float64, f tags) bool {
	switch {
	case f.min != nil && !(x >= *f.min):
		d.bad(n.at, "%s is %s, and must be %v or more", f.name, n.text, *f.min)
	case f.max != nil && !(x <= *f.max):
		d.bad(n.at, "%s is %s, and must be %v or less", f.name, n.text, *f.max)
	default:
		return true
	}
	return false
}
