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
