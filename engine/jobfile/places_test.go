package jobfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// replaced calls try with the document, once for each value in it, in whose place odd is.
func replaced(doc, odd any, try func(path string)) {
	var walk func(v any, path string)
	walk = func(v any, path string) {
		switch v := v.(type) {
		case map[string]any:
			for key, was := range v {
				v[key] = odd
				try(path + "." + key)
				v[key] = was
				walk(was, path+"."+key)
			}
		case []any:
			for i, was := range v {
				v[i] = odd
				try(path + "[]")
				v[i] = was
				walk(was, path+"[]")
			}
		}
	}
	walk(doc, "")
}

// A wrong kind of value at any key there is is told with its line and column.
func TestWrongValuesHavePlaces(t *testing.T) {
	if testing.Short() {
		t.Skip("a thousand files, and nothing runs at the same time")
	}
	s := compileSchema(t)
	seed, err := os.ReadFile("testdata/everything.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc any
	if err := json.Unmarshal(seed, &doc); err != nil {
		t.Fatal(err)
	}
	placed := regexp.MustCompile(`(?m)^job\.yaml:\d+:\d+: `)
	tried := 0
	for _, text := range []string{`true`, `1.5`, `[]`, `{"x": 1}`} {
		var value any
		if err := json.Unmarshal([]byte(text), &value); err != nil {
			t.Fatal(err)
		}
		replaced(doc, value, func(path string) {
			text, err := json.MarshalIndent(doc, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			if s.Validate(instance) == nil {
				return
			}
			tried++
			_, err = Decode("job.yaml", text, Given{Parameters: map[string]string{"date": "2026-11-22"}, LookupEnv: os.LookupEnv, ReadFile: noFile})
			if !errors.Is(err, ErrJob) || !placed.MatchString(err.Error()) {
				t.Errorf("%s = %v: Decode = %v; want a job file's error with a line and a column", path, value, err)
			}
		})
	}
	if tried < 300 {
		t.Errorf("%d wrong values were tried; want 300 or more", tried)
	}
}

func TestOrigin(t *testing.T) {
	text := strings.Join([]string{
		"model: m.onnx",
		"output: out/${date}/${kind}",
		"ids: [a, b]",
		"nulls: {x: nan}",
		"limits:",
		"  memory: 2GiB",
		"features:",
		"  - {name: far, column: distance}",
	}, "\n")
	job, err := Decode("job.yaml", []byte("parameters: {date: {}, kind: {default: all}}\n"+text), Given{Parameters: map[string]string{"date": "d"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		about, key, name string
		want             Origin
	}{
		{"a key has the place of its value", "model", "", Origin{Key: "model", At: "job.yaml:2:8"}},
		{"a key below another too", "limits.memory", "", Origin{Key: "limits.memory", At: "job.yaml:7:11"}},
		{"parameters that were given are named, and defaults are not", "output", "", Origin{Key: "output", At: "job.yaml:3:9", Parameters: []string{"date"}}},
		{"a name in a list has its own", "ids", "b", Origin{Key: "ids", At: "job.yaml:4:10"}},
		{"one that is not there has its list's", "ids", "z", Origin{Key: "ids", At: "job.yaml:4:6"}},
		{"a column below a key", "nulls", "x", Origin{Key: "nulls", At: "job.yaml:5:12"}},
		{"a feature by its name", "features", "far", Origin{Key: "features", At: "job.yaml:9:12"}},
		{"and by its column", "features", "distance", Origin{Key: "features", At: "job.yaml:9:25"}},
		{"a key that the file does not have has no place", "input", "", Origin{}},
	} {
		got, ok := job.Origin(c.key, c.name)
		if diff := cmp.Diff(c.want, got); diff != "" || ok != (c.want.Key != "") {
			t.Errorf("%s: Origin(%q, %q) = %v, %v (-want +got):\n%s", c.about, c.key, c.name, got, ok, diff)
		}
	}
}

func TestFlagKeys(t *testing.T) {
	keys := FlagKeys()
	for flag, want := range map[string]string{
		"output": "output", "model": "model", "memory-limit": "limits.memory", "agreement-limit": "limits.agreement",
		"unique": "unique", "on-duplicate": "unique.on", "unique-mode": "unique.mode", "output-delimiter": "output_delimiter",
	} {
		if keys[flag] != want {
			t.Errorf("FlagKeys()[%q] = %q; want %q", flag, keys[flag], want)
		}
	}
}
