package filter

// Stats is what is known of the values of one column in some rows without reading
// them. The zero value, but for Nulls, knows nothing.
type Stats struct {
	Rows  int64
	Nulls int64 // -1 where it is not known
	// Min and Max bound the values that are neither null nor NaN: int64, uint64,
	// float64, or string for text and bytes; nil where they are not known. Times,
	// dates and decimals are counts of the column's own unit.
	Min, Max any
}

// Verdict is how many of some rows pass.
type Verdict int

// The verdicts.
const (
	Some Verdict = iota // it cannot be told without reading them
	All
	None
)

// Prune says what is known of rows from statistics of the columns, which stats gives
// by their places in Columns. A verdict is certain as far as the statistics are true.
func (f *Filter) Prune(stats func(column int) Stats) Verdict {
	switch out := f.root.outcomes(stats); {
	case out&mayBeTrue == 0:
		return None
	case out == mayBeTrue:
		return All
	default:
		return Some
	}
}

// boundsOf are the bounds of values, where both are known, of one type and in order.
func boundsOf[T int64 | uint64 | float64 | string](s Stats) (low, high T, known bool) {
	low, lowest := s.Min.(T)
	high, highest := s.Max.(T)
	return low, high, lowest && highest && low <= high
}

// statistics gives what is known of a column.
type statistics func(column int) Stats

// outcomes is a set of truth values.
type outcomes uint8

const (
	mayBeTrue    outcomes = 1 << isTrue
	mayBeFalse   outcomes = 1 << isFalse
	mayBeUnknown outcomes = 1 << isUnknown
	anyOutcome            = mayBeTrue | mayBeFalse | mayBeUnknown
)

func (a outcomes) not() outcomes {
	return a&mayBeUnknown | a&mayBeTrue<<1 | a&mayBeFalse>>1
}

// and has what x && y may be for each x of one and y of the other.
func (a outcomes) and(b outcomes) (out outcomes) {
	if a == 0 || b == 0 {
		return 0
	}
	out = (a | b) & mayBeFalse
	if a&b&mayBeTrue != 0 {
		out |= mayBeTrue
	}
	if a&mayBeUnknown != 0 && b&(mayBeTrue|mayBeUnknown) != 0 || b&mayBeUnknown != 0 && a&(mayBeTrue|mayBeUnknown) != 0 {
		out |= mayBeUnknown
	}
	return out
}

// ofValues are a test's outcomes where it has those of known in rows that have a
// value, and is unknown in others.
func ofValues(s Stats, known outcomes) outcomes {
	switch {
	case s.Nulls == 0:
		return known
	case s.Nulls >= 0 && s.Nulls >= s.Rows:
		return mayBeUnknown
	default:
		return known | mayBeUnknown
	}
}

// ofNulls are the outcomes of == nil, or !=, which are never unknown.
func ofNulls(s Stats, negate bool) outcomes {
	out := mayBeTrue | mayBeFalse
	switch {
	case s.Nulls == 0:
		out = mayBeFalse
	case s.Nulls >= 0 && s.Nulls >= s.Rows:
		out = mayBeTrue
	}
	if negate {
		return out.not()
	}
	return out
}

// ordered are the outcomes of a comparison of what lies between two bounds with a
// value; low and high are how the bounds compare with it.
func ordered(op comparison, low, high int) (out outcomes) {
	may := func(yes, no bool) {
		if yes {
			out |= mayBeTrue
		}
		if no {
			out |= mayBeFalse
		}
	}
	one := low == 0 && high == 0
	switch op {
	case opEqual:
		may(low <= 0 && high >= 0, !one)
	case opNotEqual:
		may(!one, low <= 0 && high >= 0)
	case opLess:
		may(low < 0, high >= 0)
	case opLessEqual:
		may(low <= 0, high > 0)
	case opGreater:
		may(high > 0, low <= 0)
	case opGreaterEqual:
		may(high >= 0, low < 0)
	case opAlways:
		return mayBeTrue
	case opNever:
		return mayBeFalse
	}
	return out
}
