package jobfile

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace/batcher/feature"
	"github.com/millrace/millrace/engine/unique"
)

// The reference in docs/jobs.md is made from the structs' tags.
//
//	go test ./engine/jobfile -run Reference -update
func TestReferenceInDocs(t *testing.T) {
	const path, begin, end = "../../docs/jobs.md", "<!-- reference: begin", "<!-- reference: end -->"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	if !ok {
		t.Fatalf("%s has no reference", path)
	}
	note, rest, _ := strings.Cut(rest, "-->\n")
	have, after, ok := strings.Cut(rest, end)
	if !ok {
		t.Fatalf("%s: the reference does not end", path)
	}
	want := writeReference().b.String()
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+note+"-->\n"+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("reference in %s differs from the structs (-code +document); run with -update:\n%s", path, diff)
	}
}

// A table of docs/jobs.md says in which keys parameters and variables are replaced.
func TestReplacedInDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/jobs.md")
	if err != nil {
		t.Fatal(err)
	}
	answers := map[string]string{
		expandPath: " | yes | yes |", expandFolder: " | yes | yes |", expandText: " | yes | no |", expandQuery: " | yes | no |", expandExpression: " | yes | no |",
	}
	for _, f := range writeReference().fields {
		if f.expand == "" {
			continue
		}
		row := regexp.MustCompile("(?m)^\\|[^|]*`" + f.key + "`[^|]*" + regexp.QuoteMeta(answers[f.expand]) + "$")
		if !row.Match(text) {
			t.Errorf("no row of docs/jobs.md that ends with %q has %s, in which ${...} is replaced", answers[f.expand], f.key)
		}
	}
}

// writeReference lists the keys of a job file, then those of what lies in it.
func writeReference() *referenceWriter {
	w := &referenceWriter{seen: map[reflect.Type]bool{}}
	w.structure("A job file", reflect.TypeFor[Job]())
	for len(w.later) > 0 {
		next := w.later[0]
		w.later = w.later[1:]
		w.structure(next.title, next.typ)
	}
	return w
}

type referenceWriter struct {
	b      strings.Builder
	fields []tags
	seen   map[reflect.Type]bool
	later  []section
}

type section struct {
	title string
	typ   reflect.Type
}

func (w *referenceWriter) structure(title string, t reflect.Type) {
	fmt.Fprintf(&w.b, "\n### %s\n\n| key | value | |\n|---|---|---|\n", title)
	for _, f := range fieldsOf(t) {
		w.fields = append(w.fields, f)
		key := "`" + f.key + "`"
		if f.required {
			key += " (needed)"
		}
		fmt.Fprintf(&w.b, "| %s | %s | %s |\n", key, w.form(f.typ, f), strings.ReplaceAll(f.doc, "|", `\|`))
	}
}

// refer has a struct's keys listed in a section of their own.
func (w *referenceWriter) refer(title string, t reflect.Type) {
	if !w.seen[t] {
		w.seen[t] = true
		w.later = append(w.later, section{title, t})
	}
}

// form says in words what a value looks like.
func (w *referenceWriter) form(t reflect.Type, f tags) string {
	switch t {
	case reflect.TypeFor[FeatureEntry]():
		w.refer("An entry of features: a feature", reflect.TypeFor[feature.Feature]())
		w.refer("An entry of features: a fitted file", reflect.TypeFor[Fitted]())
		return "column, feature or fitted file"
	case reflect.TypeFor[feature.Step]():
		w.refer("An entry of transforms: one of these keys", t)
		return "transform"
	case reflect.TypeFor[feature.Plain]():
		return "nothing"
	case reflect.TypeFor[feature.Category]():
		return "scalar, or a list of them"
	case reflect.TypeFor[feature.Scalar]():
		return "scalar"
	case reflect.TypeFor[OneOrMore]():
		return "text, or a list of them"
	case reflect.TypeFor[Unique]():
		w.refer("`unique`", reflect.TypeFor[unique.Spec]())
		return "text, or a list of them, or keys"
	case reflect.TypeFor[Nulls]():
		return "policy, or policies by column"
	case reflect.TypeFor[Partitions]():
		return "text, or types by column"
	case reflect.TypeFor[Setting]():
		return f.form
	}
	switch t.Kind() {
	case reflect.Pointer:
		return w.form(t.Elem(), f)
	case reflect.Struct:
		w.refer("`"+f.key+"`", t)
		return "keys"
	case reflect.Map:
		return "by name: " + w.form(t.Elem(), f)
	case reflect.Slice:
		return "list: " + w.form(t.Elem(), f)
	case reflect.Bool:
		return "true or false"
	case reflect.Float64:
		return "number"
	case reflect.String:
		switch known := f.valuesFor(reflect.Zero(t)); {
		case known != nil:
			return oneOf(known)
		case f.form != "":
			return f.form
		case f.expand == expandPath || f.expand == expandFolder:
			return "path"
		default:
			return "text"
		}
	default:
		return "whole number"
	}
}
