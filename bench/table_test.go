package bench

import (
	"bytes"
	"testing"
)

func TestWriteTable(t *testing.T) {
	all := twoMachines(t)
	for name, benches := range map[string][]*Bench{
		"table-one.txt": all[:1], "table-two.txt": all, "table-exported.txt": {withExported(t, 0.08)},
	} {
		var w bytes.Buffer
		if err := WriteTable(&w, benches); err != nil {
			t.Fatal(err)
		}
		golden(t, name, w.Bytes())
	}
}
