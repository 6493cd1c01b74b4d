package agreement

import (
	"encoding/json"
	"fmt"
	"math"
)

// Histogram counts numbers, positive and negative, by their size: a bin has the numbers
// whose floats agree in sign, exponent and the first 6 bits of the fraction. So a bin's
// middle is within 1/128 of each number in it. Sizes below 2^-64 count as 0, and from
// 2^64 on as 2^64.
//
//	0 ... binsOfSign-1             negative, the largest size first
//	binsOfSign                     0
//	binsOfSign+1 ... 2*binsOfSign  positive, the smallest size first
type Histogram struct {
	bins []int64 // nil while there is nothing
}

const (
	fractionBits = 6
	exponents    = 128 // from 2^-64 on
	binsOfSign   = exponents<<fractionBits + 1
	leastBits    = (1023 - exponents/2) << fractionBits
)

// binOf is the bin of a finite number. It does not branch by the sign, which no processor
// can foretell.
func binOf(x float64) int {
	size := int(math.Float64bits(math.Abs(x))>>(52-fractionBits)) - leastBits + 1
	size = min(max(size, 0), binsOfSign)
	sign := int(int64(math.Float64bits(x)) >> 63) // -1 or 0
	return binsOfSign + (size ^ sign - sign)
}

// middle is the number that stands for those of a bin.
func middle(bin int) float64 {
	size := bin - binsOfSign
	sign := 1.0
	if size < 0 {
		size, sign = -size, -1
	}
	if size == 0 {
		return 0
	}
	least := math.Float64frombits(uint64(size-1+leastBits) << (52 - fractionBits))
	if size == binsOfSign {
		return sign * least
	}
	most := math.Float64frombits(uint64(size+leastBits) << (52 - fractionBits))
	return sign * (least + most) / 2
}

// open makes the bins, unless they are there.
func (h *Histogram) open() {
	if h.bins == nil {
		h.bins = make([]int64, 2*binsOfSign+1)
	}
}

func (h *Histogram) merge(other *Histogram) {
	if other.bins == nil {
		return
	}
	h.open()
	for i, n := range other.bins {
		h.bins[i] += n
	}
}

func (h *Histogram) count() (n int64) {
	for _, k := range h.bins {
		n += k
	}
	return n
}

// sizes are the numbers without their signs.
func (h *Histogram) sizes() *Histogram {
	all := &Histogram{}
	all.open()
	for i, n := range h.bins {
		all.bins[max(i, 2*binsOfSign-i)] += n
	}
	return all
}

// quantile is the least of the numbers that a share q of all do not exceed, within
// 1/128 of its size; there is one at least.
func (h *Histogram) quantile(q float64) float64 {
	rank := max(int64(math.Ceil(q*float64(h.count()))), 1)
	for i, n := range h.bins {
		if rank -= n; rank <= 0 {
			return middle(i)
		}
	}
	return middle(2 * binsOfSign)
}

// MarshalJSON writes the bins that are not empty, as pairs of a bin and its count.
func (h Histogram) MarshalJSON() ([]byte, error) {
	pairs := [][2]int64{}
	for i, n := range h.bins {
		if n != 0 {
			pairs = append(pairs, [2]int64{int64(i), n})
		}
	}
	return json.Marshal(pairs)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (h *Histogram) UnmarshalJSON(text []byte) error {
	var pairs [][2]int64
	if err := json.Unmarshal(text, &pairs); err != nil {
		return err
	}
	h.bins = nil
	for _, p := range pairs {
		if p[0] < 0 || p[0] > 2*binsOfSign || p[1] < 1 {
			return fmt.Errorf("bin %d has %d numbers", p[0], p[1])
		}
		h.open()
		h.bins[p[0]] = p[1]
	}
	return nil
}
