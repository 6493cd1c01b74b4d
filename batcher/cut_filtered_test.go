package batcher

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"pgregory.net/rapid"
)

// unfiltered are spans whose rows are all cut.
func unfiltered(rows []int64) []SpanRows {
	spans := make([]SpanRows, len(rows))
	for i, n := range rows {
		spans[i] = SpanRows{n, n}
	}
	return spans
}

// Rows that a filter takes out leave their numbers to the others, and the batches are
// those that the rows' counts tell.
func TestCutterCutsWhatPasses(t *testing.T) {
	schema := arrow.NewSchema(nil, nil)
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.IntRange(1, 9).Draw(rt, "rows")
		join := rapid.SampledFrom([]Joining{JoinShortSpans, JoinSpans}).Draw(rt, "join")
		announced := rapid.SliceOfN(rapid.Int64Range(0, 20), 1, 12).Draw(rt, "spans")
		var batches [][]Origin
		cutter := NewCutter(size, join, func(b *Batch) error {
			var rows []Origin
			for i := range b.Segments {
				for r := range b.Segments[i].Rows {
					rows = append(rows, b.Segments[i].At(r))
				}
			}
			batches = append(batches, rows)
			b.Release()
			return nil
		})
		spans := make([]SpanRows, len(announced))
		var want []Origin
		for i, n := range announced {
			var numbers []int64
			for row := range n {
				if rapid.Bool().Draw(rt, "passes") {
					numbers = append(numbers, row)
					want = append(want, Origin{File: i, Row: row})
				}
			}
			spans[i] = SpanRows{Announced: n, Cut: int64(len(numbers))}
			if err := cutter.StartSpan(n); err != nil {
				rt.Fatal(err)
			}
			if len(numbers) == 0 {
				continue
			}
			record := array.NewRecordBatch(schema, nil, int64(len(numbers)))
			err := cutter.Add(Segment{Record: record, Rows: len(numbers), Origin: Origin{File: i, Row: numbers[0]}, Numbers: numbers})
			record.Release()
			if err != nil {
				rt.Fatal(err)
			}
		}
		if err := cutter.Flush(); err != nil {
			rt.Fatal(err)
		}
		at := 0
		for _, batch := range batches {
			for i, got := range batch {
				if got != want[at+i] {
					rt.Fatalf("row %d of what passes is %v; want %v", at+i, got, want[at+i])
				}
				first, n := BatchAround(spans, size, join, int64(at+i))
				if first != int64(at) || n != int64(len(batch)) {
					rt.Fatalf("BatchAround(%v, %d, %d, %d) = %d, %d; want %d, %d", spans, size, join, at+i, first, n, at, len(batch))
				}
			}
			at += len(batch)
		}
		if at != len(want) {
			rt.Fatalf("%d rows came out; want %d", at, len(want))
		}
		if got := CountBatches(spans, size, join); got != int64(len(batches)) {
			rt.Fatalf("CountBatches(%v, %d, %d) = %d; want %d", spans, size, join, got, len(batches))
		}
	})
}
