package runpage

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"golang.org/x/net/html"

	"github.com/millrace/millrace/engine/agreement"
	"github.com/millrace/millrace/engine/distribution"
	"github.com/millrace/millrace/engine/ledger"
)

// drawn writes an account's page, holds it to what every page must keep, and gives its
// tree. With MILLRACE_REPORT_DIR set, pages are kept there, to be looked at.
func drawn(t *testing.T, name string, a *Account) *html.Node {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, a, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	if dir := os.Getenv("MILLRACE_REPORT_DIR"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, name+".html"), b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	root, err := html.Parse(&b)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problemsOf(root) {
		t.Errorf("%s: %s", name, problem)
	}
	return root
}

// allowed are the elements of the page: none that fetches, runs or sends.
var allowed = regexp.MustCompile(`^(html|head|meta|title|style|body|header|main|footer|section|h1|h2|h3|p|ul|li|dl|dt|dd|div|span|small|bdi|a|table|caption|thead|tbody|tr|th|td|figure|details|summary|pre|code|svg|g|rect|line|path|text|desc)$`)

// attributes are those that it has; of them href alone is an address.
var attributes = regexp.MustCompile(`^(lang|charset|name|content|http-equiv|class|id|href|role|tabindex|aria-[a-z]+|scope|open|width|height|viewbox|preserveaspectratio|x|y|x1|x2|y1|y2|dy|rx|d|fill|text-anchor)$`)

var noNumber = regexp.MustCompile(`\bInf\b|%!|\(BADINDEX|ZgotmplZ|9223372036854775807|0x[0-9a-f]{6}`)

// problemsOf says what is wrong with a page.
func problemsOf(root *html.Node) (problems []string) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	ids := map[string]bool{}
	policy := false
	for n := range root.Descendants() {
		if n.Type == html.TextNode && n.Parent.Data != "style" {
			if m := noNumber.FindString(n.Data); m != "" {
				bad("the text %q has %s", n.Data, m)
			}
		}
		if n.Type != html.ElementNode {
			continue
		}
		if !allowed.MatchString(strings.ToLower(n.Data)) {
			bad("it has the element <%s>", n.Data)
		}
		for _, a := range n.Attr {
			switch key := strings.ToLower(a.Key); {
			case !attributes.MatchString(key):
				bad("<%s> has the attribute %s=%q", n.Data, a.Key, a.Val)
			case key == "href" && (n.Data != "a" || !strings.HasPrefix(a.Val, "./") && !strings.HasPrefix(a.Val, "../")):
				bad("<%s> leads to %q", n.Data, a.Val)
			case key == "id" && ids[a.Val]:
				bad("two elements have the id %q", a.Val)
			case key == "id":
				ids[a.Val] = true
			case key == "http-equiv" && strings.EqualFold(a.Val, "content-security-policy"):
				policy = true
			}
		}
		if n.Data == "table" && len(elements(n, "th")) == 0 {
			bad("a table has no headers")
		}
		if n.Data == "svg" && attribute(n, "role") == "img" && len(elements(n, "title")) == 0 {
			bad("a picture has no title")
		}
	}
	if !policy {
		bad("it has no content security policy")
	}
	return problems
}

func attribute(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

// elements are the elements of a name below a node.
func elements(n *html.Node, name string) (all []*html.Node) {
	for d := range n.Descendants() {
		if d.Type == html.ElementNode && d.Data == name {
			all = append(all, d)
		}
	}
	return all
}

// textOf is what a person reads of a node, spaces as one.
func textOf(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode && d.Parent.Data != "style" {
			b.WriteString(d.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// summaryOf is that of numbers.
func summaryOf(t *testing.T, column string, values ...float64) distribution.Summary {
	t.Helper()
	b := array.NewFloat64Builder(memory.DefaultAllocator)
	defer b.Release()
	b.AppendValues(values, nil)
	tally := distribution.NewTally(arrow.PrimitiveTypes.Float64)
	tally.Add(b.NewArray())
	s, err := tally.Summary(column, tally.Moments())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// made is a published run: 1,000,000 rows of which 50,000 are rejected.
func made(t *testing.T) *Account {
	t.Helper()
	at := time.Date(2026, 11, 28, 3, 0, 0, 0, time.UTC)
	m := &ledger.Manifest{
		Run: "20261128T030000Z-aaaaaa", Mode: ledger.ModeReplace, Started: at, Finished: at.Add(4 * time.Second),
		Parent:  &ledger.Parent{Run: "20261127T030000Z-aaaaaa", SHA256: strings.Repeat("b", 64)},
		Model:   ledger.ModelFile{Path: "/m/churn.onnx", SHA256: strings.Repeat("a", 64), Version: 7},
		Inputs:  []ledger.Input{{Path: "/data/x.parquet", Rows: 1_000_000, Bytes: 1 << 20, Ledger: ledger.Rows{Read: 1_000_000, Scored: 950_000, Rejected: 50_000}, Digest: "sha256:" + strings.Repeat("c", 64)}},
		Outputs: []ledger.Output{{Name: "part-00000.parquet", Rows: 950_000, SHA256: strings.Repeat("d", 64)}},
		Ledger:  ledger.Rows{Read: 1_000_000, Scored: 950_000, Rejected: 50_000},
		Predictions: []distribution.Summary{
			summaryOf(t, "score", 0.1, 0.2, 0.3, 0.4, 0.9),
			{Column: "label", Kind: distribution.Label, Rows: 10, Labels: []distribution.LabelCount{{Label: "yes", Rows: 7}, {Label: "no", Rows: 3}}, Distinct: 2},
			{Column: "embedding", Kind: distribution.List, Rows: 10},
		},
		Features: []ledger.FeatureCount{{Column: "age", Input: "x", Nulls: 12, Policy: "nan"}},
		Work: &ledger.Work{
			Seconds: 4, Rows: 1_000_000, StageSeconds: map[string]float64{"read": 1, "assemble": 0.5, "infer": 6, "write": 0.5}, PeakMemoryBytes: 128 << 20, Batches: 245,
			Starts: []ledger.StartWork{{Run: "20261128T030000Z-aaaaaa", Rows: 1_000_000}},
		},
		Settings: map[string]any{"ids": []any{"id"}, "workers": json.Number("2")},
	}
	before := *m
	before.Run, before.Parent, before.Finished, before.Started = "20261127T030000Z-aaaaaa", nil, at.Add(-20*time.Hour), at.Add(-20*time.Hour-2*time.Second)
	before.Ledger = ledger.Rows{Read: 980_000, Scored: 970_200, Rejected: 9_800}
	before.Predictions = []distribution.Summary{summaryOf(t, "score", 0.1, 0.2, 0.3, 0.4, 0.5)}
	before.Work = nil
	return &Account{
		Manifest: m, SHA256: strings.Repeat("e", 64), Live: true, Before: &before, Chain: []*ledger.Manifest{&before, m}, output: "out",
		Rejects: &Rejects{Rows: 50_000, Counted: 50_000, IDs: []string{"id"}, Reasons: []Reason{
			{Stage: "assemble", Column: "age", Reason: "null", Rows: 30_000, Examples: []Example{{File: "/data/x.parquet", Row: 17, IDs: []string{"c-4711"}}}},
			{Stage: "rules", Column: "fare", Reason: "… is not at most …", Rows: 20_000},
		}},
	}
}

// The page says what the manifest does.
func TestPage(t *testing.T) {
	text := textOf(drawn(t, "page", made(t)))
	for _, want := range []string{
		"Published: 950,000 rows",
		"On 28 November 2026, 03:00 UTC, churn.onnx (version 7, sha256 aaaaaaaaaaaa…) scored 950,000 of 1,000,000 read; 50,000 rejected (null in age 30,000, … is not at most … in fare 20,000). It took 4.00 s, at 250 k rows/s.",
		"Against the run before (27 November 2026, 07:00 UTC): rows +2.0%, scored −2.1%, rejected 5.0% after 1.0%, mean of score 0.38 after 0.3, PSI",
		"The share of rejected rows rose from 1.0% to 5.0%.",
		"rows read 1,000,000 980,000 +2.0%",
		"rejected 50,000 (5.0%) 9,800 (1.0%) +410.2%",
		"null age assemble 30,000 60.0%", "null age x.parquet 17 c-4711",
		"yes 7 rows yes: 7 rows, 70.0%", "age x 12 nan 0", "infer 6.00 s of busy time, 167 k rows/s of it infer: 6.00 s 75.0%",
		"128 MiB", "millrace verify out", strings.Repeat("e", 64), "Several values a row: their distribution is not recorded.",
		"part-00000.parquet 950,000", "sha256 cccccccccccc…", "Not compared: the run before has no such column.",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

// Files of one name in different folders are told apart.
func TestPageNamesFiles(t *testing.T) {
	a := made(t)
	a.Manifest.Inputs = []ledger.Input{{Path: "/data/mon/x.parquet"}, {Path: "/data/tue/x.parquet"}, {Path: "/data/y.parquet"}}
	a.Rejects.Reasons[0].Examples = []Example{{File: "/data/mon/x.parquet", Row: 1}, {File: "/data/y.parquet", Row: 2}, {File: "/gone/z.parquet", Row: 3}}
	text := textOf(drawn(t, "names", a))
	for _, want := range []string{"null age mon/x.parquet 1", "null age y.parquet 2", "null age /gone/z.parquet 3"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

// What a run does not have, and what was never recorded, is said to be missing.
func TestPageOfLittle(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(a *Account)
		want   []string
		not    string
	}{
		{"the first run", func(a *Account) { a.Before, a.Manifest.Parent, a.Chain = nil, nil, a.Chain[1:] }, []string{"It is the first run of this output"}, "run before has no such"},
		{"one whose parent is gone", func(a *Account) { a.Before, a.BeforeMissing = nil, "its manifest is missing" }, []string{"It cannot be compared with the run before: its manifest is missing."}, "first run"},
		{"a parent of before there were distributions", func(a *Account) { a.Before.Predictions = nil }, []string{"the run before did not record how its predictions are distributed"}, "PSI 0"},
		{"a manifest of before there were distributions", func(a *Account) { a.Manifest.Predictions, a.Manifest.Work = nil, nil }, []string{"Not recorded: this run was made before", "Not recorded."}, "peak memory"},
		{"no rows", func(a *Account) {
			a.Manifest.Ledger, a.Manifest.Predictions, a.Rejects = ledger.Rows{}, nil, nil
			a.Manifest.Inputs = nil
		}, []string{"Published: 0 rows", "The input has no rows.", "No row was written."}, "NaN"},
		{"no rows, and columns looked up in the output", func(a *Account) {
			a.Manifest.Ledger, a.Rejects, a.Computed = ledger.Rows{Read: 5, Filtered: 5}, nil, true
			a.Manifest.Predictions = []distribution.Summary{{Column: "score"}}
		}, []string{"No row was written."}, "Not recorded by this run"},
		{"a filter that lets nothing pass", func(a *Account) {
			a.Manifest.Ledger, a.Manifest.Predictions, a.Rejects = ledger.Rows{Read: 1_000_000, Filtered: 1_000_000}, nil, nil
		}, []string{"Not one of 1,000,000 rows was scored.", "rows +2.0%, scored −100.0%"}, "Nothing was odd"},
		{"a filter that lets less pass", func(a *Account) {
			a.Manifest.Ledger = ledger.Rows{Read: 980_000, Scored: 490_000, Rejected: 9_800, Filtered: 480_200}
		}, []string{"Of the rows that were read 50.0% are scored, and 99.0% were in the run before."}, "Not one"},
		{"an empty manifest", func(a *Account) { *a = Account{Manifest: &ledger.Manifest{}} }, []string{"Published: 0 rows"}, "NaN"},
		{"replaced since", func(a *Account) { a.Live = false }, []string{"A later run has replaced this one's files"}, "millrace verify"},
		{"rejects that are gone", func(a *Account) { a.Rejects = &Rejects{Unread: "the file of rejected rows is gone"} }, []string{"cannot be read: the file of rejected rows is gone"}, "c-4711"},
		{"more rejects than are counted", func(a *Account) { a.Rejects.Rows = 3e6 }, []string{"Of 3,000,000 rejected rows, the first 50,000 are counted."}, "NaN"},
		{"examples left out", func(a *Account) { a.Rejects.Reasons[0].Examples = nil }, []string{"Examples are left out."}, "c-4711"},
		{"one that was not published", func(a *Account) { a.Failure, a.SHA256, a.Live = "too many, and the last: x", "", false }, []string{"Not published: too many rows cannot be scored", "ended after 1,000,000 of 1,000,000 rows: too many, and the last: x.", "Nothing is published", "What to do", "null age assemble 30,000", "x.parquet 1,000,000 – –"}, "Published: "},
		{"continued twice", func(a *Account) {
			a.Manifest.Work.Starts = append([]ledger.StartWork{{Run: "r1", Host: "h1", Rows: 400_000}}, a.Manifest.Work.Starts...)
			a.Manifest.Work.Rows = 600_000
		}, []string{"The run was stopped and continued: 2 starts.", "h1 400,000 r1", "150 k rows/s"}, "NaN"},
		{"scores that are not numbers", func(a *Account) { a.Manifest.Predictions[0].NaNs = 4 }, []string{"score has 4 NaN and 0 infinite values.", "NaN 4 0"}, "%!"},
		{"the same score in every row", func(a *Account) { a.Manifest.Predictions[0] = summaryOf(t, "score", 2, 2, 2) }, []string{"score is 2 in every row."}, "%!"},
		{"the same score in every row that has one", func(a *Account) {
			a.Manifest.Predictions[0] = summaryOf(t, "score", 2, math.NaN(), 2, math.Inf(-1))
		}, []string{"score is 2 in all 2 rows that have a finite value."}, "every row"},
		{"another model", func(a *Account) { a.Before.Model.SHA256 = strings.Repeat("f", 64) }, []string{"The model is another than in the run before, which was of churn.onnx (version 7, sha256 ffffffffffff…)."}, "%!"},
		{"half the rows", func(a *Account) { a.Before.Ledger.Read = 2_000_000 }, []string{"The input has 1,000,000 rows, and had 2,000,000 in the run before (−50.0%)."}, "%!"},
		{"models that are compared", func(a *Account) {
			r := 0.75
			a.Manifest.Settings["agreement"] = []agreement.Summary{
				{Pair: agreement.Pair{Model: "b", Challenger: "b_y", Champion: "a_y", Kind: agreement.Number}, Rows: 10, RankCorrelation: &r, SampleRows: 10, Difference: &agreement.Difference{Mean: -0.5, Max: 2}},
				{Pair: agreement.Pair{Model: "b", Challenger: "b_l", Champion: "a_l", Kind: agreement.Label}, Rows: 10, Equal: 9},
			}
		}, []string{"How far models agree", "b_y a_y −0.5 0 – – – 2 0.75 –", "b_l a_l 10 9 90.000%"}, "%!"},
	} {
		a := made(t)
		c.change(a)
		text := textOf(drawn(t, strings.ReplaceAll(c.name, " ", "-"), a))
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: the page does not say %q", c.name, want)
			}
		}
		if strings.Contains(text, c.not) {
			t.Errorf("%s: the page says %q", c.name, c.not)
		}
	}
}

// hostile are texts that want to be something else.
var hostile = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `javascript:alert(1)`, `//evil.example/x`, `{{.}}</style><style>@import url(//e)`,
	"\u202eRTL\u2066 אבג", strings.Repeat("L", 5000), "a\x00\x1b[2Jb\r\n\xff", `' onmouseover='x`, `../../../etc/passwd`, "",
}

// fill puts hostile texts and numbers into everything that a value has.
func fill(v reflect.Value, next *int) {
	*next++
	switch v.Kind() {
	case reflect.String:
		v.SetString(hostile[*next%len(hostile)])
	case reflect.Int, reflect.Int64:
		v.SetInt([]int64{0, 1, -1, 12345, math.MaxInt64, math.MinInt64}[*next%6])
	case reflect.Float64:
		v.SetFloat([]float64{0, 1, -1e-300, 1e140, math.MaxFloat64, -math.MaxFloat64}[*next%6])
	case reflect.Bool:
		v.SetBool(*next%2 == 0)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), next)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 7, 7))
		for i := range 7 {
			fill(v.Index(i), next)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 7 {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(key, next)
			if value.Kind() == reflect.Interface {
				value.Set(reflect.ValueOf(hostile[*next%len(hostile)]))
			} else {
				fill(value, next)
			}
			v.SetMapIndex(key, value)
		}
	case reflect.Struct:
		for _, field := range v.Fields() {
			if field.CanSet() && v.Type() != reflect.TypeFor[time.Time]() {
				fill(field, next)
			}
		}
	case reflect.Uint8:
		v.SetUint(uint64(*next) % 256)
	}
}

// Whatever a manifest says, it is text on the page: no element, attribute or address is
// made of it, and nothing panics.
func TestHostilePage(t *testing.T) {
	for seed := range 60 {
		a := &Account{output: hostile[seed%len(hostile)]}
		next := seed * 7
		fill(reflect.ValueOf(&a.Manifest).Elem(), &next)
		fill(reflect.ValueOf(&a.Before).Elem(), &next)
		fill(reflect.ValueOf(&a.Chain).Elem(), &next)
		fill(reflect.ValueOf(&a.Rejects).Elem(), &next)
		fill(reflect.ValueOf(&a.Problems).Elem(), &next)
		a.SHA256, a.Live = hostile[seed%len(hostile)], true
		kinds := []distribution.Kind{distribution.Number, distribution.Label, distribution.List}
		good := summaryOf(t, "", 1, 2, 3)
		for i := range a.Manifest.Predictions { // so that charts are drawn, and compared
			s, before := &a.Manifest.Predictions[i], &a.Before.Predictions[i]
			s.Kind, before.Kind, before.Column = kinds[i%3], kinds[i%3], s.Column
			s.Sketch, before.Sketch = good.Sketch, good.Sketch
		}
		if seed%3 == 0 {
			a.Failure = hostile[seed%len(hostile)]
		}
		var b bytes.Buffer
		if err := Write(&b, a, "."); err != nil {
			t.Fatal(err)
		}
		if b.Len() > 400<<10 {
			t.Errorf("seed %d: a page of %d KiB", seed, b.Len()>>10)
		}
		root, err := html.Parse(&b)
		if err != nil {
			t.Fatal(err)
		}
		problems := slices.DeleteFunc(problemsOf(root), func(p string) bool { return strings.HasPrefix(p, "the text ") }) // numbers are hostile, too
		if len(problems) > 0 {
			t.Errorf("seed %d: %q", seed, problems[0])
		}
		for n := range root.Descendants() {
			if n.Type == html.TextNode && n.Parent.Data != "style" && strings.ContainsAny(n.Data, "\u202e\u2066\x00\x1b") {
				t.Errorf("seed %d: %q turns the direction of writing, or controls a terminal", seed, n.Data)
			}
		}
	}
}

// Addresses are relative, whatever a file is called.
func TestAddress(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, folder, want string }{
		{"out/part-00000.parquet", ".", "./out/part-00000.parquet"},
		{"javascript:alert(1)", ".", "./javascript:alert%281%29"},
		{"a b/c#d?e%f\"<>.parquet", ".", "./a%20b/c%23d%3Fe%25f%22%3C%3E.parquet"},
		{"x", "pages/deep", "../../x"},
		{"out/été=1/x", "out", "./%C3%A9t%C3%A9=1/x"},
	} {
		got := address(filepath.Join(dir, c.path), filepath.Join(dir, c.folder))
		if strings.ReplaceAll(got, "(1)", "%281%29") != c.want {
			t.Errorf("address(%q, %q) = %q; want %q", c.path, c.folder, got, c.want)
		}
	}
}

// Reasons count without the values that they quote.
func TestWithoutValues(t *testing.T) {
	for _, c := range []struct{ reason, want string }{
		{"null", "null"},
		{`category "Jane \"J\" Doe" is not known`, "category … is not known"},
		{"-3.5e-7 is not a whole number", "… is not a whole number"},
		{"NaN or infinite", "NaN or infinite"},
		{"1,234 is above 1_000", "… is above …"},
		{"column x1 is float32", "column x1 is float32"},
	} {
		if got := withoutValues(c.reason); got != c.want {
			t.Errorf("withoutValues(%q) = %q; want %q", c.reason, got, c.want)
		}
	}
}

// Numbers have four digits that count, and a sign of their own.
func TestNumber(t *testing.T) {
	for _, c := range []struct {
		v    float64
		want string
	}{
		{0, "0"},
		{1, "1"},
		{-0.5, "−0.5"},
		{0.123456, "0.1235"},
		{1234.56, "1235"},
		{123456.7, "123,457"},
		{1e-9, "1e−09"},
		{-2.5e20, "−2.5e+20"},
		{99.996, "100"},
	} {
		if got := number(c.v); got != c.want {
			t.Errorf("number(%v) = %q; want %q", c.v, got, c.want)
		}
	}
}

// The columns of a chart have the rows of the bins, all of them.
func TestHistogram(t *testing.T) {
	values := make([]float64, 0, 3000)
	for i := range 3000 {
		values = append(values, math.Sin(float64(i))*float64(i%7)-2)
	}
	s := summaryOf(t, "x", values...)
	a := newAxis(&s, nil)
	shares, total := a.shares(s.Bins()), 0.0
	for i, share := range shares {
		total += share
		rows := 0.0
		for _, v := range values {
			if v >= a.edge(i) && v < a.edge(i+1) {
				rows++
			}
		}
		if i > 0 && i < columns-1 && math.Abs(share-rows/3000) > 0.01 {
			t.Errorf("from %v to %v: %v of the rows; want %v", a.edge(i), a.edge(i+1), share, rows/3000)
		}
	}
	if math.Abs(total-1) > 1e-9 {
		t.Errorf("columns have %v of the rows; want all", total)
	}
	same := summaryOf(t, "same", 2, 2, 2)
	if h := newHistogram("same", &same, nil); len(h.Columns) != 1 || h.Top != "100%" {
		t.Errorf("one score in every row has the bars %v up to %s; want one of 100%%", h.Columns, h.Top)
	}
	p := summaryOf(t, "p", 0.1, 0.5, 0.9)
	if a := newAxis(&p, nil); a.from != 0 || a.to != 1 {
		t.Errorf("probabilities are drawn from %v to %v; want 0 to 1", a.from, a.to)
	}
}
