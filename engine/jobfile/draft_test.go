package jobfile

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/goccy/go-yaml"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/lines"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// TestDraftKeepsWhatWasSaidOfLines: every option of files of lines comes back from the file
// that init writes, and what nobody said is not there.
func TestDraftKeepsWhatWasSaidOfLines(t *testing.T) {
	said := lines.Options{
		Types:      []lines.ColumnType{{Name: "a b", Type: arrow.PrimitiveTypes.Float32}, {Name: "t", Type: &arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: "UTC"}}},
		NullValues: []string{"-", "n/a"}, Delimiter: ";", Header: lines.HeaderFirst, Nested: lines.NestedDots, Encoding: "windows-1252", Quote: "none", Comment: "#", SkipLines: 3,
		ColumnNames: []string{"a b", "t"}, Decimal: ",", Thousands: ".", TrueValues: []string{"yes"}, FalseValues: []string{"no", "~"}, DateFormat: "%d.%m.%Y", TimestampFormat: "%d.%m.%Y %H:%M",
	}
	var b bytes.Buffer
	(&draft{opts: engine.Options{InputFormat: "csv", Lines: said}}).lines(&b)
	job, err := decode(b.String(), nil)
	if err != nil {
		t.Fatalf("%s: %v", b.String(), err)
	}
	got := lines.Options{
		NullValues: job.NullValues, Delimiter: job.Delimiter, Header: lines.Header(job.Header), Nested: lines.Nested(job.Nested), Encoding: job.Encoding, Quote: job.Quote, Comment: job.Comment, SkipLines: job.SkipLines,
		ColumnNames: job.ColumnNames, Decimal: job.Decimal, Thousands: job.Thousands, TrueValues: job.TrueValues, FalseValues: job.FalseValues, DateFormat: job.DateFormat, TimestampFormat: job.TimeFormat,
	}
	for _, c := range said.Types {
		of, err := lines.ParseType(job.Types[c.Name])
		if err != nil {
			t.Error(err)
		}
		got.Types = append(got.Types, lines.ColumnType{Name: c.Name, Type: of})
	}
	for i, v := 0, reflect.ValueOf(said); i < v.NumField(); i++ {
		if f := v.Type().Field(i); f.Tag.Get("json") != "-" && (v.Field(i).IsZero() || !reflect.DeepEqual(reflect.ValueOf(got).Field(i).Interface(), v.Field(i).Interface())) {
			t.Errorf("%s came back as %v; want %v, which must not be zero", f.Name, reflect.ValueOf(got).Field(i), v.Field(i))
		}
	}
	if job.InputFormat != "csv" {
		t.Errorf("the format came back as %q", job.InputFormat)
	}
	b.Reset()
	(&draft{opts: engine.Options{InputFormat: "auto", Lines: lines.Options{Encoding: "utf-8", Decimal: "."}}}).lines(&b)
	if b.Len() > 0 {
		t.Errorf("of what nobody said there is %q", b.String())
	}
}

// A draft is of what the job needs: files may differ in other columns, and an input of one value a row is
// made of the feature that was named, though none has the input's name.
func TestDraftOfOneFeatureAndFilesThatDiffer(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a.csv": "id,u\n1,0.5\n", "b.csv": "id,u,later\n2,1.5,x\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	opts := engine.Options{Model: onnxtest.Write(t, onnxtest.Identity(pb.TensorProto_DOUBLE, "N", 1)), Inputs: []string{dir}, Features: []string{"u"}}
	text, _, err := Draft(t.Context(), opts, dir)
	if err != nil {
		t.Fatal(err)
	}
	job, err := decode(string(text), nil)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if len(job.Features) != 1 || job.Features[0].Column != "u" {
		t.Errorf("features = %+v; want u, in\n%s", job.Features, text)
	}
	opts.IDs = []string{"later"}
	if _, _, err := Draft(t.Context(), opts, dir); !errors.Is(err, dataset.ErrSchema) && !errors.Is(err, engine.ErrUsage) {
		t.Errorf("Draft() with an id that one file lacks = %v; want ErrSchema or ErrUsage", err)
	}
}

// An input that a list of features is of takes no column for its name: not one that differs from it in
// case alone. Another input of the model still does.
func TestDraftGuessesNoColumnForListedInput(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "in.csv"), []byte("X,u,v,a.ge\n0,0.5,1.5,2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	double := pb.TensorProto_DOUBLE
	open := onnxtest.Identity(double, "N", "F")
	named := onnxtest.Identity(double, "N", "F")
	named.MetadataProps = []*pb.StringStringEntryProto{{Key: new("feature_names"), Value: new("u,v")}}
	two := onnxtest.Model(onnxtest.Graph(
		onnxtest.Values(onnxtest.Tensor("x", double, "N", 2), onnxtest.Tensor("a_ge", double, "N", 1)), onnxtest.Values(onnxtest.Tensor("y", double, "N", 2)),
		onnxtest.Node("Add", onnxtest.Names("x", "a_ge"), onnxtest.Names("y"))))
	for _, c := range []struct {
		of       string
		model    *pb.ModelProto
		features []string
		bind     map[string]OneOrMore
	}{
		{"a flag, open width", open, []string{"u", "v"}, nil},
		{"a flag, one value a row", onnxtest.Identity(double, "N", 1), []string{"u"}, nil},
		{"the model's metadata", named, nil, nil},
		{"a flag, beside an input of one value a row", two, []string{"u", "v"}, map[string]OneOrMore{"a_ge": {"a.ge"}}},
	} {
		text, _, err := Draft(t.Context(), engine.Options{Model: onnxtest.Write(t, c.model), Inputs: []string{dir}, Features: c.features}, dir)
		if err != nil {
			t.Errorf("features by %s: %v", c.of, err)
			continue
		}
		job, err := decode(string(text), nil)
		if err != nil {
			t.Errorf("features by %s: %v in\n%s", c.of, err, text)
			continue
		}
		if !reflect.DeepEqual(job.Bind, c.bind) {
			t.Errorf("features by %s: bind = %v; want %v", c.of, job.Bind, c.bind)
		}
	}
}

// Any text that a draft writes is read as the same text: by us, and by a decoder that
// is not ours.
func TestDraftTextsComeBack(t *testing.T) {
	for _, text := range []string{
		"id", "dep delay", "no", "null", "~", "12", "0x1F", "1e3", ".nan", "a: b", "a #b", "- a", "*a", "&a", "!a", "%a", "@a", "`a", "'a'", `"a"`, `a\b`, "${x}", "$${x}",
		"[a]", "{a}", "a,b", "", " a ", "é", "日本", "\u2028", "a\tb", "a\nb", "---", "...", "<<", "=", "?", "😀", "\u0085x", "<b>&", "a/b-c.d", "/x", "./x", "../x", ".",
	} {
		comesBack(t, text)
	}
	rapid.Check(t, func(t *rapid.T) {
		comesBack(t, rapid.String().Draw(t, "text"))
	})
}

type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

func comesBack(t failer, text string) {
	t.Helper()
	if strings.ContainsRune(text, '\x00') || text == "" { // no column's name
		return
	}
	source := "keep:\n  - " + yamlText(text) + " # " + comment(text) + "\nids: " + flowList([]string{text, text}) + "\nbind: {" + yamlText(text) + ": " + yamlText(text) + "}\n"
	job, err := decode(source, nil)
	if err != nil {
		t.Fatalf("%q as %q: %v", text, source, err)
	}
	if len(job.Keep) != 1 || job.Keep[0] != text || len(job.IDs) != 2 || job.IDs[1] != text || len(job.Bind[text]) != 1 || job.Bind[text][0] != text {
		t.Fatalf("%q as %q came back as %q, %q and %q", text, source, job.Keep, job.IDs, job.Bind)
	}
	var other struct{ Keep, IDs []string }
	if err := yaml.Unmarshal([]byte(source), &other); err != nil || len(other.Keep) != 1 || other.Keep[0] != strings.ReplaceAll(text, "${", "$${") {
		t.Fatalf("%q as %q: another decoder reads %q (%v)", text, source, other.Keep, err)
	}
}
