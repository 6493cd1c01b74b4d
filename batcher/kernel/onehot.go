package kernel

// OneHot is how codes become rows of Width values, of which one is One at most.
type OneHot[D Number] struct {
	Width int
	One   D
	// Slots is the place of each code's value; -1, and a code that is not here:
	// the row is zeros. Null is the place of nulls.
	Slots []int32
	Null  int32
}

// Codes are the codes of rows: where the validity bit is 0 the row is null. Bit is
// the bitmap's bit of Index[0]; a nil bitmap means that no row is null.
type Codes[I Integer] struct {
	Index    []I
	Validity []byte
	Bit      int
}

// oneHotBytes is how many bytes of rows are cleared before values are set in them:
// they are still in the first level of cache then.
const oneHotBytes = 16 << 10

// SetOneHot writes a row for each code: dst[r*stride:][:h.Width]. What lies between
// rows stays.
func SetOneHot[D Number, I Integer](dst []D, stride int, codes Codes[I], h *OneHot[D]) {
	n := len(codes.Index)
	if n == 0 || h.Width == 0 {
		return
	}
	dst = dst[:(n-1)*stride+h.Width]
	if stride != h.Width {
		for r := range n {
			clear(dst[r*stride:][:h.Width])
			h.set(dst[r*stride:][:h.Width], codes.slot(r, h.Slots, h.Null))
		}
		return
	}
	rows := max(1, oneHotBytes/(stride*sizeOf[D]()))
	for first := 0; first < n; first += rows {
		last := min(first+rows, n)
		clear(dst[first*stride : last*stride])
		for r := first; r < last; r++ {
			h.set(dst[r*stride:][:h.Width], codes.slot(r, h.Slots, h.Null))
		}
	}
}

func (h *OneHot[D]) set(row []D, slot int32) {
	if slot >= 0 {
		row[slot] = h.One
	}
}

// slot is the place of a row's value.
func (c *Codes[I]) slot(r int, slots []int32, null int32) int32 {
	if c.Validity != nil && !isValid(c.Validity, c.Bit+r) {
		return null
	}
	if code := uint64(c.Index[r]); code < uint64(len(slots)) {
		return slots[code]
	}
	return -1
}
