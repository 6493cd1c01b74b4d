package parquetfile

import (
	"io"
	"math/bits"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
)

// maxPageHeaderBytes bounds a page header; statistics of long strings are in it.
const maxPageHeaderBytes = 16 << 20

// longWindows is how many times as long as what is read ahead a window is that a long page
// needed, and that is not kept.
const longWindows = 16

// pages walks the pages of one column chunk. Its bytes are read ahead into a
// window; a page is taken apart where it lies there, or where it was
// decompressed to, so that there is one copy at most, and none before that of
// decompression.
//
//	file:    ... | header | page | header | page | ...
//	                 window [from, to)      at       end
type pages struct {
	src     io.ReaderAt
	at, end int64 // next byte to read ahead, and the end of the chunk
	ahead   int   // bytes to read at a time
	lean    bool  // nothing is kept but what the page under way needs

	window   []byte
	from, to int // bytes of window that hold what was read and not consumed
	out      []byte
	mem      *budget

	longBytes            int       // from which size on pages go through files; 0: none
	long, longDictionary *longPage // such pages: the one under way, and the dictionary

	codec      compress.Compression
	oldArrow   bool // version 2 pages are not to be trusted
	defs, reps uint // bits of a level; 0 where there are none
}

// page is one page, taken apart. Its bytes are valid until the next call of
// pages.next.
type page struct {
	kind     int
	levels   int // values and nulls of a data page; values of a dictionary
	encoding parquet.Encoding

	reps, defs       []byte // levels, without their length
	repsOld, defsOld bool   // BIT_PACKED, most significant bit first
	values           []byte
}

// next gives the next data or dictionary page; io.EOF says that the column
// chunk has no more.
func (p *pages) next() (page, error) {
	for {
		h, err := p.header()
		if err != nil {
			return page{}, err
		}
		if int64(h.stored) > int64(p.to-p.from)+p.end-p.at {
			return page{}, damaged("page of %d bytes where %d are left of the column chunk", h.stored, int64(p.to-p.from)+p.end-p.at)
		}
		if h.kind != dataPage && h.kind != dataPageV2 && h.kind != dictionaryPage {
			p.skip(h.stored)
			continue
		}
		if p.longBytes > 0 && h.uncompressed >= p.longBytes && unpacks(p.codec) {
			return p.nextLong(h)
		}
		if err := p.need(h.stored); err != nil {
			return page{}, err
		}
		body := p.window[p.from : p.from+h.stored]
		p.from += h.stored
		if h.kind == dataPageV2 {
			return p.version2(h, body)
		}
		data, err := p.decompress(body, h.uncompressed)
		if err != nil {
			return page{}, err
		}
		if (p.lean || len(p.window) > longWindows*p.ahead) && p.codec != compress.Codecs.Uncompressed && p.from == p.to {
			p.mem.Free(p.window)
			p.window, p.from, p.to = nil, 0, 0
		}
		return p.version1(h, data)
	}
}

// version1 takes apart a version 1 data page, or a dictionary.
//
//	repetition levels | definition levels | values
func (p *pages) version1(h pageHeader, data []byte) (out page, err error) {
	out = page{kind: h.kind, levels: h.values, encoding: h.encoding, values: data}
	if h.kind == dataPage {
		if out.reps, out.repsOld, err = out.level(p.reps, h.repEnc); err != nil {
			return page{}, err
		}
		if out.defs, out.defsOld, err = out.level(p.defs, h.defEnc); err != nil {
			return page{}, err
		}
	}
	return out, nil
}

// own gives the bytes of a page in a buffer of the budget that is the caller's, or in a
// file that is there as long as the pages are.
func (p *pages) own(values []byte) []byte {
	if p.long != nil {
		p.long, p.longDictionary = nil, p.long
		return values
	}
	if first(values) != nil && first(values) == first(p.out) {
		p.out = nil
		return values
	}
	owned := p.mem.Allocate(len(values))
	copy(owned, values)
	return owned
}

// header reads the next page header and consumes it.
func (p *pages) header() (pageHeader, error) {
	want := 64
	for {
		if left := int64(p.to-p.from) + p.end - p.at; left == 0 {
			return pageHeader{}, io.EOF
		} else if int64(want) > left {
			want = int(left)
		}
		if err := p.need(want); err != nil {
			return pageHeader{}, err
		}
		h, n, err := readPageHeader(p.window[p.from:p.to])
		if err == nil {
			p.from += n
			return h, nil
		}
		if p.at == p.end || p.to-p.from > maxPageHeaderBytes {
			return pageHeader{}, err
		}
		want = 2 * (p.to - p.from) // it may only be longer than what was read
	}
}

// need reads ahead until the window holds n bytes; the chunk has as many.
func (p *pages) need(n int) error {
	have := p.to - p.from
	if have >= n {
		return nil
	}
	if n > len(p.window) {
		size := int(min(int64(max(n, p.ahead)), int64(have)+p.end-p.at))
		grown := p.mem.Allocate(size)
		copy(grown, p.window[p.from:p.to])
		p.mem.Free(p.window)
		p.window = grown
	} else {
		copy(p.window, p.window[p.from:p.to])
	}
	p.from, p.to = 0, have
	more := min(int64(len(p.window)-have), p.end-p.at)
	if _, err := p.src.ReadAt(p.window[have:have+int(more)], p.at); err != nil {
		return damaged("read page: %v", err) // the file's own error is kept by the source
	}
	p.at += more
	p.to += int(more)
	return nil
}

// skip passes over n bytes, of which the chunk has as many.
func (p *pages) skip(n int) {
	have := min(n, p.to-p.from)
	p.from += have
	p.at += int64(n - have)
}

// decompress gives the size bytes that stored stands for.
func (p *pages) decompress(stored []byte, size int) ([]byte, error) {
	if p.codec == compress.Codecs.Uncompressed {
		if len(stored) != size {
			return nil, damaged("page of %d bytes where %d were announced", len(stored), size)
		}
		return stored, nil
	}
	if size == 0 {
		return nil, nil // what no bytes are compressed to differs between writers
	}
	if size > len(p.out) || p.lean && size < len(p.out)/2 {
		p.mem.Free(p.out)
		p.out = nil
		p.out = p.mem.Allocate(size)
	}
	out := p.out[:size]
	if err := decompress(p.codec, out, stored); err != nil {
		return nil, damaged("page of %d bytes, %d uncompressed: %v", len(stored), size, err)
	}
	return out, nil
}

// level takes one kind of level off the front of a version 1 page's bytes.
func (g *page) level(width uint, enc parquet.Encoding) (levels []byte, old bool, err error) {
	if width == 0 {
		return nil, false, nil
	}
	var size int64
	switch enc {
	case parquet.Encodings.RLE:
		if len(g.values) < 4 {
			return nil, false, damaged("page ends before its levels")
		}
		size = int64(le32(g.values))
		g.values = g.values[4:]
	case parquet.Encodings.BitPacked:
		size = (int64(g.levels)*int64(width) + 7) / 8
		old = true
	default:
		return nil, false, unsupported("levels in encoding %s", enc)
	}
	if size > int64(len(g.values)) {
		return nil, false, damaged("levels of %d bytes in a page that has %d", size, len(g.values))
	}
	levels, g.values = g.values[:size], g.values[size:]
	return levels, old, nil
}

// levels2 is how many bytes of levels come before the values of a version 2 page.
func (p *pages) levels2(h pageHeader) (int, error) {
	// Version 2 pages of Arrow before 3.0 are compressed although their
	// headers say that they are not (ARROW-10353, ARROW-17100).
	if p.oldArrow && p.codec != compress.Codecs.Uncompressed {
		return 0, unsupported("version 2 data pages of Arrow before 3.0")
	}
	levels := h.repLen + h.defLen
	if levels > h.stored || levels > h.uncompressed {
		return 0, damaged("levels of %d bytes in a page of %d", levels, h.stored)
	}
	return levels, nil
}

// version2 takes apart a version 2 data page, whose levels are not compressed.
//
//	repetition levels | definition levels | values, compressed or not
func (p *pages) version2(h pageHeader, body []byte) (page, error) {
	levels, err := p.levels2(h)
	if err != nil {
		return page{}, err
	}
	out := page{kind: dataPage, levels: h.values, encoding: h.encoding}
	out.reps, out.defs, out.values = body[:h.repLen], body[h.repLen:levels], body[levels:]
	if h.compressed {
		data, err := p.decompress(out.values, h.uncompressed-levels)
		if err != nil {
			return page{}, err
		}
		out.values = data
	} else if len(body) != h.uncompressed {
		return page{}, damaged("page of %d bytes where %d were announced", len(body), h.uncompressed)
	}
	return out, nil
}

func (p *pages) close() {
	p.mem.Free(p.window)
	p.mem.Free(p.out)
	p.window, p.out = nil, nil
	p.long.close()
	p.longDictionary.close()
	p.long, p.longDictionary = nil, nil
}

// levelBits is how many bits a level up to most takes.
func levelBits(most int16) uint { return uint(bits.Len16(uint16(most))) }
