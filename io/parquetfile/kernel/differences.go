package kernel

const (
	// BlockValues are the differences of a block of DELTA_BINARY_PACKED.
	BlockValues = 128
	// MiniValues are those of a miniblock.
	MiniValues = 32

	minis = BlockValues / MiniValues
)

// Differences fills out with values[i+1]-values[i], which wrap in the values' type
// and are then extended to 64 bits. There is one value more than differences.
func Differences[T int32 | int64](out []uint64, values []T) { differences(best, out, values) }

func differences[T int32 | int64](l *level, out []uint64, values []T) {
	values = values[:len(out)+1] // or it panics
	if of64, ok := any(values).([]int64); ok && l.differences != nil && len(out) >= 4 {
		whole := len(out) &^ 3
		l.differences(&out[0], &of64[0], whole)
		out, values = out[whole:], values[whole:]
	}
	for i := range out {
		out[i] = uint64(int64(values[i+1] - values[i]))
	}
}

// Block is a block of differences.
type Block struct {
	Values [BlockValues]uint64
	lanes  [4 * minis]uint64 // of the kernel
}

// Rebase subtracts the least of the values, as signed ones, from all of them, and
// gives the bits that are then set in each miniblock.
func (b *Block) Rebase() (least int64, set [minis]uint64) { return rebase(best, &b.Values, &b.lanes) }

func rebase(l *level, values *[BlockValues]uint64, lanes *[4 * minis]uint64) (least int64, set [minis]uint64) {
	if l.rebase == nil {
		return rebasePlain(values)
	}
	least = l.rebase(&values[0], &lanes[0])
	for i := range set {
		set[i] = lanes[4*i] | lanes[4*i+1] | lanes[4*i+2] | lanes[4*i+3]
	}
	return least, set
}

func rebasePlain(values *[BlockValues]uint64) (least int64, set [minis]uint64) {
	least = int64(values[0])
	for _, v := range values {
		least = min(least, int64(v))
	}
	for m := range set {
		var or uint64
		for i := m * MiniValues; i < (m+1)*MiniValues; i++ {
			values[i] -= uint64(least)
			or |= values[i]
		}
		set[m] = or
	}
	return least, set
}
