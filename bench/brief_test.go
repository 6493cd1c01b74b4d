package bench

import (
	"bytes"
	"strings"
	"testing"
)

// Start-up is no finding: runs that are mostly that tell nothing of ceilings and costs.
func TestBrief(t *testing.T) {
	for _, c := range []struct {
		name    string
		rows    int64
		seconds float64 // of a whole run; infer alone does 2M rows/s
		brief   bool
	}{
		{"57 ms, of which rows take 10", 20_000, 0.057, true},
		{"57 ms, of which rows take 50", 100_000, 0.057, false},
		{"0.3 s are told as they are, however far from the ceiling", 20_000, 0.3, false},
	} {
		b := &Bench{Head: Head{Machine: Machine{Cores: 2}, PricePerHour: 1}}
		for i := range 5 {
			b.Repeats = append(b.Repeats,
				Repeat{Stage: StageInfer, Arm: Arm{BatchRows: 4096, Workers: 2}, Index: i, Rows: 1_000_000, Seconds: 0.5, CPUSeconds: 0.9},
				Repeat{Stage: StageEndToEnd, Chosen: true, Arm: Arm{BatchRows: 4096, Workers: 2}, Index: i, Rows: c.rows, Seconds: c.seconds, CPUSeconds: c.seconds})
		}
		s := Summarize(b)
		if (s.Brief != nil) != c.brief || s.OfCeiling.known() == c.brief || s.RowsPerUnit.known() == c.brief {
			t.Errorf("%s: brief %+v, %v of the ceiling, %v rows per unit of money; want brief %t", c.name, s.Brief, s.OfCeiling, s.RowsPerUnit, c.brief)
		}
		var table, report bytes.Buffer
		if err := WriteTable(&table, []*Bench{b}); err != nil {
			t.Fatal(err)
		}
		if err := WriteReport(&report, []*Bench{b}, nil); err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{table.String(), report.String()} {
			if strings.Contains(text, "A whole run takes 57.0 ms, of which 47.0 ms are starting and publishing") != c.brief ||
				c.brief && strings.Contains(strings.ToLower(text), "a billion rows") {
				t.Errorf("%s: not told so in\n%s", c.name, text)
			}
		}
	}
}
