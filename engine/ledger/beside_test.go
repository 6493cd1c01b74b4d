package ledger

import (
	"errors"
	"strings"
	"testing"
)

// TestAppendLooksLikeWhatIsThere appends files that nobody could read together with those
// that are there.
func TestAppendLooksLikeWhatIsThere(t *testing.T) {
	columns := []Column{{Name: "id", Type: "int64"}, {Name: "y", Type: "float32"}}
	tests := []struct {
		name string
		ext  string
		now  []Column
		says string // empty: it is appended
	}{
		{"the same", ".parquet", columns, ""},
		{"a column that may have nulls now", ".parquet", []Column{columns[0], {Name: "y", Type: "float32", Nullable: true}}, ""},
		{"another name", ".parquet", []Column{columns[0], {Name: "p_y", Type: "float32"}}, `"p_y" float32`},
		{"another type", ".parquet", []Column{columns[0], {Name: "y", Type: "float64"}}, `"y" float64`},
		{"another order", ".parquet", []Column{columns[1], columns[0]}, `would be "y" float32, "id" int64`},
		{"a column more", ".parquet", append(columns[:2:2], Column{Name: "z", Type: "utf8"}), `"z" utf8`},
		{"a column without a value", ".parquet", []Column{columns[0], {Name: "y", Type: "null", Nullable: true}}, "--types COLUMN=TYPE gives it one"},
		{"another format", ".arrow", columns, "end in .parquet and this run's would in .arrow"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			opts := jobOptions(t)
			madeOutput(t, opts.Output, madeRun{run: runNumber(1), mode: ModeFresh, parts: 1, set: func(m *Manifest) { m.Schema = columns }})
			opts.IfExists, opts.Ext = IfExistsAppend, test.ext
			err := func() error {
				s, err := Stage(opts)
				if err != nil {
					return err
				}
				return errors.Join(s.CheckColumns(test.now), s.Discard())
			}()
			if test.says == "" && err != nil || test.says != "" && (!errors.Is(err, ErrExists) || !strings.Contains(err.Error(), test.says)) {
				t.Errorf("appending = %v; want ErrExists saying %q, or nothing", err, test.says)
			}
		})
	}
}

// TestAppendColumnsWithoutAValue: a file of text looks the same whether its columns have a type
// or, as those of an input that is a header alone, none; and what had a type keeps it.
func TestAppendColumnsWithoutAValue(t *testing.T) {
	of := func(typ string) []Column { return []Column{{Name: "id", Type: typ}} }
	for _, c := range []struct {
		live   []string // newest first
		now    string
		ext    string
		refuse bool
	}{
		{[]string{"int64"}, "null", ".csv", false},
		{[]string{"null"}, "int64", ".csv.gz", false},
		{[]string{"null", "int64"}, "int64", ".jsonl", false},
		{[]string{"null", "int64"}, "utf8", ".csv", true},
		{[]string{"null"}, "int64", ".parquet", true},
		{[]string{"int64"}, "null", ".arrow", true},
		{[]string{"null"}, "null", ".parquet", false},
	} {
		var live []*Manifest
		for _, typ := range c.live {
			live = append(live, &Manifest{Schema: of(typ)})
		}
		if why := OtherColumns(live, c.ext, of(c.now)); (why != "") != c.refuse {
			t.Errorf("%v beside %v in %s: %q", c.now, c.live, c.ext, why)
		}
	}
}

// TestReplaceMayLookOtherwise has columns that matter to who appends alone.
func TestReplaceMayLookOtherwise(t *testing.T) {
	opts := jobOptions(t)
	madeOutput(t, opts.Output, madeRun{run: runNumber(1), mode: ModeFresh, parts: 1, set: func(m *Manifest) { m.Schema = []Column{{Name: "id", Type: "int64"}} }})
	opts.IfExists, opts.Ext = IfExistsReplace, ".csv"
	s, err := Stage(opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.CheckColumns([]Column{{Name: "y", Type: "utf8"}}), s.Discard()); err != nil {
		t.Errorf("replacing = %v; want nothing to be compared", err)
	}
}
