package parquetfile

import (
	"cmp"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
)

// demand is what a top-level column is expected to take while its row group is
// streamed.
type demand struct {
	held int64 // bytes that its decoders keep from chunk to chunk: what is read ahead, a page, a dictionary
	row  int64 // bytes of a row once it is decoded, on average
}

// usualPageBytes is what most writers make pages of at most, and dictionaries.
const usualPageBytes = 1 << 20

// leastHeldBytes is what a lean column takes beside a page: its structures.
const leastHeldBytes = 1 << 10

// peekBytes is read at a time of page headers alone.
const peekBytes = 512

// demands are those of the span's columns, by what the footer says, and where that
// is more than may be held, by the first pages' headers, of lean columns. Neither needs
// to be true of the pages after: the budget bounds those.
func (s *spanReader) demands(ahead int64) []demand {
	all := make([]demand, len(s.nodes))
	total := int64(0)
	for i, n := range s.nodes {
		_ = n.eachLeaf(func(leaf int) error {
			all[i].add(s.demandOf(leaf, ahead, pageHeader{}, pageHeader{}))
			return nil
		})
		total += all[i].held
	}
	s.lean = total > s.heldBytes()
	for i, n := range s.nodes {
		if !s.lean && !s.dictionaryOfText(n) {
			continue
		}
		var looked demand
		if n.eachLeaf(func(leaf int) error {
			dictionary, data, err := s.peek(leaf)
			looked.add(s.demandOf(leaf, ahead, dictionary, data))
			return err
		}) == nil { // else decoding says what is wrong
			all[i] = looked
		}
	}
	return all
}

// heldBytes is what decoders of the span's columns may keep from chunk to chunk: less where
// there are many columns, of whose chunks, pages that are written and footers there is more.
func (s *spanReader) heldBytes() int64 {
	if len(s.nodes) >= manyNodes {
		return s.r.opts.HeldBytes * 2 / 3
	}
	return s.r.opts.HeldBytes
}

// manyNodes are many columns.
const manyNodes = 256

func (d *demand) add(other demand) {
	d.held += other.held
	d.row += other.row
}

// dictionaryOfText says whether a column has leaves of text whose bytes the footer
// does not tell: it counts each value once.
func (s *spanReader) dictionaryOfText(n *node) (found bool) {
	_ = n.eachLeaf(func(leaf int) error {
		c := s.r.md.groups[s.span].chunks[leaf]
		found = found || c.physical == parquet.Types.ByteArray && c.start < c.firstPage
		return nil
	})
	return found
}

// demandOf is a leaf's; headers of its first pages have no bytes where they are not
// known.
func (s *spanReader) demandOf(leaf int, ahead int64, dictionary, data pageHeader) (d demand) {
	c := s.r.md.groups[s.span].chunks[leaf]
	stored, uncompressed := max(c.bytes, 0), max(c.uncompressedBytes, 0)
	page := min(uncompressed, usualPageBytes)
	if c.start < c.firstPage { // a dictionary, which is copied out of its page
		page *= 2
	}
	looked := data.uncompressed > 0
	kept, first := s.inMemory(c.codec, dictionary), s.inMemory(c.codec, data)
	later := max(int64(first.uncompressed), following(c, dictionary, data)) // a data page
	if looked {
		page = int64(kept.uncompressed) + max(later, int64(kept.uncompressed))
		ahead = max(ahead, int64(max(first.stored, kept.stored)))
	}
	d.held = min(ahead, stored)
	if c.codec != compress.Codecs.Uncompressed {
		d.held += page
	}
	if s.lean && looked {
		d.held = int64(kept.uncompressed) + later + leastHeldBytes
	}
	rows := max(s.r.spans[s.span].Rows, 1)
	descr := s.r.md.Schema.Column(leaf)
	width, _ := fixedWidth(c.physical, descr.TypeLength())
	width = max(width, 1)
	if c.physical == parquet.Types.ByteArray {
		width = int(max(uncompressed/max(c.values, 1), int64(dictionary.uncompressed)/int64(max(dictionary.values, 1)))) + arrow.Int32SizeBytes
	}
	if descr.MaxRepetitionLevel() > 0 {
		width += 2 * arrow.Int16SizeBytes
	}
	d.row = int64(width) * max(c.values/rows, 1)
	return d
}

// inMemory is a page's header, without bytes where the page goes through a file.
func (s *spanReader) inMemory(codec compress.Compression, h pageHeader) pageHeader {
	if h.uncompressed >= s.r.opts.LongPageBytes && unpacks(codec) {
		h.uncompressed, h.stored = 0, 0
	}
	return h
}

// mostIndexBytes are more than an index and its levels take.
const mostIndexBytes = 5

// following is what later data pages of a column chunk take where the first one is of
// indices and too few for all bytes: a writer that gives its dictionary up goes on with
// the values.
func following(c chunk, dictionary, data pageHeader) int64 {
	rest := c.uncompressedBytes - int64(dictionary.uncompressed)
	if dictionary.uncompressed == 0 || data.encoding == parquet.Encodings.Plain || rest <= c.values*mostIndexBytes {
		return 0
	}
	return min(rest, usualPageBytes)
}

// peek reads the headers of a leaf's dictionary, if it has one, and first data page.
func (s *spanReader) peek(leaf int) (dictionary, data pageHeader, err error) {
	defer recoverTo(&err)
	c := s.r.md.groups[s.span].chunks[leaf]
	p := pages{src: &s.source, at: c.start, end: s.chunkEnd(c), ahead: peekBytes, mem: s.mem}
	defer p.close()
	for {
		h, err := p.header()
		if err != nil {
			return dictionary, data, err
		}
		if h.kind == dataPage || h.kind == dataPageV2 {
			return dictionary, h, nil
		}
		if h.kind == dictionaryPage {
			dictionary = h
		}
		if int64(h.stored) > int64(p.to-p.from)+p.end-p.at {
			return dictionary, data, damaged("page of %d bytes", h.stored)
		}
		p.skip(h.stored)
	}
}

// chunkRows is how many rows of the span are given at a time: fewer than were asked
// for where these would be too many bytes, so that halves of halves of them still
// make whole batches.
func (s *spanReader) chunkRows(all []demand) int {
	row, rows := int64(0), s.r.opts.ChunkRows
	for _, d := range all {
		row += d.row
	}
	for rows > 1 && int64(rows)*row > s.r.opts.ChunkBytes {
		rows /= 2
	}
	return rows
}

// tooMany are the columns that cannot be streamed together with the others in what
// may be held: those that hold most.
func tooMany(all []demand, limit int64) []int {
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(all[a].held, all[b].held) })
	total := int64(0)
	for k, i := range order {
		if total += all[i].held; total > limit && k > 0 {
			rest := order[k:]
			slices.Sort(rest)
			return rest
		}
	}
	return nil
}

// ValueBytes is about the size of a value of a column that has text or lists, as the
// footer tells it, where a text that a dictionary has is counted once; 0 of others.
func (r *Reader) ValueBytes(column int) int64 {
	if column < 0 || column >= len(r.fields) || r.fields[column].kind == leafNode && r.md.Schema.Column(r.fields[column].leaf).PhysicalType() != parquet.Types.ByteArray {
		return 0
	}
	rows, bytes := int64(0), int64(0)
	for g, span := range r.spans {
		rows += span.Rows
		_ = r.fields[column].eachLeaf(func(leaf int) error {
			c, descr := r.md.groups[g].chunks[leaf], r.md.Schema.Column(leaf)
			width, _ := fixedWidth(c.physical, descr.TypeLength()) // numbers of a few bits, too, have it once they are decoded
			bytes += min(max(c.uncompressedBytes, min(c.values, math.MaxInt32)*int64(width), 0), math.MaxInt32)
			return nil
		})
	}
	return bytes / max(rows, 1)
}
