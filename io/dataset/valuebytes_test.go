package dataset

import (
	"slices"
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

// Large record batches are read whole where a column's rows lie anywhere, or where columns
// without a fixed width are compressed.
func TestArrowReadWhole(t *testing.T) {
	fixed := []string{"f32", "f64", "f16", "i8", "u64", "b", "fsb", "ts", "d32", "dec", "fsl"}
	for _, c := range []struct {
		file  string
		whole []string // nil: all that have no fixed width
	}{
		{"all.arrow", []string{"lv", "ree", "du", "su"}},
		{"all-zstd.stream", nil},
		{"all-lz4.arrow", nil},
	} {
		d, err := Open(t.Context(), []string{"../arrowfile/testdata/pyarrow/" + c.file}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range d.Schema().Fields() {
			want := slices.Contains(c.whole, f.Name) || c.whole == nil && !slices.Contains(fixed, f.Name)
			if got := d.ReadWhole(f.Name); got != want {
				t.Errorf("%s: ReadWhole(%q) = %v; want %v", c.file, f.Name, got, want)
			}
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}
