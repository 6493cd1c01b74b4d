package jobfile

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"

	"github.com/millrace/millrace/batcher/feature"
	"github.com/millrace/millrace/engine/unique"
	"github.com/millrace/millrace/io/dataset"
)

// schemaID is where the schema of job files lies.
const schemaID = "https://github.com/millrace/millrace/blob/main/docs/job.schema.json"

// Schema is the JSON Schema (draft 2020-12) of job files, as indented JSON. What it
// refuses Decode refuses too; Decode also checks what a schema cannot say.
func Schema() ([]byte, error) {
	w := &schemaWriter{defs: map[string]bool{}}
	root := w.structure(reflect.TypeFor[Job]())
	doc := schema{
		{"$schema", "https://json-schema.org/draft/2020-12/schema"},
		{"$id", schemaID},
		{"title", "millrace job file"},
		{"description", "What one run of millrace does: docs/jobs.md"},
	}
	doc = append(append(doc, root...), member{"$defs", w.all})
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "  "); err != nil {
		return nil, err
	}
	return append(b.Bytes(), '\n'), nil
}

// schema is a JSON object that keeps the order of its members.
type schema []member

type member struct {
	key   string
	value any
}

// MarshalJSON writes the members in order.
func (s schema) MarshalJSON() ([]byte, error) {
	b := bytes.NewBufferString("{")
	for i, m := range s {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := json.Marshal(m.key)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// schemaWriter makes schemas of types, as decoder reads them.
type schemaWriter struct {
	defs map[string]bool // structs that are written, or being written
	all  schema
}

// ref gives a reference to a struct's own definition.
func (w *schemaWriter) ref(t reflect.Type, write func() schema) schema {
	name := t.String() // with its package: two may have a struct of one name
	if !w.defs[name] {
		w.defs[name] = true
		w.all = append(w.all, member{name, write()})
	}
	return schema{{"$ref", "#/$defs/" + name}}
}

// structure is the object that a struct is decoded from.
func (w *schemaWriter) structure(t reflect.Type) schema {
	fields := fieldsOf(t)
	properties, required := make(schema, 0, len(fields)), []string(nil)
	for _, f := range fields {
		properties = append(properties, member{f.key, w.described(f.typ, f)})
		if f.required {
			required = append(required, f.key)
		}
	}
	s := schema{{"type", "object"}, {"properties", properties}, {"additionalProperties", false}}
	if required != nil {
		s = append(s, member{"required", required})
	}
	return s
}

func (w *schemaWriter) described(t reflect.Type, f tags) schema {
	s := w.of(t, f)
	if f.doc != "" {
		s = append(schema{{"description", f.doc}}, s...)
	}
	return s
}

// Schemas of types that are decoded in more than one form.
var (
	anyScalar  = schema{{"type", []string{"number", "string", "boolean", "null"}}}
	nullPolicy = schema{{"type", []string{"string", "number", "boolean"}}}
)

// of is the schema of one type in one field.
func (w *schemaWriter) of(t reflect.Type, f tags) schema {
	switch t {
	case reflect.TypeFor[feature.Scalar]():
		return anyScalar
	case reflect.TypeFor[feature.Category]():
		return anyOf(anyScalar, schema{{"type", "array"}, {"items", anyScalar}, {"minItems", 1}})
	case reflect.TypeFor[feature.Plain]():
		return schema{{"type", []string{"object", "null"}}, {"additionalProperties", false}}
	case reflect.TypeFor[feature.Step]():
		return w.ref(t, w.step)
	case reflect.TypeFor[feature.Feature]():
		return w.ref(t, func() schema {
			return append(w.structure(t), anyOf(schema{{"required", []string{"column"}}}, schema{{"required", []string{"columns"}}})...)
		})
	case reflect.TypeFor[FeatureEntry]():
		return anyOf(nonEmptyText(), w.of(reflect.TypeFor[feature.Feature](), f), w.of(reflect.TypeFor[Fitted](), f))
	case reflect.TypeFor[[]ModelEntry]():
		return schema{{"type", "array"}, {"items", w.of(t.Elem(), f)}, {"minItems", 1}}
	case reflect.TypeFor[Parameter]():
		return w.ref(t, w.parameter)
	case reflect.TypeFor[OneOrMore]():
		return anyOf(nonEmptyText(), schema{{"type", "array"}, {"items", nonEmptyText()}})
	case reflect.TypeFor[Secret]():
		return schema{{"type", "string"}, {"pattern", secretReference.String()}}
	case reflect.TypeFor[Partitions]():
		return anyOf(nonEmptyText(), schema{{"type", "object"}, {"additionalProperties", schema{{"enum", dataset.PartitionTypes()}}}})
	case reflect.TypeFor[Unique]():
		return anyOf(w.of(reflect.TypeFor[OneOrMore](), f), w.of(reflect.TypeFor[unique.Spec](), f))
	case reflect.TypeFor[Nulls]():
		return anyOf(nullPolicy, schema{{"type", "object"}, {"additionalProperties", nullPolicy}})
	case reflect.TypeFor[Setting]():
		return anyOf(integer(math.MinInt64, math.MaxInt64, f), schema{{"type", "string"}, {"pattern", f.pattern.String()}})
	}
	switch t.Kind() {
	case reflect.Pointer:
		return w.of(t.Elem(), f)
	case reflect.Struct:
		return w.ref(t, func() schema { return w.structure(t) })
	case reflect.Map:
		return schema{{"type", "object"}, {"additionalProperties", w.of(t.Elem(), f)}}
	case reflect.Slice:
		return schema{{"type", "array"}, {"items", w.of(t.Elem(), f)}}
	case reflect.Bool:
		return schema{{"type", "boolean"}}
	case reflect.Float64:
		return bounded(schema{{"type", "number"}}, f)
	case reflect.String:
		return textSchema(t, f)
	default:
		if t.Kind() == reflect.Uint32 {
			return integer(0, math.MaxUint32, f)
		}
		return integer(math.MinInt64, math.MaxInt64, f)
	}
}

// textSchema is that of a text; where a parameter may stand in it, its form is open.
func textSchema(t reflect.Type, f tags) schema {
	s := schema{{"type", "string"}}
	if known := f.valuesFor(reflect.Zero(t)); known != nil {
		return append(s, member{"enum", known})
	}
	switch {
	case f.pattern == nil:
		return s
	case f.expand == "":
		return append(s, member{"pattern", f.pattern.String()})
	default:
		return append(s, anyOf(schema{{"pattern", f.pattern.String()}}, schema{{"pattern", `\$\{`}})...)
	}
}

// step is a transform: its name, or one key with its settings.
func (w *schemaWriter) step() schema {
	fields := fieldsOf(reflect.TypeFor[feature.Step]())
	bare, properties := []string(nil), make(schema, 0, len(fields))
	for _, f := range fields {
		if bareStep(f) {
			bare = append(bare, f.key)
		}
		properties = append(properties, member{f.key, w.described(f.typ, f)})
	}
	return anyOf(schema{{"enum", bare}}, schema{
		{"type", "object"}, {"properties", properties}, {"additionalProperties", false}, {"minProperties", 1}, {"maxProperties", 1},
	})
}

// parameter is one whose default is of its type, which is text where it says none.
func (w *schemaWriter) parameter() schema {
	defaults := []struct {
		of   ParameterType
		form schema
	}{
		{TextParameter, schema{{"type", "string"}}},
		{IntegerParameter, schema{{"type", "integer"}}},
		{NumberParameter, schema{{"type", "number"}}},
		{BooleanParameter, schema{{"type", "boolean"}}},
		{DateParameter, schema{{"type", "string"}, {"pattern", `^\d{4}-\d{2}-\d{2}$`}}},
	}
	rules := make([]schema, 0, len(defaults))
	for _, d := range defaults {
		is := schema{{"properties", schema{{"type", schema{{"const", d.of}}}}}}
		if d.of != TextParameter {
			is = append(is, member{"required", []string{"type"}})
		}
		rules = append(rules, schema{{"if", is}, {"then", schema{{"properties", schema{{"default", d.form}}}}}})
	}
	return append(w.structure(reflect.TypeFor[Parameter]()), member{"allOf", rules})
}

func anyOf(forms ...schema) schema { return schema{{"anyOf", forms}} }

func nonEmptyText() schema { return schema{{"type", "string"}, {"minLength", 1}} }

// integer is a whole number between bounds of its type, or those of its field.
func integer(least, most int64, f tags) schema {
	s := bounded(schema{{"type", "integer"}}, f)
	if f.min == nil {
		s = append(s, member{"minimum", least})
	}
	if f.max == nil {
		s = append(s, member{"maximum", most})
	}
	return s
}

func bounded(s schema, f tags) schema {
	if f.min != nil {
		s = append(s, member{"minimum", *f.min})
	}
	if f.max != nil {
		s = append(s, member{"maximum", *f.max})
	}
	return s
}
