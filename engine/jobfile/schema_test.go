package jobfile

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write generated files anew")

const schemaFile = "../../docs/job.schema.json"

func TestSchemaFileIsOfThisCode(t *testing.T) {
	want, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(schemaFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(schemaFile)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what millrace schema prints (%v): go test ./engine/jobfile -run Schema -update", schemaFile, err)
	}
}

// compileSchema is the schema as another library understands it, with the check of the
// schema itself against draft 2020-12.
func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("job.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("job.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The examples are read by us, and by a YAML decoder and a validator that are not ours.
func TestSchemaTakesTheExamples(t *testing.T) {
	s := compileSchema(t)
	var files []string
	for _, pattern := range []string{"../../docs/examples/*.yaml", "testdata/*.yaml"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	tried := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(text, []byte("job.schema.json")) { // Kubernetes' own
			continue
		}
		tried++
		var doc any
		if err := yaml.Unmarshal(text, &doc); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		plain, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(plain))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(instance); err != nil {
			t.Errorf("%s: the schema refuses it: %v", file, err)
		}
	}
	if tried < 2 {
		t.Errorf("%d job files were tried; want 2 or more", tried)
	}
}

// What the schema refuses the decoder refuses: of job files with anything changed.
func TestDecodeRefusesWhatTheSchemaRefuses(t *testing.T) {
	s := compileSchema(t)
	seed, err := os.ReadFile("testdata/everything.json")
	if err != nil {
		t.Fatal(err)
	}
	var refused, taken int
	rapid.Check(t, func(t *rapid.T) {
		var doc any
		if err := json.Unmarshal(seed, &doc); err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(0, 3).Draw(t, "changes") {
			doc = mutate(t, doc)
		}
		text, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		schemaSays := s.Validate(instance)
		_, decoderSays := Decode("job.yaml", text, Given{Parameters: map[string]string{"date": "2026-11-22"}, LookupEnv: os.LookupEnv, ReadFile: noFile})
		switch {
		case schemaSays != nil && decoderSays == nil:
			t.Fatalf("the schema refuses what the decoder takes: %v\n%s", schemaSays, text)
		case schemaSays != nil:
			refused++
		case decoderSays == nil:
			taken++
		}
	})
	if refused == 0 || taken == 0 {
		t.Errorf("%d files were refused and %d taken; want some of both", refused, taken)
	}
}

func noFile(string, int64) ([]byte, error) { return nil, os.ErrNotExist }

// odd are values that stand where others should, as JSON: each use has its own.
var odd = []string{
	`null`, `true`, `0`, `-1`, `1.5`, `1e300`, `""`, `"x"`, `"12"`, `"reject"`, `"${date}"`, `"${x}"`, `"log1p"`, `[]`, `["a"]`, `{}`, `{"x": 1}`, `[{"log1p": null}]`,
}

func drawOdd(t *rapid.T) any {
	var v any
	if err := json.Unmarshal([]byte(rapid.SampledFrom(odd).Draw(t, "odd")), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// mutate changes one thing somewhere in a document.
func mutate(t *rapid.T, doc any) any {
	switch v := doc.(type) {
	case map[string]any:
		if len(v) == 0 {
			return drawOdd(t)
		}
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		key := rapid.SampledFrom(keys).Draw(t, "key")
		switch rapid.SampledFrom([]string{"in", "in", "in", "drop", "rename", "new"}).Draw(t, "how") {
		case "in":
			v[key] = mutate(t, v[key])
		case "drop":
			delete(v, key)
		case "rename":
			v[strings.ToUpper(key)] = v[key]
			delete(v, key)
		default:
			v[rapid.SampledFrom([]string{"x", "min", "values", "column", "from"}).Draw(t, "new")] = drawOdd(t)
		}
		return v
	case []any:
		if len(v) == 0 {
			return drawOdd(t)
		}
		i := rapid.IntRange(0, len(v)-1).Draw(t, "item")
		v[i] = mutate(t, v[i])
		return v
	default:
		return drawOdd(t)
	}
}

// scalars are values as YAML has them, and as JSON has them by YAML 1.2's core schema.
var scalars = []struct{ yaml, json string }{
	{"4096", "4096"},
	{"4096.0", "4096.0"},
	{"4_096", `"4_096"`},
	{"4,096", `"4,096"`},
	{"4.096e3", "4.096e3"},
	{"1e+06", "1e+06"},
	{"0x10", "16"},
	{"0o17", "15"},
	{"010", "10"},
	{"+5", "5"},
	{"-0", "-0"},
	{"0", "0"},
	{"0.0", "0.0"},
	{"-1", "-1"},
	{"-1.0", "-1.0"},
	{"1.", "1.0"},
	{".5e1", "0.5e1"},
	{"1.5", "1.5"},
	{"0.1%", `"0.1%"`},
	{"1e-1", "1e-1"},
	{"1e300", "1e300"},
	{"1e400", "1e400"},
	{"9223372036854775807", "9223372036854775807"},
	{"9223372036854775808", "9223372036854775808"},
	{"-9223372036854775809", "-9223372036854775809"},
	{"9.223372036854775807e18", "9.223372036854775807e18"},
	{`"4096"`, `"4096"`},
	{`"4096.0"`, `"4096.0"`},
	{`"0"`, `"0"`},
	{"auto", `"auto"`},
	{"AUTO", `"AUTO"`},
	{"none", `"none"`},
	{"2GiB", `"2GiB"`},
	{"2 GiB", `"2 GiB"`},
	{`""`, `""`},
	{"true", "true"},
	{"True", "true"},
	{"yes", `"yes"`},
	{`"true"`, `"true"`},
	{"null", "null"},
	{"~", "null"},
	{"", "null"},
	{"[]", "[]"},
	{"[4096]", "[4096]"},
	{"{}", "{}"},
}

// Of keys whose value is a number, a switch, or one of a few texts, and which nothing else
// decides about, the schema takes what the decoder takes, and refuses what it refuses.
func TestSchemaAndDecoderAgreeOnScalars(t *testing.T) {
	s := compileSchema(t)
	tried := 0
	check := func(f tags, under string) {
		kind := f.typ.Kind()
		number := kind == reflect.Int || kind == reflect.Int64 || kind == reflect.Float64 || kind == reflect.Bool || f.typ == reflect.TypeFor[Setting]()
		if !number && (kind != reflect.String || f.valuesFor(reflect.Zero(f.typ)) == nil || f.expand != "") {
			return
		}
		tried++
		for _, v := range scalars {
			text, plain := f.key+": "+v.yaml, fmt.Sprintf("{%q: %s}", f.key, v.json)
			if under != "" {
				text, plain = under+":\n  "+text, fmt.Sprintf("{%q: %s}", under, plain)
			}
			instance, err := jsonschema.UnmarshalJSON(strings.NewReader(plain))
			if err != nil {
				t.Fatal(err)
			}
			schemaSays := s.Validate(instance)
			_, decoderSays := Decode("job.yaml", []byte(text), Given{LookupEnv: os.LookupEnv, ReadFile: noFile})
			if (schemaSays == nil) != (decoderSays == nil) {
				t.Errorf("%q: the schema says %v; the decoder says %v", text, schemaSays, decoderSays)
			}
		}
	}
	for _, f := range fieldsOf(reflect.TypeFor[Job]()) {
		check(f, "")
	}
	for _, f := range fieldsOf(reflect.TypeFor[Limits]()) {
		check(f, "limits")
	}
	if tried < 20 {
		t.Errorf("%d keys were tried; want 20 or more", tried)
	}
}

// The schema knows that a parameter's default is of its type, and that models has one.
func TestSchemaAndDecoderAgreeOnForms(t *testing.T) {
	s := compileSchema(t)
	check := func(job string) {
		instance, err := jsonschema.UnmarshalJSON(strings.NewReader(job))
		if err != nil {
			t.Fatal(err)
		}
		schemaSays := s.Validate(instance)
		_, decoderSays := Decode("job.yaml", []byte(job), Given{LookupEnv: os.LookupEnv, ReadFile: noFile})
		if (schemaSays == nil) != (decoderSays == nil) {
			t.Errorf("%s: the schema says %v; the decoder says %v", job, schemaSays, decoderSays)
		}
	}
	check(`{"models": []}`)
	check(`{"models": [{"name": "a", "model": "a.onnx"}]}`)
	for _, value := range []string{`"a"`, `""`, `"12"`, `"2026-11-22"`, `"true"`, `12`, `-1.5`, `true`, `null`} {
		check(fmt.Sprintf(`{"where": "a == ${x}", "parameters": {"x": {"default": %s}}}`, value))
		for _, kind := range ParameterType("").Values() {
			check(fmt.Sprintf(`{"where": "a == ${x}", "parameters": {"x": {"type": %q, "default": %s}}}`, kind, value))
		}
	}
}
