package kernel

// Number is what MinMax takes.
type Number interface {
	int32 | uint32 | int64 | uint64 | float32 | float64
}

// MinMax is the least of values and least, and the greatest of values and most.
// It passes over NaN; of zeros of both signs it gives either.
func MinMax[T Number](values []T, least, most T) (T, T) {
	for _, v := range values {
		// The branches are almost never taken; min and max of Go look for NaN.
		if v < least {
			least = v
		}
		if v > most {
			most = v
		}
	}
	return least, most
}
