package parquetfile

import "bytes"

// mostBoundBytes is the longest text that statistics have: the footer, which is held to the
// end, has two of every column chunk, and nobody looks for longer ones.
const mostBoundBytes = 256

// textExtent is the least and the greatest of a column chunk's texts, by their bytes.
// Of those that are too long it has a byte more than statistics take: enough to order them
// among those that are not.
type textExtent struct {
	least, most []byte
	some        bool
}

func (e *textExtent) add(v []byte) {
	v = v[:min(len(v), mostBoundBytes+1)]
	switch {
	case !e.some:
		e.least, e.most, e.some = append(e.least[:0], v...), append(e.most[:0], v...), true
	case bytes.Compare(v, e.least) < 0:
		e.least = append(e.least[:0], v...)
	case bytes.Compare(v, e.most) > 0:
		e.most = append(e.most[:0], v...)
	}
}

// take gives the bounds, nil where there are none, and begins again.
func (e *textExtent) take() (least, most []byte) {
	some := e.some && len(e.least) <= mostBoundBytes && len(e.most) <= mostBoundBytes
	e.some = false
	if !some {
		return nil, nil
	}
	return append([]byte{}, e.least...), append([]byte{}, e.most...)
}
