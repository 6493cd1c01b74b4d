package engine_test

import (
	"errors"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/batcher/feature"
	"github.com/millrace/millrace/batcher/filter"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ledger"
)

// A row that breaks a rule is bad in the three ways that bad rows can be, with a reason
// that has the column, the value and the rule; and other rows are what they were.
func TestRules(t *testing.T) {
	low, high := feature.NumberOf(0), feature.NumberOf(90)
	text := feature.TextOf
	for _, c := range []struct {
		sentence string
		rule     filter.Rule
		spoil    func(d *badData)
		rows     []int
		column   string
		reason   string
	}{
		{"not null", filter.Rule{Column: "x", NotNull: true}, func(d *badData) { d.noX[7], d.noX[150] = true, true }, []int{7, 150}, "x", "is null, and the rule is not_null"},
		{"a range", filter.Rule{Column: "n", Range: &filter.Range{Min: &low, Max: &high}}, func(d *badData) { d.n[3], d.n[60] = -1, 91 }, []int{3, 60, 91, 92, 93, 94, 95, 96, 97, 98, 99, 191, 192, 193, 194, 195, 196, 197, 198, 199}, "n", "value -1 is outside of its range, 0 to 90"},
		{"a list", filter.Rule{Column: "s", In: []feature.Scalar{text(""), text("é"), text("éé"), text("ééé")}}, func(d *badData) { d.s[40] = "z\x01" }, []int{40}, "s", `value "z\x01" is none of "", "é", "éé", "ééé"`},
		{"a form", filter.Rule{Column: "s", Regex: "^é*$"}, func(d *badData) { d.s[199] = "e" }, []int{199}, "s", `value "e" does not match "^é*$"`},
		{"an expression", filter.Rule{Expr: "i != 4 || n < 50"}, func(d *badData) { d.i[77] = 4 }, []int{54, 59, 64, 69, 74, 77, 79, 84, 89, 94, 99, 154, 159, 164, 169, 174, 179, 184, 189, 194, 199}, "", "((i != 4) || (n < 50)) is false, where i = 4, n = 54"},
		{"an expression on another column than the one to blame", filter.Rule{Column: "s", Expr: "n != 98"}, func(d *badData) { d.n[5] = 98 }, []int{5, 98, 198}, "s", "(n != 98) is false, where n = 98"},
	} {
		data := newBadData(200)
		c.spoil(data)
		in := writeSpans(t, filepath.Join(t.TempDir(), "in.arrow"), []int64{50, 3, 4, 3, 40}, data.columns()...)
		opts := engine.Options{
			Model: badModel(t, "N"), Inputs: []string{in}, IDs: []string{"id"}, BatchRows: 16, MaxRejects: -1, Workers: 1, PartRows: 70,
			Nulls: batcher.NullPolicies{ByColumn: map[string]batcher.NullPolicy{"x": batcher.ParseNullPolicy("0")}},
			Rules: []filter.Rule{c.rule, {Column: "id", Range: &filter.Range{Min: &low}}}, Output: filepath.Join(t.TempDir(), "fail"),
		}
		_, err := run(t, opts)
		if !errors.Is(err, engine.ErrBadRows) || !strings.Contains(err.Error(), "row "+strconv.Itoa(c.rows[0])+": "+c.reason) {
			t.Errorf("%s: run = %v; want row %d named: %s", c.sentence, err, c.rows[0], c.reason)
		}
		for _, on := range []engine.OnBadRow{engine.BadReject, engine.BadNull} {
			opts.OnBadRow = on
			var first []string
			for _, workers := range []int{1, 5} {
				opts.Workers, opts.Output = workers, filepath.Join(t.TempDir(), string(on), strconv.Itoa(workers))
				summary := mustRun(t, opts)
				want := ledger.Rows{Read: 200, Scored: 200 - int64(len(c.rows)), Rejected: int64(len(c.rows))}
				if on == engine.BadNull {
					want.Nulled = want.Rejected
				}
				if summary.Rows != want {
					t.Errorf("%s, %s: rows %+v; want %+v", c.sentence, on, summary.Rows, want)
				}
				if got := append(sums(t, summary, opts.Output), string(rejectBytes(t, summary))); first == nil {
					first = got
				} else if !slices.Equal(got, first) {
					t.Errorf("%s, %s: five workers give other bytes than one", c.sentence, on)
				}
			}
			_, records := readDataset(t, rejectsOf(t, opts.Output))
			at := func(name string) []string {
				return columnTexts(t, records, records[0].Schema().FieldIndices(name)[0])
			}
			rows := make([]string, len(c.rows))
			for i, row := range c.rows {
				rows[i] = strconv.Itoa(row)
			}
			if diff := cmp.Diff(rows, at("row")); diff != "" {
				t.Errorf("%s, %s: rows (-want +got):\n%s", c.sentence, on, diff)
			}
			reason, _ := strconv.Unquote(at("reason")[0])
			if at("stage")[0] != `"rule"` || at("column")[0] != strconv.Quote(c.column) || reason != c.reason {
				t.Errorf("%s, %s: stage %s, column %s, reason %s; want rule, %q, %s", c.sentence, on, at("stage")[0], at("column")[0], reason, c.column, c.reason)
			}
		}
		opts.MaxRejects, opts.Output = int64(len(c.rows)-1), filepath.Join(t.TempDir(), "most")
		if _, err := run(t, opts); !errors.Is(err, engine.ErrBadRows) {
			t.Errorf("%s: with one allowed less, run = %v; want ErrBadRows", c.sentence, err)
		}
	}
}

func TestRulesThatAreWrong(t *testing.T) {
	data := newBadData(10)
	low, high := feature.NumberOf(0), feature.NumberOf(90)
	in := writeSpans(t, filepath.Join(t.TempDir(), "in.arrow"), nil, data.columns()...)
	for _, c := range []struct {
		sentence string
		rules    []filter.Rule
		want     string
	}{
		{"a column that is not there", []filter.Rule{{NotNull: true, Column: "idd"}}, `rule 1 (column "idd"): no column "idd" in the data (did you mean "id"?)`},
		{"all of them are listed", []filter.Rule{{Column: "id"}, {Column: "x", Regex: "a"}}, `rule 2 (column "x"): matches wants a column of text`},
		{"no column", []filter.Rule{{NotNull: true}}, "rule 1: column is missing"},
		{"an empty range", []filter.Rule{{Column: "x", Range: &filter.Range{}}}, "min and max are both missing"},
		{"a value of another type", []filter.Rule{{Column: "x", In: []feature.Scalar{feature.TextOf("a")}}}, `column x is float32, and cannot be compared with the text "a"`},
		{"an expression", []filter.Rule{{Expr: "x >"}}, "rule 1: expr: character 4"},
		{"a form", []filter.Rule{{Column: "s", Regex: "("}}, "missing closing )"},
		{"a range that holds nothing", []filter.Rule{{Column: "x", Range: &filter.Range{Min: &high, Max: &low}}}, `rule 1 (column "x"): range: min is 90, and max is less: 0`},
		{"a list of nothing", []filter.Rule{{Column: "s", NotNull: true, In: []feature.Scalar{}}}, `rule 1 (column "s"): in: [] lists nothing`},
		{"null is no value", []filter.Rule{{Column: "s", In: []feature.Scalar{{}}}}, "nulls break no rule but not_null"},
	} {
		opts := engine.Options{Model: badModel(t, "N"), Inputs: []string{in}, Rules: c.rules}
		if _, err := engine.NewPlan(t.Context(), opts); !errors.Is(err, engine.ErrUsage) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: NewPlan() = %v; want a usage error with %s", c.sentence, err, c.want)
		}
	}
}
