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
