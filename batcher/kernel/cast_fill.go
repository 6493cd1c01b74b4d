package kernel

import "math/bits"

// CastFill is CastChecked, and writes fill where the validity bit is 0.
func CastFill[S, D Number](dst []D, src []S, validity []byte, bit int, fill D) CheckResult {
	return castFill(best, dst, src, validity, bit, fill)
}

func castFill[S, D Number](l *level, dst []D, src []S, validity []byte, bit int, fill D) CheckResult {
	src = src[:len(dst)]
	k := &l.casts[kindOf[S]()][kindOf[D]()]
	n := len(dst) &^ (block - 1)
	if n == 0 || k.all == nil {
		return castFillPlain(dst, src, validity, bit, fill)
	}
	var rounded, clean, beyond int
	if validity == nil {
		rounded, clean, beyond = k.all(pointer(dst), pointer(src), n)
	} else {
		from, at := bitsFrom(validity, bit, n)
		rounded, clean, beyond = k.valid(pointer(dst), pointer(src), n, from, at, bitsOf(fill))
	}
	if beyond != 0 {
		return castFillPlain(dst, src, validity, bit, fill)
	}
	res := CheckResult{OutOfRange: -1, FirstInexact: -1, Inexact: int64(rounded)}
	if rounded > 0 {
		res.FirstInexact = firstRounded(dst, src, validity, bit, clean*block)
	}
	if n < len(dst) {
		res = Merge(res, castFillPlain(dst[n:], src[n:], validity, bit+n, fill), n)
	}
	return res
}

// Merge adds the result of a run that starts from values after total's first.
func Merge(total, run CheckResult, from int) CheckResult {
	if total.OutOfRange < 0 && run.OutOfRange >= 0 {
		total.OutOfRange = run.OutOfRange + from
	}
	if total.FirstInexact < 0 && run.FirstInexact >= 0 {
		total.FirstInexact = run.FirstInexact + from
	}
	total.Inexact += run.Inexact
	return total
}

func castFillPlain[S, D Number](dst []D, src []S, validity []byte, bit int, fill D) CheckResult {
	res := CheckResult{OutOfRange: -1, FirstInexact: -1}
	if widens[S, D]() {
		Cast(dst, src)
	} else {
		res = CastChecked(dst, src, validity, bit)
	}
	if validity != nil {
		fillPlain(dst, validity, bit, fill)
	}
	return res
}

// firstRounded is the first value from at on that is valid and was rounded;
// there is one.
func firstRounded[S, D Number](dst []D, src []S, validity []byte, bit, at int) int {
	for !isValid(validity, bit+at) || !isRounded(src[at], dst[at]) {
		at++
	}
	return at
}

// isRounded reports whether a value that became a floating one changed.
func isRounded[S, D Number](v S, d D) bool {
	if isFloat[S]() {
		return float64(d) != float64(v) && v == v //nolint:gocritic // v is not NaN
	}
	mag := magnitude(v)
	return bits.Len64(mag)-bits.TrailingZeros64(mag) > mantissaBits[D]()
}

// widens reports whether every S is a D.
func widens[S, D Number]() bool {
	from, to := sizeOf[S](), sizeOf[D]()
	switch {
	case isFloat[S]():
		return isFloat[D]() && from <= to
	case isFloat[D]():
		magnitude := from * 8
		if isSigned[S]() {
			magnitude--
		}
		return magnitude <= mantissaBits[D]()
	case isSigned[S]() == isSigned[D]():
		return from <= to
	default:
		return isSigned[D]() && from < to
	}
}
