package agree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/models"
)

// ErrRefused says that the model as it was cannot score the rows at all, so that
// there is nothing to compare with.
var ErrRefused = errors.New("the model does not take the rows")

// Difference is how far one output of two models lies apart.
type Difference struct {
	Output string `json:"output"`
	Type   string `json:"type"`
	// Largest is the largest |a-b| / max(1, |a|) of floats; NaN agrees with NaN,
	// and an infinity with itself. +Inf where only one is a NaN or infinite.
	Largest float64 `json:"largest"`
	// Differing are the values that are not the same: of integers, strings and
	// booleans, any difference but those of Tied; of floats, those whose difference
	// is +Inf.
	Differing int `json:"differing"`
	// Tied are labels that differ in rows whose two best scores are equal but for
	// rounding, so that either label is right.
	Tied   int `json:"tied"`
	Values int `json:"values"`
}

// Result is a comparison.
type Result struct {
	Rows        int          `json:"rows"`
	Refused     int          `json:"refused"` // rows that the model as it was does not take
	Differences []Difference `json:"outputs"` // of the outputs that both have
}

// Largest is the largest difference of floats, and the output it is of; none
// where all are the same.
func (r *Result) Largest() (largest float64, output string) {
	for _, d := range r.Differences {
		if d.Largest > largest {
			largest, output = d.Largest, d.Output
		}
	}
	return largest, output
}

// Compare runs a model as it was and as it is now on the rows of inputs, which
// have a tensor for each input in order, and compares the outputs that both have,
// by name. Rows that was does not take, such as a category that it refuses, are
// left out where rows can be told apart; ErrRefused when it takes none. The
// errors of a model that cannot be loaded are NewSession's.
func Compare(ctx context.Context, lib *ort.Library, was, now *models.Model, rows *Rows) (*Result, error) {
	before, err := ort.NewSession(lib, was, ort.SessionOptions{})
	if err != nil {
		return nil, err
	}
	defer func() { _ = before.Close() }()
	after, err := ort.NewSession(lib, now, ort.SessionOptions{})
	if err != nil {
		return nil, fmt.Errorf("as rewritten: %w", err)
	}
	defer func() { _ = after.Close() }()
	result := &Result{Rows: rows.Count}
	result.Differences, err = rows.compare(ctx, before, after)
	if errors.Is(err, ErrRefused) {
		if rows, err = takenRows(ctx, before, rows, err); err != nil {
			return nil, err
		}
		result.Rows, result.Refused = rows.Count, result.Rows-rows.Count
		result.Differences, err = rows.compare(ctx, before, after)
	}
	if err != nil {
		return nil, err
	}
	return result, nil
}

// Sessions compares the tensors that two sessions both give, by name, on the same
// inputs, which have a tensor for each input in order and are borrowed. The
// error wraps ErrRefused where the model as it was fails on them.
func Sessions(ctx context.Context, was, now *ort.Session, inputs []*ort.Tensor) ([]Difference, error) {
	want := make([]*ort.Tensor, len(was.Outputs()))
	if err := was.Run(ctx, inputs, want); err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	defer closeAll(want)
	got := make([]*ort.Tensor, len(now.Outputs()))
	if err := now.Run(ctx, inputs, got); err != nil {
		return nil, fmt.Errorf("as rewritten: %w", err)
	}
	defer closeAll(got)
	var all []Difference
	ties := tiesOf(want)
	for i, v := range was.Outputs() {
		j := slices.IndexFunc(now.Outputs(), func(a models.Value) bool { return a.Name == v.Name })
		if j < 0 || want[i].Kind() != models.Tensor {
			continue
		}
		d, err := difference(v.Name, want[i], got[j], ties)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

func (r *Rows) compare(ctx context.Context, was, now *ort.Session) ([]Difference, error) {
	inputs, err := r.tensors()
	defer closeAll(inputs)
	if err != nil {
		return nil, err
	}
	return Sessions(ctx, was, now, inputs)
}

// takenRows are the rows that a session takes one by one; an error, which wraps
// why, when it takes none.
func takenRows(ctx context.Context, s *ort.Session, rows *Rows, why error) (*Rows, error) {
	var taken []int
	for r := range rows.Count {
		if rows.fixed {
			break
		}
		if _, err := rows.pick([]int{r}).compare(ctx, s, s); err == nil {
			taken = append(taken, r)
		} else if ctx.Err() != nil {
			return nil, err
		}
	}
	if len(taken) == 0 {
		return nil, why
	}
	return rows.pick(taken), nil
}

func closeAll(all []*ort.Tensor) {
	for _, t := range all {
		if t != nil {
			_ = t.Close()
		}
	}
}

// difference compares one output.
func difference(name string, want, got *ort.Tensor, ties ties) (Difference, error) {
	d := Difference{Output: name, Type: want.Elem().String()}
	if got.Kind() != models.Tensor || want.Elem() != got.Elem() || !slices.Equal(want.Shape(), got.Shape()) {
		return d, fmt.Errorf("%w: output %q was %v %v, and is %v %v as rewritten", models.ErrModel, name, want.Elem(), want.Shape(), got.Elem(), got.Shape())
	}
	switch want.Elem() {
	case models.Float32:
		a, b := ort.View[float32](want), ort.View[float32](got)
		for i := range a {
			d.add(float64(a[i]), float64(b[i]))
		}
	case models.Float64:
		a, b := ort.View[float64](want), ort.View[float64](got)
		for i := range a {
			d.add(a[i], b[i])
		}
	case models.String:
		a, err := stringsOf(want)
		if err != nil {
			return d, err
		}
		b, err := stringsOf(got)
		if err != nil {
			return d, err
		}
		for i := range a {
			d.addLabel(a[i] == b[i], ties, want.Shape())
		}
	default:
		size := want.Elem().Bytes()
		if size == 0 {
			return d, fmt.Errorf("%w: output %q is of %v, which is not compared", models.ErrUnsupported, name, want.Elem())
		}
		a, b := want.Bytes(), got.Bytes()
		for ; len(a) >= size; a, b = a[size:], b[size:] {
			d.addLabel(bytes.Equal(a[:size], b[:size]), ties, want.Shape())
		}
	}
	return d, nil
}

func (d *Difference) add(a, b float64) {
	d.Values++
	off := math.Abs(a-b) / max(1, math.Abs(a))
	switch {
	case a == b || math.IsNaN(a) && math.IsNaN(b):
		return
	case math.IsNaN(off) || math.IsInf(a, 0) || math.IsInf(b, 0):
		off = math.Inf(1)
		d.Differing++
	}
	d.Largest = max(d.Largest, off)
}

// addLabel takes in the next value of an output that is of no floats.
func (d *Difference) addLabel(same bool, ties ties, shape []int64) {
	row := d.Values
	d.Values++
	switch {
	case same:
	case len(shape) == 1 && ties.at(row):
		d.Tied++
	default:
		d.Differing++
	}
}

// tieRounding is how far the two best of a row's scores may lie apart, relative to
// the best, or absolute below 1, to count as equal: about what float32 makes of a
// sum of hundreds of numbers in one order and in another.
const tieRounding = 1e-4

// ties are the scores of rows, of every output that has several a row.
type ties []*ort.Tensor

func tiesOf(outputs []*ort.Tensor) (scores ties) {
	for _, t := range outputs {
		if t.Kind() == models.Tensor && (t.Elem() == models.Float32 || t.Elem() == models.Float64) && len(t.Shape()) == 2 && t.Shape()[1] > 1 {
			scores = append(scores, t)
		}
	}
	return scores
}

// at says whether a row's best score is one that another of the row's equals.
func (s ties) at(row int) bool {
	return slices.ContainsFunc(s, func(t *ort.Tensor) bool {
		rows, classes := int(t.Shape()[0]), int(t.Shape()[1])
		if row >= rows {
			return false
		}
		if t.Elem() == models.Float64 {
			return tied(ort.View[float64](t)[row*classes : (row+1)*classes])
		}
		return tied(ort.View[float32](t)[row*classes : (row+1)*classes])
	})
}

func tied[T float32 | float64](scores []T) bool {
	best, second := math.Inf(-1), math.Inf(-1)
	for _, v := range scores {
		best, second = max(best, float64(v)), max(second, min(best, float64(v)))
	}
	return best-second <= tieRounding*max(1, math.Abs(best))
}

func stringsOf(t *ort.Tensor) ([]string, error) {
	offsets, data, err := t.Strings()
	if err != nil {
		return nil, err
	}
	all := make([]string, len(offsets)-1)
	for i := range all {
		all[i] = string(data[offsets[i]:offsets[i+1]])
	}
	return all, nil
}
