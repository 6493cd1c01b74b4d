package engine

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/millrace/millrace/batcher/filter"
	"github.com/millrace/millrace/io/dataset"
)

// Row groups are judged by the statistics that pyarrow wrote, and the rows that pass
// are those that DuckDB and pyarrow find: none of them lies in a group of which none is
// said to pass.
func TestPrunedSpansHoldNoRowThatPasses(t *testing.T) {
	data, err := os.ReadFile("../testdata/filters/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var expected struct {
		Cases []struct{ Where, Rows string }
	}
	if err := json.Unmarshal(data, &expected); err != nil {
		t.Fatal(err)
	}
	verdicts := map[filter.Verdict]int{}
	for _, c := range expected.Cases {
		d, err := dataset.Open(t.Context(), []string{"../testdata/filters/rows.parquet"}, dataset.Options{Statistics: filter.Names(c.Where)})
		if err != nil {
			t.Fatal(err)
		}
		f, err := filter.Parse(c.Where, d.Schema())
		if err != nil {
			t.Fatalf("%s: %v", c.Where, err)
		}
		bits, err := hex.DecodeString(c.Rows)
		if err != nil {
			t.Fatal(err)
		}
		plan, first := &Plan{Dataset: d}, int64(0)
		for i, span := range d.Spans(0) {
			passing := int64(0)
			for row := first; row < first+span.Rows; row++ {
				passing += int64(bits[row/8] >> (row % 8) & 1)
			}
			first += span.Rows
			verdict := f.Prune(plan.statistics(f, 0, i))
			verdicts[verdict]++
			if verdict == filter.None && passing > 0 || verdict == filter.All && passing < span.Rows {
				t.Errorf("%s: span %d: verdict %d, and %d of %d rows pass", c.Where, i, verdict, passing, span.Rows)
			}
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	if verdicts[filter.None] < 200 || verdicts[filter.All] < 100 {
		t.Errorf("verdicts %v; want many of each", verdicts)
	}
}
