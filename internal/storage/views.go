package storage

import (
	"github.com/apache/arrow-go/v18/arrow/array"
)

// TextOf gives access to the bytes of texts by views where they lie, without a copy. What
// the views reach must have been checked.
func TextOf(a *array.StringView) func(i int) []byte {
	data := a.Data().Buffers()[2:]
	buffers := make([][]byte, len(data))
	for i, b := range data {
		buffers[i] = b.Bytes()
	}
	return func(i int) []byte {
		view := a.ValueHeader(i)
		if view.IsInline() {
			return view.InlineBytes()
		}
		return buffers[view.BufferIndex()][view.BufferOffset():][:view.Len()]
	}
}
