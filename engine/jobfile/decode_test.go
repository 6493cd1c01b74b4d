package jobfile

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/millrace/millrace/batcher/feature"
	"github.com/millrace/millrace/batcher/filter"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/unique"
)

// decode reads a job that lies in the folder jobs.
func decode(text string, parameters map[string]string) (*Job, error) {
	environment := map[string]string{"DATA": "/srv/data", "NONE": "", "ODD": "a\nb"}
	files := map[string]string{
		"jobs/fitted.json": `{"millrace": "features/1", "made_by": {"sklearn": "1.9"}, "features": [
			{"column": "a", "transforms": [{"fill": 0.25}]},
			{"name": "b2", "column": "b", "transforms": ["log1p", {"fill": {"number": ".nan"}}, {"map": {"values": {"${x}": 1}}}]}]}`,
		"jobs/later.json": `{"millrace": "features/2", "features": []}`,
		"jobs/bad.json":   "{\"millrace\": \"features/1\",\n \"features\": [{\"column\": \"a\", \"transforms\": [{\"log2p\": {}}]}]}",
		"jobs/cut.json":   "{\"millrace\": \"features/1\",\n \"features\": [",
		"jobs/two.json":   `{"millrace": "features/1", "features": []} {}`,
		"jobs/latin.json": "{\"millrace\": \"features/1\",\n \"features\": [{\"column\": \"a\", \"transforms\": [{\"equals\": \"\xe9\"}]}]}",
		"jobs/mark.json":  "\ufeff{\"millrace\": \"features/1\", \"features\": [{\"column\": \"a\"}]}",
	}
	return Decode("jobs/job.yaml", []byte(text), Given{
		Parameters: parameters,
		LookupEnv: func(name string) (string, bool) {
			value, ok := environment[name]
			return value, ok
		},
		ReadFile: func(path string, _ int64) ([]byte, error) {
			text, ok := files[path]
			if !ok {
				return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
			}
			return []byte(text), nil
		},
	})
}

func TestDecode(t *testing.T) {
	zero, half := 0.0, -0.5
	fill := func(s feature.Scalar) []feature.Step { return []feature.Step{{Fill: &s}} }
	for _, tc := range []struct {
		name, text string
		parameters map[string]string
		want       Job
	}{
		{"nothing but comments", "# later\n", nil, Job{}},
		{"a document mark before it", "# why\n---\nmodel: /m.onnx\n", nil, Job{Model: "/m.onnx"}},
		{
			"paths are relative to the file's folder, and absolute ones and URIs are not", "model: m.onnx\ninput: [/a, b/*.parquet, 's3://c/d', ../e]\noutput: out/\n", nil,
			Job{Model: "jobs/m.onnx", Input: OneOrMore{"/a", "jobs/b/*.parquet", "s3://c/d", "e"}, Output: "jobs/out/"},
		},
		{"one text is a list of one", "ids: id\nkeep: [a, 'b,c']\n", nil, Job{IDs: OneOrMore{"id"}, Keep: OneOrMore{"a", "b,c"}}},
		{"CRLF and a byte order mark", "\ufeffmodel: /m\r\nids: id\r\n", nil, Job{Model: "/m", IDs: OneOrMore{"id"}}},
		{"CRLF in quotes is a blank, as LF is", "where: 'a > 1\r\n  && b'\r\noutput_prefix: \"p\r\n  q\"\r\n", nil, Job{Where: "a > 1 && b", OutputPrefix: "p q"}},
		{"JSON is YAML", `{"model": "/m", "tf32": true}`, nil, Job{Model: "/m", TF32: true}},
		{"what looks like YAML 1.1's booleans and dates is text", "keep: [no, on, y, 2026-11-22, 1_000, 12:30]\n", nil, Job{Keep: OneOrMore{"no", "on", "y", "2026-11-22", "1_000", "12:30"}}},
		{"numbers in each form of the core schema", "workers: 0x10\nreaders: 0o17\npart_rows: 010\n", nil, Job{Workers: 16, Readers: 15, PartRows: 10}},
		{"settings of two forms", "batch_size: 512\nlimits: {max_bad_rows: 0.1%, memory: 2GiB, device_memory: 1000000}\n", nil, Job{BatchSize: "512", Limits: Limits{MaxBadRows: "0.1%", Memory: "2GiB", DeviceMemory: "1000000"}}},
		{"one null policy", "nulls: .nan\n", nil, Job{Nulls: Nulls{All: new("nan")}}},
		{"null policies by column", "nulls: {a: 0.10, b: reject, c: no, '*': nan}\n", nil, Job{Nulls: Nulls{All: new("nan"), Columns: map[string]string{"a": "0.10", "b": "reject", "c": "no"}}}},
		{"a null that becomes the empty text", "nulls: ''\n", nil, Job{Nulls: Nulls{All: new("")}}},
		{"a filter, with a parameter as a literal of its language", "parameters: {d: {default: 'x\" || true'}, n: {type: integer, default: 3}}\nwhere: day == ${d} && n > ${n}\n", nil, Job{Where: `day == "x\" || true" && n > 3`}},
		{"columns that are unique, alone and with more", "unique: [a, b]\n", nil, Job{Unique: Unique{unique.Spec{Columns: []string{"a", "b"}}}}},
		{"what becomes of duplicates", "unique: {columns: [a], on: reject, mode: exact}\n", nil, Job{Unique: Unique{unique.Spec{Columns: []string{"a"}, On: unique.OnReject, Mode: unique.Exact}}}},
		{"rules on columns", "rules:\n- {column: a, not_null: true, range: {max: 3}}\n- {expr: a < b, column: c, in: [x]}\n", nil, Job{Rules: []filter.Rule{
			{Column: "a", NotNull: true, Range: &filter.Range{Max: new(feature.NumberOf(3))}}, {Column: "c", In: []feature.Scalar{feature.TextOf("x")}, Expr: "a < b"},
		}}},
		{"partition columns in both forms", "partitions: {date: date, 'a,b': int64}\npartition_by: date\n", nil, Job{Partitions: "date=date,a%2Cb=int64", PartitionBy: OneOrMore{"date"}}},
		{"partition columns as the flag says them", "partitions: none\n", nil, Job{Partitions: "none"}},
		{"several models", "models:\n- {name: a, model: a.onnx}\n- {name: b, model: /b.onnx, nulls: {x: 0, '*': nan}, bind: {i: x}, output_prefix: ''}\n", nil, Job{Models: []ModelEntry{
			{Name: "a", Model: "jobs/a.onnx"},
			{Name: "b", Model: "/b.onnx", Nulls: Nulls{All: new("nan"), Columns: map[string]string{"x": "0"}}, Bind: map[string]OneOrMore{"i": {"x"}}, OutputPrefix: new("")},
		}}},
		{"columns alone are a list of features", "features: [a, b]\n", nil, Job{Names: []string{"a", "b"}}},
		{"a column beside a feature is a feature", "features: [a, {name: c, column: b, transforms: [log1p, abs: ~, fill: 9007199254740993]}]\n", nil, Job{Specs: []feature.Feature{
			{Column: "a"},
			{Name: "c", Column: "b", Transforms: []feature.Step{{Log1p: &feature.Plain{}}, {Abs: &feature.Plain{}}, {Fill: &feature.Scalar{Kind: feature.Number, Number: 1 << 53, Text: "9007199254740993"}}}},
		}}},
		{"an integer of a category is written in the fewest digits", "features: [{column: a, transforms: [fill: +007, equals: 0x10]}]\n", nil, Job{Specs: []feature.Feature{
			{Column: "a", Transforms: []feature.Step{{Fill: new(feature.NumberOf(7))}, {Equals: new(feature.NumberOf(16))}}},
		}}},
		{"settings of a transform", "features:\n- column: a\n  transforms:\n  - clip: {min: -0.5}\n  - fill: reject\n  - fill: ~\n  - fill: 'null'\n  - hash: {buckets: 8, algorithm: murmur3_32, seed: 4294967295}\n", nil, Job{Specs: []feature.Feature{
			{Column: "a", Transforms: append(append(append([]feature.Step{{Clip: &feature.Clip{Min: &half}}},
				fill(feature.TextOf("reject"))...), append(fill(feature.Scalar{}), fill(feature.TextOf("null"))...)...),
				feature.Step{Hash: &feature.Hash{Buckets: 8, Algorithm: feature.Murmur3x32, Seed: 1<<32 - 1}})},
		}}},
		{"categories, alone and in lists; keys that are numbers", "features:\n- column: a\n  transforms:\n  - onehot: {categories: [x, [y, ~], 1, true]}\n  - map: {values: {1: 0, 1.50: 2, true: 3}, null: 0}\n", nil, Job{Specs: []feature.Feature{
			{Column: "a", Transforms: []feature.Step{
				{OneHot: &feature.OneHot{Categories: []feature.Category{{feature.TextOf("x")}, {feature.TextOf("y"), {}}, {feature.NumberOf(1)}, {feature.BoolOf(true)}}}},
				{Map: &feature.Map{Values: map[string]float64{"1": 0, "1.50": 2, "true": 3}, Null: &zero}},
			}},
		}}},
		{"a fitted file, whose texts are as they stand", "features: [from: fitted.json]\n", nil, Job{Specs: []feature.Feature{
			{Column: "a", Transforms: fill(feature.NumberOf(0.25))},
			{Name: "b2", Column: "b", Transforms: []feature.Step{{Log1p: &feature.Plain{}}, {Fill: new(mustNumber(".nan"))}, {Map: &feature.Map{Values: map[string]float64{"${x}": 1}}}}},
		}}},
		{"a fitted file with a byte order mark", "features: [from: mark.json]\n", nil, Job{Specs: []feature.Feature{{Column: "a"}}}},
		{"some of a fitted file", "features: [{from: ./fitted.json, only: [a]}, c]\n", nil, Job{Specs: []feature.Feature{{Column: "a", Transforms: fill(feature.NumberOf(0.25))}, {Column: "c"}}}},
		{"a variable of the environment in a path", "input: ${DATA}/x\n", nil, Job{Input: OneOrMore{"/srv/data/x"}}},
		{"a parameter that nothing declares is a text", "output: /out/${date}-${date}\n", map[string]string{"date": "x y"}, Job{Output: "/out/x y-x y"}},
		{"a parameter's default, and one that is given", "parameters: {d: {type: date, default: 2026-11-22}, n: {type: integer, default: 3}}\noutput: /${d}/${n}\n", map[string]string{"n": "04"}, Job{Output: "/2026-11-22/04"}},
		{"a parameter's value is no YAML and no reference", "output_prefix: ${p}\n", map[string]string{"p": "x: {y: ${HOME}} # z"}, Job{OutputPrefix: "x: {y: ${HOME}} # z"}},
		{"dollars that are dollars", "output: /a$b/$${c}/$\nkeep: ['$${x}', '$x']\n", nil, Job{Output: "/a$b/${c}/$", Keep: OneOrMore{"${x}", "$x"}}},
		{"keys that have dollars", "nulls: {'$${x}': nan, $y: 0}\nbind: {'a$${b}': '$${c}'}\nfeatures: [{column: a, transforms: [map: {values: {'$${x}': 1}}, onehot: {categories: ['$${x}']}]}]\n", nil, Job{
			Nulls: Nulls{Columns: map[string]string{"${x}": "nan", "$y": "0"}}, Bind: map[string]OneOrMore{"a${b}": {"${c}"}},
			Specs: []feature.Feature{{Column: "a", Transforms: []feature.Step{
				{Map: &feature.Map{Values: map[string]float64{"${x}": 1}}}, {OneHot: &feature.OneHot{Categories: []feature.Category{{feature.TextOf("${x}")}}}},
			}}},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := decode(tc.text, tc.parameters)
			if err != nil {
				t.Fatal(err)
			}
			ignore := cmpopts.IgnoreFields(Job{}, "Parameters", "Features", "Record", "origins", "file")
			if diff := cmp.Diff(&tc.want, got, ignore, cmpopts.EquateNaNs(), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("Decode(%q) (-want +got):\n%s", tc.text, diff)
			}
		})
	}
}

func mustNumber(text string) feature.Scalar {
	s, err := feature.ParseNumber(text)
	if err != nil {
		panic(err)
	}
	return s
}

func TestDecodeRefuses(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       []string // in the message
	}{
		{"a misspelt key", "modell: x\n", []string{`jobs/job.yaml:1:1: unknown key "modell" (did you mean "model"?)`, "    1 | modell: x\n      | ^"}},
		{"a key that is near to none", "limits:\n  xyz: 1\n", []string{`job.yaml:2:3: unknown key "xyz"; limits takes max_bad_rows, memory, device_memory, agreement`}},
		{"a key by another name", "filters: a > 1\nformat: csv\n", []string{`1:1: unknown key "filters" (did you mean "where"?)`, `2:1: unknown key "format" (did you mean "output_format"?)`}},
		{"a flag's name for a key", "on-bad-row: reject\nmemory-limit: 2GiB\n", []string{`unknown key "on-bad-row" (did you mean "on_bad_row"?)`, `unknown key "memory-limit"; it is memory, under limits`}},
		{"a key of limits beside it", "max_bad_rows: 1\n", []string{`unknown key "max_bad_rows"; it is max_bad_rows, under limits`}},
		{"a doubled key", "workers: 1\nworkers: 2\n", []string{`job.yaml:2:1: key "workers" is doubled: line 1 has it too`}},
		{"a doubled column of null policies", "nulls: {a: 0, a: 1}\n", []string{`1:15: key "a" is doubled`}},
		{"a doubled column of folders", "partitions: {a: date, a: string}\n", []string{`1:23: key "a" is doubled: line 1 has it too`}},
		{"a doubled category", "features: [{column: a, transforms: [map: {values: {x: 1, x: 2}}]}]\n", []string{`key "x" is doubled`}},
		{"all problems at once, in order", "tf32: no\nkeep: 1\nworkers: 0\n", []string{
			"1:7: tf32 must be true or false, and here is a text: in YAML 1.2 no is a text", "2:7: keep must be a text, and 1 is a number: write it in quotes", "3:10: workers is 0, and must be 1 or more",
		}},
		{"a number for a text", "output: 2026\n", []string{"1:9: output must be a text, and 2026 is a number: write it in quotes"}},
		{"a text for a number", "workers: '2'\n", []string{`workers must be a number, and here is a text: "2" is a text`}},
		{"a fraction of workers", "workers: 1.5\n", []string{"workers must be a whole number, not"}},
		{"an integer of too many digits", "part_rows: 99999999999999999999\n", []string{"must fit into 64 bits"}},
		{"a seed below 0", "features: [{column: a, transforms: [hash: {buckets: 1, seed: -1}]}]\n", []string{"seed is \"-1\", and must be between 0 and 4294967295"}},
		{"a number that is none", "features: [{column: a, transforms: [clip: {min: 1e999}]}]\n", []string{`no float64 holds "1e999"`}},
		{"another value of an enumeration", "on_bad_row: nul\n", []string{`on_bad_row is "nul", and must be fail, null or reject (did you mean "null"?)`}},
		{"YAML's null where the word is meant", "on_bad_row: null\n", []string{`on_bad_row must be a text, and null is YAML's nothing: write "null" in quotes`}},
		{"a provider that there is not", "provider: gpu\n", []string{"must be cpu, auto, cuda or tensorrt"}},
		{"a size without sense", "limits: {memory: lots}\n", []string{`memory is "lots", and must be a size such as 2GiB, none or auto`}},
		{"an empty list's key", "features:\nkeep: a\n", []string{"1:1: features must be a list, and here is nothing"}},
		{"a list where keys should be", "- model: x\n", []string{"1:1: a job file must be keys and values, and here is a list"}},
		{"a partition column of an unknown type", "partitions: {date: dat}\n", []string{`1:20: the type of partition column "date" must be`, `(did you mean "date"?)`}},
		{"partition columns in no form", "partitions: date\n", []string{"1:13: partitions (date) must be auto, none or COLUMN=TYPE"}},
		{"a model without a name", "models: [{model: x}]\n", []string{"an entry of models needs name"}},
		{"a list of no models", "models: []\n", []string{"1:9: models lists none: give each model with its name"}},
		{"a model of a bad name", "models: [{name: 1x, model: x}]\n", []string{`name is "1x", and must be letters, digits, _ and -`}},
		{"a fate of duplicates that there is not", "unique: {columns: [a], on: drop}\n", []string{`on is "drop", and must be auto, count`}},
		{"a scalar", "hello\n", []string{"a job file must be keys and values, and here is a text"}},
		{"a transform that there is not", "features: [{column: a, transforms: [standardise]}]\n", []string{`no transform is called "standardise"; there are fill, clip`}},
		{"two transforms in one entry", "features:\n- column: a\n  transforms:\n  - fill: 0\n    log1p:\n", []string{"5:5: a transform is one name with its settings, and here are 2"}},
		{"a transform without its settings", "features: [{column: a, transforms: [onehot]}]\n", []string{"onehot needs settings"}},
		{"settings for a transform without", "features: [{column: a, transforms: [log1p: {base: 2}]}]\n", []string{"log1p has no settings"}},
		{"a time zone of no name", "features: [{column: a, transforms: [datetime: {part: hour, zone: '', from_zone: \"\"}]}]\n", []string{`1:66: zone is "", and must be a time zone's name or offset`, `1:81: from_zone is ""`}},
		{"a transform without a setting that it needs", "features: [{column: a, transforms: [datetime: {zone: UTC}]}]\n", []string{"datetime needs part"}},
		{"a feature of nothing", "features: [{name: a}]\n", []string{"a feature needs column, or columns"}},
		{"a category of nothing", "features: [{column: a, transforms: [onehot: {categories: [[]]}]}]\n", []string{"is a list of no categories"}},
		{"the form of numbers in fitted files", "features: [{column: a, transforms: [fill: {number: .nan}]}]\n", []string{"fill must be a number, a text, true, false or null"}},
		{"a fitted file that is not there", "features: [from: gone.json]\n", []string{`1:12: fitted file "jobs/gone.json": file does not exist`}},
		{"a fitted file of another form", "features: [from: later.json]\n", []string{`jobs/later.json:1:14: millrace is "features/2", and must be features/1`}},
		{"a fitted file with a mistake", "features: [from: bad.json]\n", []string{`jobs/bad.json:2:47: no transform is called "log2p" (did you mean "log1p"?)`}},
		{"half a fitted file", "features: [from: cut.json]\n", []string{"jobs/cut.json:2:15: this is not JSON"}},
		{"a fitted file that is not UTF-8", "features: [from: latin.json]\n", []string{"jobs/latin.json:2:1: this line is not UTF-8"}},
		{"two fitted files in one", "features: [from: two.json]\n", []string{"more stands after its end"}},
		{"a feature that a fitted file has not", "features: [{from: fitted.json, only: [b]}]\n", []string{`has no feature "b" (did you mean "a"?)`}},
		{"an anchor and an alias", "keep: &k [a]\nids: *k\n", []string{"1:7: anchors (&) are not taken", "2:6: aliases (*) are not taken"}},
		{"a merge key", "limits:\n  <<: {memory: 1}\n", []string{"2:3: merge keys (<<) are not taken"}},
		{"a tag", "workers: !!int 3\n", []string{"1:10: tags (!) are not taken"}},
		{"a directive", "%YAML 1.2\n---\nmodel: x\n", []string{"1:1: directives (%) are not taken"}},
		{"a question mark", "? model\n: x\n", []string{"keys with a question mark are not taken"}},
		{"two documents", "model: x\n---\nmodel: y\n", []string{"2:1: a second document begins here"}},
		{"no YAML", "model: [a\n", []string{"this is not YAML"}},
		{"a path with a line's end", "model: \"a\\nb\"\n", []string{`1:8: model is "a\nb": a path with a control character`}},
		{"a quote without end", "model: \"a\n", []string{"1:8: this is not YAML: could not find end character of double-quoted text"}},
		{"bytes that are no UTF-8", "model: \xff\n", []string{"1:1: this line is not UTF-8"}},
		{"a control character", "model: a\nids: \x00\n", []string{"2:1: this line has the control character U+0000"}},
		{"a variable that there is not", "input: ${GONE}\n", []string{"1:8: ${GONE}: the environment has no variable GONE, or it is empty"}},
		{"a variable that is empty", "input: ${NONE}\n", []string{"or it is empty"}},
		{"a variable with a line's end", "input: ${ODD}\n", []string{"${ODD}: its value has a control character"}},
		{"a variable where there are only parameters", "output_prefix: ${DATA}\n", []string{"variables of the environment are replaced in paths only; make data a parameter"}},
		{"a reference where nothing is replaced", "keep: ${date}\n", []string{"1:7: ${date} stands in keep, where nothing is replaced: that is done in paths"}},
		{"a reference in a feature's text", "features: [{column: a, transforms: [fill: '${date}']}]\n", []string{"${date} stands in fill, where nothing is replaced"}},
		{"a reference in a key", "nulls: {'${date}': 0}\npartitions: {'${X}': int32}\n", []string{"1:9: ${date} stands in a key of nulls, where nothing is replaced", "2:14: ${X} stands in a key of partitions"}},
		{"a reference without end", "input: ${date\n", []string{"input has ${ without its }"}},
		{"a reference of no name", "input: ${a-b}\n", []string{"${a-b}: a parameter is lower-case letters"}},
		{"a parameter that is missing, once", "output: ${d}/${d}\n", []string{"1:9: parameter d is missing: give --set d=VALUE"}},
		{"a parameter that is declared and missing", "parameters: {d: {type: date}}\n", []string{"1:14: parameter d is missing: give --set d=DATE"}},
		{"a parameter that others are declared beside", "parameters: {day: {default: x}}\noutput: ${dya}\n", []string{`2:9: ${dya}: no such parameter is declared (did you mean "day"?)`}},
		{"a parameter that nothing uses", "parameters: {day: {default: x}, date: {default: y}}\noutput: $${day}/${date}\n", []string{"1:14: parameter day is declared, and nothing uses it: write ${day} where its value belongs"}},
		{"a parameter with an upper-case name", "parameters: {Day: {default: x}}\n", []string{"a parameter's name is lower-case letters"}},
		{"a default of another type", "parameters: {n: {type: integer, default: x}}\n", []string{`default "x" of parameter n is a text, and the parameter's type is integer`}},
		{"a date that is none", "parameters: {d: {type: date, default: 2026-02-30}}\n", []string{"must be a date, such as 2026-11-22"}},
		{"a default that needs quotes", "parameters: {n: {default: 2026}}\n", []string{"must be a text: write it in quotes"}},
		{"an unknown type of parameter", "parameters: {n: {type: int, default: 1}}\n", []string{`type is "int", and must be text, integer`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			job, err := decode(tc.text, nil)
			if err == nil || !errors.Is(err, ErrJob) {
				t.Fatalf("Decode(%q) = %+v, %v; want ErrJob", tc.text, job, err)
			}
			for _, want := range tc.want {
				if strings.Count(err.Error(), want) != 1 {
					t.Errorf("Decode(%q) = %v; want %q once", tc.text, err, want)
				}
			}
		})
	}
}

// What --set gives is checked by type, and refused where the job has no use for it.
func TestDecodeChecksParameters(t *testing.T) {
	const job = "parameters:\n  date: {type: date}\n  n: {type: integer, default: 1}\n  x: {type: number, default: 0.5}\n  on: {type: boolean, default: true}\noutput: ${date}/${n}/${x}/${on}\n"
	for name, tc := range map[string]struct {
		set  map[string]string
		want string
	}{
		"a date that is none":     {map[string]string{"date": "tomorrow"}, "2:3: --set date=tomorrow must be a date"},
		"a number that is none":   {map[string]string{"date": "2026-11-22", "x": "nan"}, "4:3: --set x=nan must be a number"},
		"a fraction":              {map[string]string{"date": "2026-11-22", "n": "1.5"}, "3:3: --set n=1.5 must be a whole number"},
		"no truth value":          {map[string]string{"date": "2026-11-22", "on": "yes"}, "5:3: --set on=yes must be true or false"},
		"one that is not there":   {map[string]string{"date": "2026-11-22", "dat": "1"}, `--set dat: the job has no such parameter (did you mean "date"?)`},
		"a line's end in a value": {map[string]string{"date": "2026-11-22", "n": "1\n2"}, "must not have control characters"},
	} {
		if _, err := decode(job, tc.set); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: Decode(%v) = %v; want %q", name, tc.set, err, tc.want)
		}
	}
	got, err := decode(job, map[string]string{"date": "2026-11-22", "n": "-7"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"date": "2026-11-22", "n": "-7", "x": "0.5", "on": "true"}
	if diff := cmp.Diff(want, got.Record.Parameters); diff != "" {
		t.Errorf("parameters for the manifest (-want +got):\n%s", diff)
	}
}

// In an expression a parameter is one literal, whatever its value.
func TestParameterIsALiteral(t *testing.T) {
	for _, tc := range []struct {
		typ         ParameterType
		value, want string
	}{
		{TextParameter, `x`, `"x"`},
		{TextParameter, `" || true || "`, `"\" || true || \""`},
		{TextParameter, `\`, `"\\"`},
		{DateParameter, `2026-11-22`, `"2026-11-22"`},
		{IntegerParameter, `-12`, `-12`},
		{BooleanParameter, `true`, `true`},
	} {
		if got := (&Parameter{Type: tc.typ}).literal(tc.value); got != tc.want {
			t.Errorf("%s %q as a literal = %s; want %s", tc.typ, tc.value, got, tc.want)
		}
	}
}

// Files that are made to cost are refused before they do.
func TestDecodeIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("a parser's time: eight seconds, and seventy under the race detector")
	}
	for name, tc := range map[string]struct{ text, want string }{
		"a large file":      {strings.Repeat("# xxxxxxxxxxxxxx\n", maxSourceBytes/17+1), "it has more than 4 MiB"},
		"a large list":      {"keep: [" + strings.Repeat("a,", maxMarks) + "]", "more than 500000 signs"},
		"deep lists":        {strings.Repeat("[", 200_000), "more than 32 deep"},
		"deep lists of one": {strings.Repeat("- ", 1000), "more than 32 deep"},
		"deep maps":         {indented(60), "more than 32 deep"},
		"many refusals":     {strings.Repeat("? ", 100_000), "keys with a question mark"},
		"many aliases":      {"keep: [" + strings.Repeat("*a,", 60_000) + "]", "aliases (*) are not taken"},
		"many keys":         {strings.Repeat("k: v\n", maxMapKeys+1), "more than 10000 keys"},
		"many keys apart":   {strings.Repeat("k: v\nl: [a, {b: c}]\n", maxMapKeys/2+1), "more than 10000 keys"},
		"keys in brackets":  {"a: [\n" + strings.Repeat("k: v\n", maxMapKeys+1) + "]", "more than 10000 keys"},
		"many problems":     {strings.Repeat("k: v\n", 100), "and 75 problems more"},
		"a long name":       {"model: " + strings.Repeat("x", 5000) + "\n" + strings.Repeat("y", 5000) + ": 1\n", `yyy"...`},
	} {
		_, err := decode(tc.text, nil)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %.300v; want %q", name, err, tc.want)
		} else if len(err.Error()) > 10_000 {
			t.Errorf("%s: the message has %d bytes", name, len(err.Error()))
		}
	}
}

// A large job that people have reason to write is taken, and in seconds at most.
func TestDecodeTakesLargeJobs(t *testing.T) {
	if testing.Short() {
		t.Skip("a parser's time: a second, and twenty under the race detector")
	}
	var features, categories, braces strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&features, "  - name: f%d\n    column: c%d\n    transforms:\n      - fill: 0\n      - clip: {min: 0.1, max: 0.9}\n      - scale: {mean: 0.5, std: 0.2}\n", i, i)
	}
	for i := range 50_000 {
		fmt.Fprintf(&categories, "            - \"category-%d\"\n", i)
		fmt.Fprintf(&braces, "\"category-%d\": %d,\n", i, i)
	}
	for name, tc := range map[string]struct {
		features string
		want     int // features
	}{
		"2,000 features":          {features.String(), 2000},
		"a one-hot of 50,000":     {"  - column: c\n    transforms:\n      - onehot:\n          categories:\n" + categories.String(), 1},
		"a map of 50,000, braces": {"  - column: c\n    transforms:\n      - map:\n          values: {\n" + braces.String() + "}\n", 1},
	} {
		job, err := decode("model: m.onnx\ninput: a\noutput: b\nfeatures:\n"+tc.features, nil)
		if err != nil {
			t.Errorf("%s: %.300v", name, err)
		} else if got := len(job.Specs); got != tc.want {
			t.Errorf("%s: %d features; want %d", name, got, tc.want)
		}
	}
}

func indented(depth int) string {
	var b strings.Builder
	for i := range depth {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

// Every field that the engine has of a model can be said, and gets there.
func TestModelEntryIsWhole(t *testing.T) {
	prefix := "p"
	entry := ModelEntry{
		Name: "n", Model: "m", ModelSHA256: "ab", Features: OneOrMore{"f"}, Bind: map[string]OneOrMore{"x": {"f"}}, Nulls: Nulls{All: new("nan"), Columns: map[string]string{"f": "0"}},
		ModelOutputs: OneOrMore{"y"}, OutputPrefix: &prefix, OutputLayout: engine.LayoutList, Compare: map[string]string{"y": "z"},
	}
	got := (&Job{Models: []ModelEntry{entry}}).ModelOptions()
	want := []engine.ModelOptions{{
		Name: "n", Model: "m", ModelSHA256: "ab", Features: []string{"f"}, Bind: map[string][]string{"x": {"f"}}, Nulls: map[string]string{"f": "0", "*": "nan"},
		ModelOutputs: []string{"y"}, OutputPrefix: &prefix, OutputLayout: engine.LayoutList, Compare: map[string]string{"y": "z"},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("options of a model (-want +got):\n%s", diff)
	}
	for i, v := range []reflect.Value{reflect.ValueOf(entry), reflect.ValueOf(got[0])} {
		for j := range v.NumField() {
			if v.Field(j).IsZero() {
				t.Errorf("field %s of struct %d has no value here: a new one needs its place in ModelEntry.options", v.Type().Field(j).Name, i)
			}
		}
	}
}
