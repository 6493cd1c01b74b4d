package kernel

// oneHotBytes is how many bytes of rows are cleared before values are set in them:
// they are still in the first level of cache then.
const oneHotBytes = 16 << 10

// SetOneHot writes a row of width values for each slot, dst[r*stride:][:width]: zeros,
// and one at the slot, if that is a place in the row. What lies between rows stays.
func SetOneHot[D Number](dst []D, stride, width int, slots []int32, one D) {
	rows := max(1, oneHotBytes/(stride*sizeOf[D]()))
	for len(slots) > 0 {
		n := min(rows, len(slots))
		if stride == width {
			clear(dst[:n*width])
		} else {
			for r := range n {
				clear(dst[r*stride:][:width])
			}
		}
		for r, slot := range slots[:n] {
			if uint(slot) < uint(width) {
				dst[r*stride+int(slot)] = one
			}
		}
		if slots = slots[n:]; len(slots) > 0 {
			dst = dst[n*stride:]
		}
	}
}
