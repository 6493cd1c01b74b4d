package engine

import (
	"fmt"
	"math/big"
	"slices"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/float16"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/io/format"
)

// OnBadRow says what becomes of a row that cannot be scored: a null where none is
// allowed, a value that its cast does not allow, or that is not finite where it has to
// be, text that is no UTF-8, a list of another length than the model wants, a row that
// ONNX Runtime fails for, and a NaN in the model's output where it is refused.
type OnBadRow string

// What becomes of it.
const (
	BadFail   OnBadRow = "fail"   // the run fails; the default
	BadNull   OnBadRow = "null"   // it stays in the output, its predictions are null; it is among the rejects too
	BadReject OnBadRow = "reject" // it is left out of the output
)

// Stages that reject rows, as the table of rejects names them.
const (
	stageRule     = "rule"     // it breaks a rule on its columns
	stageAssemble = "assemble" // its values do not become tensors
	stageInfer    = "infer"    // ONNX Runtime fails for it
	stageOutput   = "output"   // its prediction is refused
)

// reject is a row of a batch that is left out of the output, or has no predictions
// there.
type reject struct {
	batcher.Reject

	stage string
	line  *format.Problem // of one that was read wrong
}

// rejects are those of one batch.
type rejects []reject

// has says whether a row is among them.
func (r rejects) has(row int) bool {
	return slices.ContainsFunc(r, func(r reject) bool { return r.Row == row })
}

// rejectsOf are an assembler's.
func rejectsOf(assembled []batcher.Reject) rejects {
	all := make(rejects, len(assembled))
	for i, r := range assembled {
		all[i] = reject{Reject: r, stage: stageAssemble}
	}
	return all
}

// together are several lists as one, which may be one of them.
func together(lists ...rejects) rejects {
	lists = slices.DeleteFunc(lists, func(l rejects) bool { return len(l) == 0 })
	if len(lists) == 1 {
		return lists[0]
	}
	return slices.Concat(lists...)
}

// firstPerRow sorts rejects by row and keeps the first of each, which says whether any
// of them was asked for.
func firstPerRow(all rejects) rejects {
	rows, distinct := 0, 0
	for i := range all {
		rows = max(rows, all[i].Row+1)
	}
	first := make([]int, rows) // by row: its place, from 1
	for i := range all {
		switch at := &first[all[i].Row]; {
		case *at == 0:
			*at = i + 1
			distinct++
		case all[i].Asked:
			all[*at-1].Asked = true
		}
	}
	kept := make(rejects, 0, distinct)
	for _, at := range first {
		if at > 0 {
			kept = append(kept, all[at-1])
		}
	}
	return kept
}

// bad notes a row of a result that a stage after assembly found; where bad rows make
// the run fail it is an error instead, unless the row is rejected anyway.
func (w *worker) bad(res *result, row int, column, stage, reason string) error {
	if w.onBadRow == BadFail {
		if res.rejects.has(row) {
			return nil
		}
		return &batcher.RowError{Origin: originOf(res.batch, row), Reason: reason, Advice: "correct the row"}
	}
	res.rejects = append(res.rejects, reject{Reject: batcher.Reject{Row: row, Column: column, Reason: reason}, stage: stage})
	return nil
}

// firstBad is the error of a batch some of whose rows are bad where none may be: of rows
// that are left out as duplicates nobody asks.
func firstBad(batch *batcher.Batch, found, out rejects) error {
	var first *reject
	for i := range found {
		r := &found[i]
		if !r.Asked && (first == nil || r.Row < first.Row) && !out.has(r.Row) {
			first = r
		}
	}
	if first == nil {
		return nil
	}
	err := &batcher.RowError{Column: first.Column, Origin: originOf(batch, first.Row), Reason: first.Reason, Advice: first.Advice}
	if first.Computed {
		err.Column, err.Feature = "", first.Column
	}
	return err
}

// originOf is where a row of a batch lies.
func originOf(batch *batcher.Batch, row int) batcher.Origin {
	i := 0
	for ; row >= batch.Segments[i].Rows; i++ {
		row -= batch.Segments[i].Rows
	}
	return batch.Segments[i].At(row)
}

// refuseNaN finds the rows of a result whose predictions have a NaN.
func (w *worker) refuseNaN(res *result) error {
	for i, a := range res.predictions {
		last := -1
		leaf := leafOf(a)
		width := leaf.Len() / max(res.batch.Rows, 1)
		for _, at := range nanAt(leaf) {
			row := at / width
			if row == last {
				continue
			}
			last = row
			name := res.fields[i].Name
			if err := w.bad(res, row, name, stageOutput, fmt.Sprintf("prediction %q is NaN", name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// leafOf is the flat array within lists.
func leafOf(a arrow.Array) arrow.Array {
	for {
		list, ok := a.(*array.FixedSizeList)
		if !ok {
			return a
		}
		a = list.ListValues()
	}
}

// nanAt are the places of NaNs.
func nanAt(a arrow.Array) (at []int) {
	switch a := a.(type) {
	case *array.Float32:
		return indexesOf(a.Float32Values(), func(v float32) bool { return v != v })
	case *array.Float64:
		return indexesOf(a.Float64Values(), func(v float64) bool { return v != v })
	case *array.Float16:
		return indexesOf(a.Values(), float16.Num.IsNaN)
	}
	return nil
}

func indexesOf[T any](values []T, is func(T) bool) (at []int) {
	for i, v := range values {
		if is(v) {
			at = append(at, i)
		}
	}
	return at
}

// withNulls is an array whose listed rows are null. It takes the array over, which has
// no nulls.
func withNulls(a arrow.Array, rows []reject) arrow.Array {
	defer a.Release()
	d := a.Data()
	valid := make([]byte, bitutil.BytesForBits(int64(d.Offset()+d.Len())))
	bitutil.SetBitsTo(valid, int64(d.Offset()), int64(d.Len()), true)
	for _, r := range rows {
		bitutil.ClearBit(valid, d.Offset()+r.Row)
	}
	buffers := slices.Clone(d.Buffers())
	buffers[0] = memory.NewBufferBytes(valid)
	data := array.NewData(d.DataType(), d.Len(), buffers, d.Children(), len(rows), d.Offset())
	defer data.Release()
	return array.MakeFromData(data)
}

// nullable are prediction columns as the output has them.
func (o *Options) nullable(predictions []arrow.Field) []arrow.Field {
	predictions = slices.Clone(predictions)
	for i := range predictions {
		predictions[i].Nullable = o.keepsNulled()
	}
	return predictions
}

// mostBadRows is how many rows may be rejected or null, and the words of the flag that
// says so; below 0 for any number.
func (p *Plan) mostBadRows() (rows int64, words string) {
	o := &p.Options
	words = o.maxBadRows()
	if o.MaxRejectPercent == 0 {
		return o.MaxRejects, words
	}
	// Exact: 0.1 is a tenth, not the float64 next to it.
	share, _ := new(big.Rat).SetString(strconv.FormatFloat(o.MaxRejectPercent, 'f', -1, 64))
	share.Mul(share, new(big.Rat).SetFrac64(p.Dataset.Rows(), 100))
	rows = new(big.Int).Quo(share.Num(), share.Denom()).Int64()
	return rows, fmt.Sprintf("%s of %d rows, which is %d", words, p.Dataset.Rows(), rows)
}

// maxBadRows is the limit as a person gives it.
func (o *Options) maxBadRows() string {
	if o.MaxRejectPercent != 0 {
		return strconv.FormatFloat(o.MaxRejectPercent, 'f', -1, 64) + "%"
	}
	return strconv.FormatInt(o.MaxRejects, 10)
}

// checkBadSoFar is checkBadRows while the run goes on: of how many rows a share is, only
// the end of a stream tells.
func (p *Plan) checkBadSoFar(bad int64) error {
	if p.live() && p.Options.MaxRejectPercent != 0 {
		return nil
	}
	return p.checkBadRows(bad)
}

// checkBadRows returns an error that wraps ErrBadRows when more rows are bad than the
// run may have.
func (p *Plan) checkBadRows(bad int64) error {
	if limit, words := p.mostBadRows(); limit >= 0 && bad > limit {
		return fmt.Errorf("%w: %d rows rejected so far, and --max-bad-rows allows %s", ErrBadRows, bad, words)
	}
	return nil
}
