package arrowfile

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"iter"
	"os"
	"slices"

	"github.com/apache/arrow-go/v18/arrow/memory"
)

// viewed adds views, and what they reach of each buffer: from the first byte of it to
// the last. Buffers that they do not reach are left out. Texts that lie scattered, as they
// do once rows were sorted, are copied.
func (p *pieces) viewed(out *pieceData, c *pieceColumn, from, n int64) error {
	headers, err := p.copied(&c.values, from*viewBytes, (from+n)*viewBytes)
	if err := out.add(headers, err); err != nil {
		return err
	}
	v := views{headers: headers.Bytes(), row: parts{validity: out.buffers[0], first: from}, reached: make([]reach, len(c.views))}
	sizes := make([]int64, len(c.views))
	for i := range sizes {
		sizes[i] = c.views[i].size
	}
	if err := checkViews(&v.row, v.headers, sizes); err != nil {
		return err
	}
	if texts, spanned := v.measure(); spanned > scatteredTimes*texts {
		return out.add(p.gathered(c, &v, texts))
	}
	for i := range v.reached {
		if r := &v.reached[i]; r.end > 0 {
			r.at = len(out.buffers) - 2
			if err := out.add(p.bytes(&c.views[i], r.first, r.end)); err != nil {
				return err
			}
		}
	}
	for view, buffer := range v.beside() {
		r := &v.reached[buffer]
		binary.NativeEndian.PutUint32(view[8:], uint32(r.at))
		binary.NativeEndian.PutUint32(view[12:], uint32(offsetOf(view)-r.first))
	}
	return nil
}

// scatteredTimes as many bytes as texts have lie between the first and the last of them
// where they are scattered.
const scatteredTimes = 4

// views are the views of a piece, which were checked.
type views struct {
	headers []byte
	row     parts
	reached []reach // of each buffer
}

// reach is a part of a buffer.
type reach struct {
	first, end int64
	at         int // among the buffers that are given
}

// beside are the views whose texts lie beside them, with the number of their buffer. Views
// of null rows are cleared.
func (v *views) beside() iter.Seq2[[]byte, int] {
	return func(yield func(view []byte, buffer int) bool) {
		for i := range len(v.headers) / viewBytes {
			view := v.headers[i*viewBytes : (i+1)*viewBytes]
			switch {
			case !v.row.valid(i):
				clear(view)
			case binary.NativeEndian.Uint32(view) > inlineBytes:
				if !yield(view, int(binary.NativeEndian.Uint32(view[8:]))) {
					return
				}
			}
		}
	}
}

func lengthOf(view []byte) int64 { return int64(binary.NativeEndian.Uint32(view)) }
func offsetOf(view []byte) int64 { return int64(binary.NativeEndian.Uint32(view[12:])) }

// measure finds what the views reach, and adds up their texts and those parts of buffers.
func (v *views) measure() (texts, spanned int64) {
	for view, buffer := range v.beside() {
		r, first, end := &v.reached[buffer], offsetOf(view), offsetOf(view)+lengthOf(view)
		if r.end == 0 {
			r.first = first
		}
		r.first, r.end = min(r.first, first), max(r.end, end)
		texts += end - first
	}
	for _, r := range v.reached {
		spanned += r.end - r.first
	}
	return texts, spanned
}

// longText is the size from which on scattered texts of the mapping are read from the file:
// it takes 2 us for each. Shorter ones are copied from the mapping, whose pages, of which each
// text may bring 2 MiB along, stay for those of the next pieces.
const longText = 512

// scattered is a text that is read from a file.
type scattered struct {
	buffer, off int32 // where it lies
	size        int32
	at          uint32 // among those that are gathered
}

// gathered gives the texts that views reach, one after the other.
func (p *pieces) gathered(c *pieceColumn, v *views, size int64) (*memory.Buffer, error) {
	texts, err := p.mem.buffer(size)
	if err != nil {
		return nil, err
	}
	var read []scattered
	at := int64(0)
	for view, buffer := range v.beside() {
		b, off, n := &c.views[buffer], offsetOf(view), lengthOf(view)
		if b.view != nil && !p.many && n < longText {
			copy(texts.Bytes()[at:at+n], b.view[off:])
		} else {
			read = append(read, scattered{buffer: int32(buffer), off: int32(off), size: int32(n), at: uint32(at)})
		}
		binary.NativeEndian.PutUint32(view[8:], 0)
		binary.NativeEndian.PutUint32(view[12:], uint32(at))
		at += n
	}
	slices.SortFunc(read, func(a, b scattered) int { return cmp.Or(cmp.Compare(a.buffer, b.buffer), cmp.Compare(a.off, b.off)) })
	if err := p.readTexts(texts.Bytes(), c.views, read); err != nil {
		texts.Release()
		return nil, fmt.Errorf("read rows: %w", err)
	}
	return texts, nil
}

// Texts are read by windows, which take as long as this many texts one by one, where more
// than these lie in one.
const (
	textWindowBytes = 64 << 10
	textWindowTexts = 8
)

// readTexts reads texts, which are in the order of the file, to their places.
func (p *pieces) readTexts(to []byte, buffers []pieceBuffer, texts []scattered) (err error) {
	var window []byte
	held, first, end := int32(-1), int64(0), int64(0) // what the window has of which buffer
	for i, t := range texts {
		b, off, text := &buffers[t.buffer], int64(t.off), to[t.at:int64(t.at)+int64(t.size)]
		if t.buffer != held || off+int64(t.size) > end {
			var file *os.File
			if file, err = p.fileOf(b); file == nil && err == nil {
				file, err = p.opened()
			}
			if err != nil {
				return err
			}
			last := texts[min(i+textWindowTexts, len(texts)-1)]
			if i+textWindowTexts >= len(texts) || last.buffer != t.buffer || int64(last.off)+int64(last.size) > off+textWindowBytes {
				if _, err := file.ReadAt(text, b.at+off); err != nil {
					return err
				}
				continue
			}
			if window == nil {
				window = make([]byte, textWindowBytes)
			}
			held, first, end = t.buffer, off, min(off+textWindowBytes, b.size)
			if _, err := file.ReadAt(window[:end-first], b.at+first); err != nil {
				return err
			}
		}
		copy(text, window[off-first:])
	}
	return nil
}

// viewedBytes is the size of the texts of n rows that lie beside their views.
func (p *pieces) viewedBytes(c *pieceColumn, from, n int64) (size int64) {
	headers, err := p.bytes(&c.values, from*viewBytes, (from+n)*viewBytes)
	if err != nil {
		return 0
	}
	defer headers.Release()
	for views := headers.Bytes(); len(views) >= viewBytes; views = views[viewBytes:] {
		if text := int32(binary.NativeEndian.Uint32(views)); text > inlineBytes {
			size += int64(text)
		}
	}
	return size
}
