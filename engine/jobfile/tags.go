package jobfile

import (
	"reflect"
	"regexp"
	"strconv"
	"strings"
)

// tags are what a struct's field says of its key.
type tags struct {
	name string // as messages call it
	path string // of keys from the root; see decoder.given
	key  string
	doc  string

	required bool
	values   []string
	min, max *float64
	pattern  *regexp.Regexp
	form     string
	expand   string
	flag     string
	alike    []string

	index []int
	typ   reflect.Type
}

// fieldsOf reads the tags of a struct's fields, in order. A field without a json name
// is no key.
func fieldsOf(t reflect.Type) []tags {
	var all []tags
	for field := range t.Fields() {
		key, rest, _ := strings.Cut(field.Tag.Get("json"), ",")
		if key == "" || key == "-" {
			continue
		}
		f := tags{
			name: key, key: key, doc: field.Tag.Get("doc"), required: !strings.Contains(rest, "omit"),
			form: field.Tag.Get("form"), expand: field.Tag.Get("expand"), flag: field.Tag.Get("flag"),
			min: bound(field.Tag.Get("min")), max: bound(field.Tag.Get("max")),
			index: field.Index, typ: field.Type,
		}
		if list := field.Tag.Get("values"); list != "" {
			f.values = strings.Split(list, ",")
		}
		if list := field.Tag.Get("alike"); list != "" {
			f.alike = strings.Split(list, ",")
		}
		if p := field.Tag.Get("pattern"); p != "" {
			f.pattern = regexp.MustCompile(p)
		}
		all = append(all, f)
	}
	return all
}

func bound(text string) *float64 {
	if text == "" {
		return nil
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil {
		panic("jobfile: a bound is no number: " + text)
	}
	return &x
}

// valuesFor are the texts that a value may be: its field's, or its type's; nil for any.
func (f *tags) valuesFor(v reflect.Value) []string {
	if f.values != nil {
		return f.values
	}
	if v, ok := reflect.TypeAssert[values](v); ok {
		return v.Values()
	}
	return nil
}
