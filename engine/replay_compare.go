package engine

import (
	"math"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/internal/half"
)

// Outcome is how a prediction compares with the one published; the larger, the
// worse.
type Outcome int

// The outcomes.
const (
	OutcomeEqual     Outcome = iota // the same bits
	OutcomeWithin                   // numbers within the tolerance
	OutcomeDifferent                // other numbers, or anything else that is not equal
)

// String names the outcome.
func (o Outcome) String() string {
	return [...]string{"equal", "within tolerance", "different"}[o]
}

// MarshalText names the outcome.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// ReplayedValue is one prediction, as published and as scored again. Of a list,
// Element is the one that differs most, and the values are its.
type ReplayedValue struct {
	Column   string  `json:"column"`
	Element  *int    `json:"element,omitempty"`
	Recorded string  `json:"recorded"`
	Again    string  `json:"again"`
	Outcome  Outcome `json:"outcome"`
	// Difference is of numbers that are not equal, where it is finite.
	Difference *float64 `json:"difference,omitempty"`
}

// compareValues compares the i-th value of one array with the j-th of another.
func compareValues(recorded arrow.Array, i int, again arrow.Array, j int, tolerance float64) ReplayedValue {
	if recorded.IsNull(i) || again.IsNull(j) {
		v := ReplayedValue{Recorded: ownText(recorded, i), Again: ownText(again, j)}
		if recorded.IsNull(i) != again.IsNull(j) {
			v.Outcome = OutcomeDifferent
		}
		return v
	}
	was, i, iEnd := elements(recorded, i)
	is, j, jEnd := elements(again, j)
	if was == recorded && is == again {
		return compareElements(was, i, is, j, tolerance)
	}
	n := iEnd - i
	if n != jEnd-j {
		return ReplayedValue{Recorded: strconv.Itoa(n) + " values", Again: strconv.Itoa(jEnd-j) + " values", Outcome: OutcomeDifferent}
	}
	var worst ReplayedValue
	for k := range n {
		v := compareElements(was, i+k, is, j+k, tolerance)
		if worst.Element == nil || worse(&v, &worst) {
			worst = v
			worst.Element = new(k)
		}
	}
	return worst
}

// worse says that a value compares worse than another.
func worse(a, b *ReplayedValue) bool {
	if a.Outcome != b.Outcome || a.Outcome == OutcomeEqual {
		return a.Outcome > b.Outcome
	}
	size := func(v *ReplayedValue) float64 {
		if v.Difference == nil {
			return math.Inf(1)
		}
		return *v.Difference
	}
	return size(a) > size(b)
}

// elements are the innermost values of the i-th value: the i-th itself, or those
// of a list, of lists too.
func elements(a arrow.Array, i int) (values arrow.Array, first, end int) {
	first, end = i, i+1
	for {
		list, ok := a.(array.ListLike)
		if !ok || first == end {
			return a, first, end
		}
		from, _ := list.ValueOffsets(first)
		_, to := list.ValueOffsets(end - 1)
		a, first, end = list.ListValues(), int(from), int(to)
	}
}

// ownText is a value as a text that stays when the array's memory goes: a text's is a view of
// that, which may be a mapping.
func ownText(a arrow.Array, i int) string { return strings.Clone(a.ValueStr(i)) }

// compareElements compares values that are no lists.
func compareElements(recorded arrow.Array, i int, again arrow.Array, j int, tolerance float64) ReplayedValue {
	v := ReplayedValue{Recorded: ownText(recorded, i), Again: ownText(again, j)}
	was, ok1 := number(recorded, i)
	is, ok2 := number(again, j)
	if !ok1 || !ok2 || recorded.IsNull(i) || again.IsNull(j) {
		if v.Recorded != v.Again {
			v.Outcome = OutcomeDifferent
		}
		return v
	}
	// Shortest texts that read back as the same number.
	v.Recorded, v.Again = numberText(recorded, was), numberText(again, is)
	difference := math.Abs(was - is)
	switch {
	case math.Float64bits(was) == math.Float64bits(is):
		return v
	case math.IsInf(was, 0) || math.IsInf(is, 0):
		v.Outcome = OutcomeDifferent
	case math.IsNaN(was) && math.IsNaN(is), difference <= tolerance*max(1, math.Abs(was)):
		v.Outcome = OutcomeWithin
	default:
		v.Outcome = OutcomeDifferent
	}
	if !math.IsNaN(difference) && !math.IsInf(difference, 0) {
		v.Difference = &difference
	}
	return v
}

// number is a floating value; ok is false for other types, of which only equal
// values are near.
func number(a arrow.Array, i int) (value float64, ok bool) {
	switch a := a.(type) {
	case *array.Float32:
		return float64(a.Value(i)), true
	case *array.Float64:
		return a.Value(i), true
	case *array.Float16:
		return float64(half.Float32(a.Value(i))), true
	default:
		return 0, false
	}
}

func numberText(a arrow.Array, value float64) string {
	return strconv.FormatFloat(value, 'g', -1, floatBits(a))
}

// floatBits is how many bits tell floats of an array apart by their texts.
func floatBits(a arrow.Array) int {
	if a.DataType().ID() == arrow.FLOAT64 {
		return 64
	}
	return 32
}
