package rowtext

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// remembered is the same for a dictionary of fewer entries than rows, each of which is
// made once.
func remembered(a arrow.Array, value Append) Append {
	d, ok := a.(*array.Dictionary)
	if !ok || d.Dictionary().Len() >= d.Len() {
		return value
	}
	texts := make([][]byte, d.Dictionary().Len())
	return func(dst []byte, row int) []byte {
		if d.IsNull(row) {
			return value(dst, row)
		}
		at := d.GetValueIndex(row)
		if texts[at] == nil {
			texts[at] = value(make([]byte, 0, 16), row)
		}
		return append(dst, texts[at]...)
	}
}
