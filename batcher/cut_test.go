package batcher

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"pgregory.net/rapid"
)

// numbered makes a record whose one column holds the numbers from..to.
func numbered(mem memory.Allocator, from, to int64) arrow.RecordBatch {
	b := array.NewInt64Builder(mem)
	defer b.Release()
	for v := from; v < to; v++ {
		b.Append(v)
	}
	column := b.NewArray()
	defer column.Release()
	return array.NewRecordBatch(schemaOf("n", i64), []arrow.Array{column}, to-from)
}

// cutSpans cuts spans, each fed as records of at most chunk rows, and gives
// the batches as their rows' numbers.
func cutSpans(tb testing.TB, spans []int64, rows int, join Joining, chunk func() int64) [][]int64 {
	tb.Helper()
	alloc := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer alloc.AssertSize(tb, 0)
	var batches [][]int64
	cutter := NewCutter(rows, join, func(b *Batch) error {
		defer b.Release()
		var numbers []int64
		for _, s := range b.Segments {
			column := s.Record.Column(0).(*array.Int64).Int64Values()[s.From : s.From+s.Rows]
			if s.Origin.Row != column[0] {
				tb.Errorf("segment of row %d says it is of row %d", column[0], s.Origin.Row)
			}
			numbers = append(numbers, column...)
		}
		if len(numbers) != b.Rows {
			tb.Errorf("batch of %d rows says it has %d", len(numbers), b.Rows)
		}
		batches = append(batches, numbers)
		return nil
	})
	at := int64(0)
	for _, n := range spans {
		if err := cutter.StartSpan(n); err != nil {
			tb.Fatal(err)
		}
		for end := at + n; at < end; {
			next := min(at+chunk(), end)
			record := numbered(alloc, at, next)
			err := cutter.Add(Whole(record, Origin{Row: at}))
			record.Release()
			if err != nil {
				tb.Fatal(err)
			}
			at = next
		}
	}
	if err := cutter.Flush(); err != nil {
		tb.Fatal(err)
	}
	return batches
}

// TestCutterCoversEveryRow holds for any spans, sizes and chunks.
func TestCutterCoversEveryRow(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rows := rapid.IntRange(1, 20).Draw(rt, "rows")
		spans := rapid.SliceOfN(rapid.Int64Range(0, 50), 0, 12).Draw(rt, "spans")
		join := rapid.SampledFrom([]Joining{JoinShortSpans, JoinSpans}).Draw(rt, "join")
		sizes := rapid.SliceOfN(rapid.Int64Range(1, 30), 1, 8).Draw(rt, "chunks")
		next := 0
		batches := cutSpans(t, spans, rows, join, func() int64 {
			next++
			return sizes[next%len(sizes)]
		})

		total := int64(0)
		edges := map[int64]bool{0: true}
		for i, b := range batches {
			for _, n := range b {
				if n != total {
					rt.Fatalf("row %d comes where row %d should", n, total)
				}
				total++
			}
			edges[total] = true
			if len(b) == 0 || len(b) > rows {
				rt.Fatalf("batch %d has %d rows; want 1 to %d", i, len(b), rows)
			}
			if join == JoinSpans && i < len(batches)-1 && len(b) != rows {
				rt.Fatalf("batch %d of %d has %d rows; want full batches but the last", i, len(batches), len(b))
			}
		}
		want := int64(0)
		for _, n := range spans {
			if join == JoinShortSpans && n >= int64(rows) && (!edges[want] || !edges[want+n]) {
				rt.Fatalf("span of %d rows from row %d does not start and end on edges", n, want)
			}
			want += n
		}
		if total != want {
			rt.Fatalf("%d rows came out; want %d", total, want)
		}
		if got := CountBatches(unfiltered(spans), rows, join); got != int64(len(batches)) {
			rt.Fatalf("CountBatches(%v, %d) = %d; want %d", spans, rows, got, len(batches))
		}
		whole := cutSpans(t, spans, rows, join, func() int64 { return 1000 })
		if !slices.EqualFunc(whole, batches, slices.Equal[[]int64]) {
			rt.Fatalf("batches depend on the records' sizes: %v and %v", batches, whole)
		}
	})
}

// TestCutterDrawn draws spans and their batches. Each line of cuts.txt is
//
//	sentence: batch size, joining: span rows -> batch rows
//
// with a bar where a batch holds rows of two spans.
func TestCutterDrawn(t *testing.T) {
	tests := []struct {
		sentence string
		rows     int
		join     Joining
		spans    []int64
	}{
		{"short spans are joined", 10, JoinShortSpans, []int64{4, 4, 4, 4}},
		{"a long span starts and ends on an edge", 10, JoinShortSpans, []int64{4, 25, 4, 4}},
		{"a span of one batch is long", 10, JoinShortSpans, []int64{4, 10, 4}},
		{"long spans do not share", 10, JoinShortSpans, []int64{15, 15}},
		{"empty spans do nothing", 10, JoinShortSpans, []int64{0, 4, 0, 4, 0}},
		{"not even after a long one", 10, JoinShortSpans, []int64{12, 0, 4}},
		{"no spans are no batches", 10, JoinShortSpans, nil},
		{"a fixed size joins all", 10, JoinSpans, []int64{4, 25, 4, 4}},
		{"to the row", 10, JoinSpans, []int64{10, 10, 5, 5}},
		{"a batch of one", 1, JoinShortSpans, []int64{2, 1}},
	}
	var drawn strings.Builder
	for _, test := range tests {
		batches := cutSpans(t, test.spans, test.rows, test.join, func() int64 { return 7 })
		join := "short spans joined"
		if test.join == JoinSpans {
			join = "all spans joined"
		}
		fmt.Fprintf(&drawn, "%s: %d, %s: %s -> %s\n", test.sentence, test.rows, join, drawSpans(test.spans), drawBatches(test.spans, batches))
	}
	golden(t, "cuts.txt", drawn.String())
}

func drawSpans(spans []int64) string {
	parts := make([]string, len(spans))
	for i, n := range spans {
		parts[i] = strconv.FormatInt(n, 10)
	}
	return "[" + strings.Join(parts, " ") + "]"
}

func drawBatches(spans []int64, batches [][]int64) string {
	starts := make([]int64, 0, len(spans))
	at := int64(0)
	for _, n := range spans {
		starts = append(starts, at)
		at += n
	}
	parts := make([]string, len(batches))
	for i, b := range batches {
		var runs []string
		run := 0
		for j, n := range b {
			if j > 0 && slices.Contains(starts, n) {
				runs = append(runs, strconv.Itoa(run))
				run = 0
			}
			run++
		}
		parts[i] = strings.Join(append(runs, strconv.Itoa(run)), "|")
	}
	return "[" + strings.Join(parts, " ") + "]"
}

// TestCutterTransfersOnError: a batch belongs to emit even when it fails.
func TestCutterTransfersOnError(t *testing.T) {
	alloc := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer alloc.AssertSize(t, 0)
	full := errors.New("sink is full")
	cutter := NewCutter(2, JoinShortSpans, func(b *Batch) error {
		b.Release()
		return full
	})
	record := numbered(alloc, 0, 5)
	defer record.Release()
	if err := cutter.Add(Whole(record, Origin{})); !errors.Is(err, full) {
		t.Errorf("Add = %v; want %v", err, full)
	}
	cutter.Discard()
}

// TestCutterDiscard: what was pending is neither kept nor emitted.
func TestCutterDiscard(t *testing.T) {
	alloc := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer alloc.AssertSize(t, 0)
	var emitted []int
	cutter := NewCutter(4, JoinShortSpans, func(b *Batch) error {
		defer b.Release()
		emitted = append(emitted, b.Rows)
		return nil
	})
	record := numbered(alloc, 0, 7)
	defer record.Release()
	if err := cutter.Add(Whole(record, Origin{})); err != nil {
		t.Fatal(err)
	}
	cutter.Discard()
	if err := cutter.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := cutter.Add(Whole(record, Origin{})); err != nil {
		t.Fatal(err)
	}
	cutter.Discard()
	if want := []int{4, 4}; !slices.Equal(emitted, want) {
		t.Errorf("batches of %v rows came out; want %v", emitted, want)
	}
}

// BatchAround finds for every row the batch that the Cutter put it into.
func TestBatchAroundIsTheCuttersBatch(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		spans := rapid.SliceOfN(rapid.Int64Range(0, 20), 1, 12).Draw(rt, "spans")
		rows := rapid.IntRange(1, 9).Draw(rt, "rows")
		join := rapid.SampledFrom([]Joining{JoinShortSpans, JoinSpans}).Draw(rt, "join")
		for _, batch := range cutSpans(t, spans, rows, join, func() int64 { return 7 }) {
			for _, at := range batch {
				first, n := BatchAround(unfiltered(spans), rows, join, at)
				if first != batch[0] || n != int64(len(batch)) {
					rt.Fatalf("BatchAround(%v, %d, %d, %d) = %d, %d; want %d, %d", spans, rows, join, at, first, n, batch[0], len(batch))
				}
			}
		}
	})
}
