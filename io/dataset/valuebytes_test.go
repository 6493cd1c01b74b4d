package dataset

import "testing"

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
