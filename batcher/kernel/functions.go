package kernel

import (
	"math"
	"math/bits"
)

// The kernels of functions compute steps of functionStep values, functionSteps at most at a time,
// and leave those that they are not for, which their result has a bit for.
const (
	functionStep  = 8
	functionSteps = 64
)

type (
	log1pKernel     func(dst, src *byte, steps int) (hard uint64)
	haversineKernel func(dst, lat1, lon1, lat2, lon2 *byte, steps int, diameter float64) (hard uint64)
)

// Log1p replaces each value by the natural logarithm of 1 + it, as math.Log1p.
func Log1p(values []float64) { log1p(best, values) }

func log1p(l *level, values []float64) {
	if l.log1p != nil {
		for len(values) >= functionStep {
			steps := min(len(values)/functionStep, functionSteps)
			hard := l.log1p(pointer(values), pointer(values), steps)
			eachStep(hard, func(at int) { plainLog1p(values[at:][:functionStep]) })
			values = values[steps*functionStep:]
		}
	}
	plainLog1p(values)
}

// eachStep gives where the steps begin that have a bit.
func eachStep(steps uint64, do func(at int)) {
	for ; steps != 0; steps &= steps - 1 {
		do(bits.TrailingZeros64(steps) * functionStep)
	}
}

func plainLog1p(values []float64) {
	for i, v := range values {
		values[i] = math.Log1p(v)
	}
}

// Places are the degrees of pairs of places, each as many.
type Places struct{ Lat1, Lon1, Lat2, Lon2 []float64 }

// from are the places from one on.
func (p Places) from(at int) Places {
	return Places{p.Lat1[at:], p.Lon1[at:], p.Lat2[at:], p.Lon2[at:]}
}

// Haversine writes the distance of len(dst) pairs of places on a sphere of a diameter. dst is none of
// the places' memory.
func Haversine(dst []float64, p Places, diameter float64) { haversine(best, dst, p, diameter) }

func haversine(l *level, dst []float64, p Places, diameter float64) {
	if l.haversine != nil {
		for len(dst) >= functionStep {
			steps := min(len(dst)/functionStep, functionSteps)
			hard := l.haversine(pointer(dst), pointer(p.Lat1), pointer(p.Lon1), pointer(p.Lat2), pointer(p.Lon2), steps, diameter)
			eachStep(hard, func(at int) { plainHaversine(dst[at:][:functionStep], p.from(at), diameter) })
			dst, p = dst[steps*functionStep:], p.from(steps*functionStep)
		}
	}
	plainHaversine(dst, p, diameter)
}

func plainHaversine(dst []float64, p Places, diameter float64) {
	for i := range dst {
		dst[i] = diameter * arc(p.Lat1[i], p.Lon1[i], p.Lat2[i], p.Lon2[i])
	}
}

// arc is half of the angle between two places in degrees, seen from the globe's
// centre, in radians (R. W. Sinnott, "Virtues of the Haversine", 1984).
func arc(lat1, lon1, lat2, lon2 float64) float64 {
	const degree = math.Pi / 180
	north, east := math.Sin((lat2-lat1)*degree/2), math.Sin((lon2-lon1)*degree/2)
	h := north*north + math.Cos(lat1*degree)*math.Cos(lat2*degree)*east*east
	return math.Asin(math.Sqrt(min(h, 1))) // rounding may leave the domain
}
