package filter_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/millrace/millrace/batcher/filter"
)

const goldenDir = "../../testdata/filters"

// goldenCase is one expression and the rows that pass by DuckDB, pyarrow or both.
type goldenCase struct {
	Where string `json:"where"`
	By    string `json:"by"`
	Count int    `json:"count"`
	Rows  string `json:"rows"` // one bit a row, in hexadecimal
}

func goldenCases(tb testing.TB) []goldenCase {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join(goldenDir, "expected.json"))
	if err != nil {
		tb.Fatal(err)
	}
	var all struct{ Cases []goldenCase }
	if err := json.Unmarshal(data, &all); err != nil || len(all.Cases) == 0 {
		tb.Fatalf("expected.json: %d cases, %v", len(all.Cases), err)
	}
	return all.Cases
}

// goldenRows reads rows.parquet by arrow-go's own reader, which gives dictionaries as
// the writer had them.
func goldenRows(tb testing.TB) arrow.Table {
	tb.Helper()
	f, err := os.Open(filepath.Join(goldenDir, "rows.parquet"))
	if err != nil {
		tb.Fatal(err)
	}
	table, err := func() (arrow.Table, error) {
		r, err := file.NewParquetReader(f)
		if err != nil {
			return nil, err
		}
		a, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
		if err != nil {
			return nil, err
		}
		return a.ReadTable(tb.Context())
	}()
	if err != nil {
		tb.Fatal(err)
	}
	return table
}

// Other engines' rows pass, of random expressions on random rows.
func TestFiltersByOtherEngines(t *testing.T) {
	table := goldenRows(t)
	defer table.Release()
	by := map[string]int{}
	for _, c := range goldenCases(t) {
		by[c.By]++
		want, err := hex.DecodeString(c.Rows)
		if err != nil {
			t.Fatal(err)
		}
		f, err := filter.Parse(c.Where, table.Schema())
		if err != nil {
			t.Errorf("%s: %v", c.Where, err)
			continue
		}
		e := f.NewEvaluator()
		got, first := []int(nil), 0
		reader := array.NewTableReader(table, 37) // slices, and the dictionary of each row group
		for reader.Next() {
			record := reader.RecordBatch()
			columns := make([]arrow.Array, len(f.Columns()))
			for i, name := range f.Columns() {
				columns[i] = record.Column(record.Schema().FieldIndices(name)[0])
			}
			passed, _ := e.Eval(columns, int(record.NumRows()))
			for row := range passed.Rows {
				got = append(got, first+row)
			}
			first += int(record.NumRows())
		}
		reader.Release()
		if !slices.Equal(got, bitsOf(want)) || len(got) != c.Count {
			t.Errorf("%s: %d rows pass: %v; want %d by %s: %v", c.Where, len(got), got, c.Count, c.By, bitsOf(want))
		}
		e.Close()
	}
	if by["both"] < 100 || by["duckdb"] < 50 || by["pyarrow"] < 20 {
		t.Errorf("cases by engine: %v; want more of each", by)
	}
}

func bitsOf(bits []byte) (rows []int) {
	for i, b := range bits {
		for k := range 8 {
			if b>>k&1 != 0 {
				rows = append(rows, i*8+k)
			}
		}
	}
	return rows
}
