package dataset

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Arrow files say how large values without a fixed width are, of the others their types do.
func TestValueBytesOfArrow(t *testing.T) {
	d, err := Open(t.Context(), []string{"../arrowfile/testdata/pyarrow/all.arrow"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	// What pyarrow's buffers have, by the row: s 22.1, ll 20.5, st 15.0 bytes.
	for column, want := range map[string]int64{"s": 22, "ll": 20, "st": 15, "f64": 0, "fsl": 0} {
		if got := d.ValueBytes(column); got != want {
			t.Errorf("ValueBytes(%q) = %d; want %d", column, got, want)
		}
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// Of text in lines the sample says it, and where rows come that are longer than those of the
// sample, so are their texts.
func TestValueBytesOfLines(t *testing.T) {
	row := func(s, u int) string {
		return fmt.Sprintf("1.5,%s,%s\n", strings.Repeat("s", s), strings.Repeat("u", u))
	}
	for _, c := range []struct {
		name  string
		text  string
		s, u  int64 // about
		rough int64
	}{
		{"alike", strings.Repeat(row(30, 60), 1000), 30, 60, 1},
		{"none", "", 0, 0, 0},
		{"a row beyond the sample", row(20<<20, 1), 20 << 20, 1, 20 << 20},
		{"two before short ones", row(4_000_000, 1) + row(4_000_000, 1) + strings.Repeat(row(30, 60), 200_000), 5_000, 10_000, 500},
		{"longer ones behind the sample", strings.Repeat(row(30, 60), 200_000) + strings.Repeat(row(30_000, 60_000), 400), 20_000, 40_000, 20_000},
	} {
		path := filepath.Join(t.TempDir(), "in.csv")
		if err := os.WriteFile(path, []byte("x,s,u\n"+c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := Open(t.Context(), []string{path}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for column, want := range map[string]int64{"x": 0, "s": c.s, "u": c.u} {
			rough := c.rough
			if want == 0 {
				rough = 0
			}
			if got := d.ValueBytes(column); got < want-rough || got > want+rough {
				t.Errorf("%s: ValueBytes(%q) = %d; want about %d", c.name, column, got, want)
			}
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Large record batches are read whole where a column's rows lie anywhere.
func TestArrowReadWhole(t *testing.T) {
	whole := []string{"lv", "ree", "du", "su"}
	for _, file := range []string{"all.arrow", "all-zstd.stream", "all-lz4.arrow"} {
		d, err := Open(t.Context(), []string{"../arrowfile/testdata/pyarrow/" + file}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range d.Schema().Fields() {
			want := slices.Contains(whole, f.Name)
			if got := d.ReadWhole(f.Name); got != want {
				t.Errorf("%s: ReadWhole(%q) = %v; want %v", file, f.Name, got, want)
			}
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}
