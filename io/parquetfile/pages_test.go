package parquetfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/schema"

	"github.com/millrace/millrace/internal/recycle"
	"github.com/millrace/millrace/io/format"
)

// rawPage is a page to be written as it is, right or wrong.
type rawPage struct {
	kind           int
	n              int
	enc            parquet.Encoding
	defEnc         parquet.Encoding
	defLen, repLen int
	body           []byte
	uncompressed   int // 0 says the body's length
	statistics     int // bytes of a minimum to carry along
}

// chunkOfPages writes pages one after the other, as they are in a file.
func chunkOfPages(pages ...rawPage) (b []byte) {
	last := int16(0)
	head := func(id int16, typ byte) {
		b = append(b, byte(id-last)<<4|typ)
		last = id
	}
	number := func(id int16, v int) {
		head(id, thriftI32)
		b = binary.AppendVarint(b, int64(v))
	}
	part := func(id int16, fields func()) {
		head(id, thriftStruct)
		outer := last
		last = 0
		fields()
		b = append(b, thriftStop)
		last = outer
	}
	for _, p := range pages {
		last = 0
		number(1, p.kind)
		number(2, max(p.uncompressed, len(p.body)))
		number(3, len(p.body))
		switch p.kind {
		case dataPage:
			part(pageHeaderData, func() {
				number(1, p.n)
				number(2, int(p.enc))
				number(3, int(p.defEnc))
				number(4, int(parquet.Encodings.RLE))
				part(5, func() {
					head(2, thriftBinary)
					b = append(binary.AppendUvarint(b, uint64(p.statistics)), make([]byte, p.statistics)...)
				})
			})
		case dictionaryPage:
			part(pageHeaderDictionary, func() {
				number(1, p.n)
				number(2, int(p.enc))
			})
		case dataPageV2:
			part(pageHeaderDataV2, func() {
				number(1, p.n)
				number(2, 0)
				number(3, p.n)
				number(4, int(p.enc))
				number(5, p.defLen)
				number(6, p.repLen)
			})
		}
		b = append(append(b, thriftStop), p.body...)
	}
	return b
}

// column is a column chunk to be read.
type column struct {
	typ    parquet.Type
	width  int // of fixed length byte arrays
	maxDef int16
	rows   int
	codec  compress.Compression
	chunk  []byte
}

// valuesOf are the rows of a column: nil for a null, else its bytes.
type valuesOf [][]byte

// read decodes a column in steps of chunkRows.
func (c column) read(tb testing.TB, chunkRows int) (out valuesOf, err error) {
	tb.Helper()
	mem := memory.NewCheckedAllocator(&soiled{})
	b := newBudget(recycle.New(mem, 0), 16<<20)
	vals, err := newValues(c.typ, c.width, b)
	if err != nil {
		tb.Fatal(err)
	}
	l := &leaf{
		physical: c.typ, maxDef: c.maxDef, flat: true, vals: vals, mem: b, left: int64(c.rows), valid: validity{mem: b},
		pages: pages{
			src: bytes.NewReader(c.chunk), end: int64(len(c.chunk)), ahead: 100, mem: b, codec: c.codec, defs: levelBits(c.maxDef),
		},
	}
	defer func() {
		l.close()
		if n := mem.CurrentAlloc(); n != 0 {
			tb.Errorf("%d bytes stay allocated", n)
		}
	}()
	for at := 0; at < c.rows; {
		n := min(chunkRows, c.rows-at)
		if err := l.fill(n); err != nil {
			return nil, err
		}
		out = l.appendRows(out, n)
		l.drop()
		at += n
	}
	return out, l.finish()
}

// appendRows appends the rows of the current chunk.
func (l *leaf) appendRows(out valuesOf, n int) valuesOf {
	dense := 0
	for i := range n {
		if l.maxDef > 0 && l.valid.buf.Bytes()[i>>3]>>(i&7)&1 == 0 {
			out = append(out, nil)
			continue
		}
		var v []byte
		switch s := l.vals.(type) {
		case *fixed:
			v = s.bytes(dense + 1)[dense*s.width:]
		case *boolValues:
			v = s.bytes(dense + 1)[dense:]
		case *byteArrays:
			ends := s.offsets.Bytes()[4*dense:]
			v = s.data.Bytes()[le32(ends):le32(ends[4:])]
		}
		out = append(out, append([]byte{}, v...))
		dense++
	}
	return out
}

// library decodes a column with arrow-go's reader.
func (c column) library() (out valuesOf, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	repetition := parquet.Repetitions.Required
	if c.maxDef > 0 {
		repetition = parquet.Repetitions.Optional
	}
	node, err := schema.NewPrimitiveNode("x", repetition, c.typ, -1, int32(c.width))
	if err != nil {
		return nil, err
	}
	mem := memory.NewGoAllocator()
	stream, err := parquet.NewReaderProperties(mem).GetStream(bytes.NewReader(c.chunk), 0, int64(len(c.chunk)))
	if err != nil {
		return nil, err
	}
	pr, err := file.NewPageReader(stream, int64(c.rows), c.codec, mem, nil) //nolint:staticcheck // the only way to give it pages without a file
	if err != nil {
		return nil, err
	}
	pool := &sync.Pool{New: func() any { return memory.NewResizableBuffer(mem) }}
	cr := file.NewColumnReader(schema.NewColumn(node, c.maxDef, 0), pr, mem, pool) //nolint:staticcheck // as above
	defs := make([]int16, c.rows)
	var dense [][]byte
	add := func(n int, err error, value func(i int) []byte) error {
		for i := range n {
			dense = append(dense, value(i))
		}
		return err
	}
	total := int64(0)
	for total < int64(c.rows) {
		var levels int64
		var n int
		want := int64(c.rows) - total
		at := defs[total:]
		switch cr := cr.(type) {
		case *file.Int32ColumnChunkReader:
			v := make([]int32, want)
			levels, n, err = cr.ReadBatch(want, v, at, nil)
			err = add(n, err, func(i int) []byte { return binary.LittleEndian.AppendUint32(nil, uint32(v[i])) })
		case *file.Float64ColumnChunkReader:
			v := make([]float64, want)
			levels, n, err = cr.ReadBatch(want, v, at, nil)
			err = add(n, err, func(i int) []byte { return binary.LittleEndian.AppendUint64(nil, math.Float64bits(v[i])) })
		case *file.ByteArrayColumnChunkReader:
			v := make([]parquet.ByteArray, want)
			levels, n, err = cr.ReadBatch(want, v, at, nil)
			err = add(n, err, func(i int) []byte { return append([]byte{}, v[i]...) })
		case *file.FixedLenByteArrayColumnChunkReader:
			v := make([]parquet.FixedLenByteArray, want)
			levels, n, err = cr.ReadBatch(want, v, at, nil)
			err = add(n, err, func(i int) []byte { return append([]byte{}, v[i]...) })
		case *file.BooleanColumnChunkReader:
			v := make([]bool, want)
			levels, n, err = cr.ReadBatch(want, v, at, nil)
			err = add(n, err, func(i int) []byte {
				if v[i] {
					return []byte{1}
				}
				return []byte{0}
			})
		}
		if err != nil || levels == 0 {
			return nil, errors.Join(err, cr.Err(), fmt.Errorf("%d rows", total))
		}
		total += levels
	}
	for _, d := range defs {
		switch {
		case d == c.maxDef && len(dense) > 0:
			out, dense = append(out, dense[0]), dense[1:]
		case d == c.maxDef:
			return nil, errors.New("too few values")
		default:
			out = append(out, nil)
		}
	}
	return out, nil
}

func (v valuesOf) equal(w valuesOf) bool {
	return slices.EqualFunc(v, w, func(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) })
}

// levelRun is a version 1 page's levels: n of them alike.
func levelRun(n int, level byte) []byte {
	run := append(binary.AppendUvarint(nil, uint64(n)<<1), level)
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(run))), run...)
}

func int32s(values ...uint32) (b []byte) {
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return b
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// Pages that arrow-go's writer does not make: read, and as arrow-go reads them.
func TestPagesOfOtherWriters(t *testing.T) {
	e, typ := parquet.Encodings, parquet.Types
	dict := rawPage{kind: dictionaryPage, n: 3, enc: e.Plain, body: int32s(10, 20, 30)}
	index := func(page rawPage, width byte, runs ...byte) rawPage {
		page.enc, page.body = e.RLEDict, join(page.body, []byte{width}, runs)
		return page
	}
	v1 := rawPage{kind: dataPage, enc: e.Plain, defEnc: e.RLE}
	with := func(p rawPage, n int, body ...[]byte) rawPage {
		p.n, p.body = n, join(body...)
		return p
	}
	cases := []struct {
		what   string
		typ    parquet.Type
		maxDef int16
		pages  []rawPage
		want   string // rows, a null as -
		alone  bool   // arrow-go refuses it, or does not keep to the format
	}{
		{"dictionary, then plain values in the same chunk", typ.Int32, 0, []rawPage{dict, index(with(v1, 3), 2, 3<<1, 1), with(v1, 2, int32s(7, 8))}, "20 20 20 7 8", false},
		{"indices of 0 bits", typ.Int32, 0, []rawPage{dict, index(with(v1, 4), 0, 4<<1)}, "10 10 10 10", false},
		{"indices of 32 bits", typ.Int32, 0, []rawPage{dict, index(with(v1, 2), 32, 2<<1, 2, 0, 0, 0)}, "30 30", false},
		{"indices of 32 bits, packed", typ.Int32, 0, []rawPage{dict, index(with(v1, 1), 32, append([]byte{1<<1 | 1}, int32s(2, 0, 0, 0, 0, 0, 0, 0)...)...)}, "30", false},
		{"PLAIN_DICTIONARY for dictionary and indices", typ.Int32, 0, []rawPage{{kind: dictionaryPage, n: 3, enc: e.PlainDict, body: dict.body}, {kind: dataPage, n: 1, enc: e.PlainDict, defEnc: e.RLE, body: []byte{2, 1 << 1, 1}}}, "20", false},
		{"a last group cut short", typ.Int32, 0, []rawPage{dict, index(with(v1, 3), 2, 1<<1|1, 0b100100)}, "10 20 30", false},
		{"a page of nulls without indices", typ.Int32, 1, []rawPage{dict, {kind: dataPage, n: 3, enc: e.RLEDict, defEnc: e.RLE, body: levelRun(3, 0)}}, "- - -", false},
		{"a page of nulls without deltas, as arrow-go writes it", typ.Int32, 1, []rawPage{{kind: dataPage, n: 3, enc: e.DeltaBinaryPacked, defEnc: e.RLE, body: append(levelRun(3, 0), 0, 0, 0, 0)}}, "- - -", true},
		{"pages without values between others", typ.Int32, 0, []rawPage{with(v1, 0), with(v1, 1, int32s(5)), with(v1, 0), with(v1, 0), with(v1, 1, int32s(6))}, "5 6", true},
		{"an index page between others", typ.Int32, 0, []rawPage{with(v1, 1, int32s(5)), {kind: 1, body: []byte("whatever")}, with(v1, 1, int32s(6))}, "5 6", true},
		{"statistics longer than what is read ahead", typ.Int32, 0, []rawPage{{kind: dataPage, n: 1, enc: e.Plain, defEnc: e.RLE, statistics: 5000, body: int32s(5)}}, "5", false},
		{"deprecated levels", typ.Int32, 1, []rawPage{{kind: dataPage, n: 3, enc: e.Plain, defEnc: e.BitPacked, body: join([]byte{0b01100000}, int32s(5, 6))}}, "- 5 6", true},
		{"version 2, levels for a column without lists", typ.Int32, 1, []rawPage{{kind: dataPageV2, n: 2, enc: e.Plain, repLen: 2, defLen: 2, body: join([]byte{2 << 1, 0, 2 << 1, 1}, int32s(5, 6))}}, "5 6", false},
		{"booleans in runs", typ.Boolean, 0, []rawPage{{kind: dataPage, n: 5, enc: e.RLE, defEnc: e.RLE, body: join(int32s(4), []byte{3 << 1, 1, 2 << 1, 0})}}, "1 1 1 0 0", false},
		{"deltas of one value", typ.Int32, 0, []rawPage{{kind: dataPage, n: 1, enc: e.DeltaBinaryPacked, defEnc: e.RLE, body: []byte{0x80, 1, 4, 1, 10}}}, "5", false},
		{"deltas whose last miniblock is cut short", typ.Int32, 0, []rawPage{{kind: dataPage, n: 3, enc: e.DeltaBinaryPacked, defEnc: e.RLE, body: []byte{0x80, 1, 4, 3, 10, 0, 1, 0, 0, 0, 0b10}}}, "5 5 6", true},
	}
	for _, c := range cases {
		rows := 0
		for _, p := range c.pages {
			if p.kind != dictionaryPage {
				rows += p.n
			}
		}
		col := column{typ: c.typ, maxDef: c.maxDef, rows: rows, chunk: chunkOfPages(c.pages...)}
		for _, chunkRows := range []int{1, 2, 100} {
			got, err := col.read(t, chunkRows)
			text := make([]string, len(got))
			for i, v := range got {
				switch len(v) {
				case 0:
					text[i] = "-"
				case 1:
					text[i] = strconv.Itoa(int(v[0]))
				default:
					text[i] = strconv.Itoa(int(le32(v)))
				}
			}
			if s := strings.Join(text, " "); err != nil || s != c.want {
				t.Errorf("%s, %d rows at a time = %q, %v; want %q", c.what, chunkRows, s, err, c.want)
			}
			if lib, err := col.library(); (err == nil && got.equal(lib)) == c.alone {
				t.Errorf("%s: arrow-go reads %v, %v", c.what, lib, err)
			}
		}
	}
}

// Pages that contradict themselves or the column are refused, each by what is
// wrong with it.
func TestDamagedPages(t *testing.T) {
	e, typ := parquet.Encodings, parquet.Types
	dict := rawPage{kind: dictionaryPage, n: 3, enc: e.Plain, body: int32s(10, 20, 30)}
	indices := func(n int, body ...byte) rawPage {
		return rawPage{kind: dataPage, n: n, enc: e.RLEDict, defEnc: e.RLE, body: body}
	}
	plain := func(n int, body ...[]byte) rawPage {
		return rawPage{kind: dataPage, n: n, enc: e.Plain, defEnc: e.RLE, body: join(body...)}
	}
	enc := func(enc parquet.Encoding, n int, body ...byte) rawPage {
		return rawPage{kind: dataPage, n: n, enc: enc, defEnc: e.RLE, body: body}
	}
	cases := []struct {
		what   string
		typ    parquet.Type
		maxDef int16
		rows   int
		pages  []rawPage
		want   string
	}{
		{"repeated index beyond the dictionary", typ.Int32, 0, 2, []rawPage{dict, indices(2, 2, 2<<1, 3)}, "index 3 into a dictionary of 3"},
		{"packed index beyond the dictionary", typ.Int32, 0, 8, []rawPage{dict, indices(8, 2, 1<<1|1, 0xff, 0xff)}, "index 3 into a dictionary of 3"},
		{"string index beyond the dictionary", typ.ByteArray, 0, 1, []rawPage{{kind: dictionaryPage, n: 1, enc: e.Plain, body: int32s(0)}, indices(1, 1, 1<<1, 1)}, "index 1 into a dictionary of 1"},
		{"indices of 33 bits", typ.Int32, 0, 1, []rawPage{dict, indices(1, 33, 2, 0, 0, 0, 0, 0)}, "33 bits"},
		{"value wider than its bits", typ.Int32, 0, 1, []rawPage{dict, indices(1, 2, 1<<1, 4)}, "run of 4 in 2 bits"},
		{"indices without a dictionary", typ.Int32, 0, 1, []rawPage{indices(1, 2, 2, 0)}, "before any dictionary"},
		{"two dictionaries", typ.Int32, 0, 1, []rawPage{dict, dict, indices(1, 2, 2, 0)}, "two dictionaries"},
		{"two dictionaries of strings", typ.ByteArray, 0, 1, []rawPage{{kind: dictionaryPage, enc: e.Plain}, {kind: dictionaryPage, enc: e.Plain}}, "two dictionaries"},
		{"dictionary with fewer values than it says", typ.Int32, 0, 1, []rawPage{{kind: dictionaryPage, n: 4, enc: e.Plain, body: dict.body}}, "dictionary of 4 values has 12 bytes"},
		{"dictionary of strings that ends early", typ.ByteArray, 0, 1, []rawPage{{kind: dictionaryPage, n: 1, enc: e.Plain, body: int32s(5)}}, "value of 5 bytes where the page has 0"},
		{"indices that end early", typ.Int32, 0, 5, []rawPage{dict, indices(5, 2, 4<<1, 1)}, "before its last value"},
		{"indices that end inside a run", typ.Int32, 0, 5, []rawPage{dict, indices(5, 2, 5<<1)}, "inside a run"},
		{"no indices at all", typ.Int32, 0, 5, []rawPage{dict, indices(5)}, "before its last value"},
		{"plain values that end early", typ.Int32, 0, 3, []rawPage{plain(3, int32s(1, 2))}, "1 values early"},
		{"fewer values than levels say", typ.Int32, 1, 3, []rawPage{plain(3, levelRun(3, 1), int32s(1, 2))}, "1 values early"},
		{"strings that end early", typ.ByteArray, 0, 2, []rawPage{plain(2, int32s(0))}, "before its last value"},
		{"string longer than its page", typ.ByteArray, 0, 1, []rawPage{plain(1, int32s(1<<31))}, "value of 2147483648 bytes"},
		{"booleans that end early", typ.Boolean, 0, 9, []rawPage{plain(9, []byte{1})}, "before its last value"},
		{"booleans longer than their page", typ.Boolean, 0, 1, []rawPage{enc(e.RLE, 1, 9, 0, 0, 0, 2, 1)}, "booleans end early"},
		{"dictionary of booleans", typ.Boolean, 0, 1, []rawPage{{kind: dictionaryPage, n: 1, enc: e.Plain, body: []byte{1}}}, "dictionary of booleans"},
		{"levels that end early", typ.Int32, 1, 3, []rawPage{plain(3, levelRun(2, 1), int32s(1, 2, 3))}, "before its last value"},
		{"levels longer than their page", typ.Int32, 1, 3, []rawPage{plain(3, int32s(100))}, "levels of 100 bytes"},
		{"no levels", typ.Int32, 1, 3, []rawPage{plain(3, []byte{1})}, "ends before its levels"},
		{"deprecated levels longer than their page", typ.Int32, 1, 100, []rawPage{{kind: dataPage, n: 100, enc: e.Plain, defEnc: e.BitPacked, body: []byte{1}}}, "levels of 13 bytes"},
		{"levels of version 2 longer than their page", typ.Int32, 1, 1, []rawPage{{kind: dataPageV2, n: 1, enc: e.Plain, defLen: 6, body: int32s(1)}}, "levels of 6 bytes"},
		{"more values than the column chunk", typ.Int32, 0, 2, []rawPage{plain(3, int32s(1, 2, 3))}, "page of 3 values where 2 are left"},
		{"fewer values than the column chunk", typ.Int32, 0, 4, []rawPage{plain(3, int32s(1, 2, 3))}, "ends 1 rows early"},
		{"compressed page of another size", typ.Int32, 0, 1, []rawPage{{kind: dataPage, n: 1, enc: e.Plain, defEnc: e.RLE, body: int32s(1), uncompressed: 5}}, "page of 4 bytes where 5"},
		{"streams of another width", typ.Double, 0, 1, []rawPage{enc(e.ByteStreamSplit, 1, 1, 2, 3)}, "3 bytes of streams"},
		{"streams that end early", typ.Double, 0, 2, []rawPage{enc(e.ByteStreamSplit, 2, make([]byte, 8)...)}, "1 values early"},
		{"deltas in blocks of 0", typ.Int32, 0, 1, []rawPage{enc(e.DeltaBinaryPacked, 1, 0, 4, 1, 0)}, "blocks of 0"},
		{"deltas in 0 miniblocks", typ.Int32, 0, 1, []rawPage{enc(e.DeltaBinaryPacked, 1, 0x80, 1, 0, 1, 0)}, "of 0 miniblocks"},
		{"more deltas than values", typ.Int32, 0, 1, []rawPage{enc(e.DeltaBinaryPacked, 1, 0x80, 1, 4, 2, 0)}, "2 deltas in a page of 1"},
		{"fewer deltas than values", typ.Int32, 0, 2, []rawPage{enc(e.DeltaBinaryPacked, 2, 0x80, 1, 4, 1, 0)}, "1 deltas fewer"},
		{"deltas of 65 bits", typ.Int32, 0, 2, []rawPage{enc(e.DeltaBinaryPacked, 2, 0x80, 1, 4, 2, 0, 0, 65, 0, 0, 0)}, "deltas of 65 bits"},
		{"deltas that end early", typ.Int32, 0, 3, []rawPage{enc(e.DeltaBinaryPacked, 3, 0x80, 1, 4, 3, 0, 0, 8, 0, 0, 0, 1)}, "deltas end early"},
		{"lengths beyond the bytes", typ.ByteArray, 0, 1, []rawPage{enc(e.DeltaLengthByteArray, 1, 0x80, 1, 4, 1, 6, 'a')}, "values of 3 bytes where the page has 1"},
		{"negative length", typ.ByteArray, 0, 1, []rawPage{enc(e.DeltaLengthByteArray, 1, 0x80, 1, 4, 1, 1, 'a')}, "values of 4294967295 bytes"},
		{"prefix longer than the value before", typ.ByteArray, 0, 1, []rawPage{enc(e.DeltaByteArray, 1, 0x80, 1, 4, 1, 2, 0x80, 1, 4, 1, 2, 'a')}, "shares 1 bytes with one of 0"},
		{"unknown encoding", typ.Int32, 0, 1, []rawPage{enc(77, 1, 0)}, "encoding"},
		{"deltas of doubles", typ.Double, 0, 1, []rawPage{enc(e.DeltaBinaryPacked, 1, 0)}, "encoding DELTA_BINARY_PACKED of DOUBLE"},
	}
	for _, c := range cases {
		for _, chunkRows := range []int{1, 100} {
			got, err := column{typ: c.typ, maxDef: c.maxDef, rows: c.rows, chunk: chunkOfPages(c.pages...)}.read(t, chunkRows)
			if !errors.Is(err, format.ErrDamaged) && !errors.Is(err, format.ErrUnsupported) || !strings.Contains(fmt.Sprint(err), c.want) ||
				strings.Contains(fmt.Sprint(err), "panicked") {
				t.Errorf("%s: %v, %v; want an error with %q", c.what, got, err, c.want)
			}
		}
	}
}

// A damaged page header, or a page that the chunk ends in, is an error.
func TestDamagedPageHeaders(t *testing.T) {
	page := rawPage{kind: dataPage, n: 2, enc: parquet.Encodings.Plain, defEnc: parquet.Encodings.RLE, body: int32s(1, 2)}
	good := chunkOfPages(page)
	for cut := range good {
		if got, err := (column{typ: parquet.Types.Int32, rows: 2, chunk: good[:cut]}).read(t, 10); !errors.Is(err, format.ErrDamaged) {
			t.Errorf("%d of %d bytes: %v, %v; want ErrDamaged", cut, len(good), got, err)
		}
	}
	for name, b := range map[string][]byte{
		"negative sizes":       {1<<4 | thriftI32, 0, 1<<4 | thriftI32, 1, 1<<4 | thriftI32, 1, 2<<4 | thriftStruct, 0, 0},
		"no sizes":             {1<<4 | thriftI32, 0, 4<<4 | thriftStruct, 0, 0},
		"without its own part": {1<<4 | thriftI32, 0, 1<<4 | thriftI32, 0, 1<<4 | thriftI32, 0, 0},
		"part of another kind": {1<<4 | thriftI32, 4, 1<<4 | thriftI32, 0, 1<<4 | thriftI32, 0, 2<<4 | thriftStruct, 0, 0},
		"size beyond 32 bits":  {1<<4 | thriftI32, 0, 1<<4 | thriftI32, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0},
		"nested without end":   bytes.Repeat([]byte{9<<4 | thriftStruct}, 1000),
	} {
		if _, _, err := readPageHeader(b); !errors.Is(err, format.ErrDamaged) && !errors.Is(err, format.ErrBudget) {
			t.Errorf("%s: %v; want an error", name, err)
		}
	}
}

// FuzzPages reads a column chunk of whatever pages: rows or an error, and rows
// as arrow-go reads them where it does.
//
//	go test -fuzz FuzzPages -fuzztime 60s -fuzzminimizetime 1s ./io/parquetfile
func FuzzPages(f *testing.F) {
	e := parquet.Encodings
	types := []column{
		{typ: parquet.Types.Int32},
		{typ: parquet.Types.Double},
		{typ: parquet.Types.ByteArray},
		{typ: parquet.Types.FixedLenByteArray, width: 3},
		{typ: parquet.Types.Boolean},
		{typ: parquet.Types.FixedLenByteArray, width: 12},
		{typ: parquet.Types.FixedLenByteArray, width: 17},
	}
	f.Add(uint8(0), uint8(e.RLEDict), uint16(20), true, int32s(1, 2, 3), uint16(3), []byte{2, 5 << 1, 1, 2<<1 | 1, 0x24, 0x49, 0x92, 0x24}, levelRun(20, 1))
	f.Add(uint8(1), uint8(e.Plain), uint16(3), false, []byte(nil), uint16(0), make([]byte, 24), []byte(nil))
	f.Add(uint8(2), uint8(e.Plain), uint16(2), false, []byte(nil), uint16(0), join(int32s(1), []byte("a"), int32s(0)), []byte(nil))
	f.Add(uint8(2), uint8(e.DeltaByteArray), uint16(1), false, []byte(nil), uint16(0), []byte{0x80, 1, 4, 1, 0, 0x80, 1, 4, 1, 2, 'a'}, []byte(nil))
	f.Add(uint8(0), uint8(e.DeltaBinaryPacked), uint16(3), true, []byte(nil), uint16(0), []byte{0x80, 1, 4, 3, 10, 0, 8, 0, 0, 0, 1, 2, 3}, levelRun(3, 1))
	f.Add(uint8(4), uint8(e.RLE), uint16(5), true, []byte(nil), uint16(0), join(int32s(4), []byte{3 << 1, 1, 2 << 1, 0}), levelRun(5, 1))
	f.Add(uint8(3), uint8(e.ByteStreamSplit), uint16(2), false, []byte(nil), uint16(0), make([]byte, 6), []byte(nil))
	f.Add(uint8(5), uint8(e.RLEDict), uint16(20), true, make([]byte, 36), uint16(3), []byte{2, 5 << 1, 1, 2<<1 | 1, 0x24, 0x49, 0x92, 0x24}, levelRun(20, 1))
	f.Add(uint8(6), uint8(e.DeltaByteArray), uint16(1), false, []byte(nil), uint16(0), join([]byte{0x80, 1, 4, 1, 0, 0x80, 1, 4, 1, 34}, make([]byte, 17)), []byte(nil))
	f.Fuzz(func(t *testing.T, typ, enc uint8, rows uint16, nullable bool, dict []byte, dictValues uint16, values, levels []byte) {
		c := types[int(typ)%len(types)]
		c.rows = int(rows)
		if nullable {
			c.maxDef = 1
			values = join(levels, values)
		}
		var all []rawPage
		if len(dict) > 0 {
			all = append(all, rawPage{kind: dictionaryPage, n: int(dictValues), enc: e.Plain, body: dict})
		}
		c.chunk = chunkOfPages(append(all, rawPage{kind: dataPage, n: int(rows), enc: parquet.Encoding(enc), defEnc: e.RLE, body: values})...)
		got, err := c.read(t, 1+int(rows)/3)
		if err != nil && strings.Contains(err.Error(), "panicked") {
			t.Fatal(err)
		}
		if err != nil || rows == 0 {
			return
		}
		if len(got) != int(rows) {
			t.Fatalf("%d rows of %d without an error", len(got), rows)
		}
		if want, err := c.library(); err == nil && !got.equal(want) {
			t.Fatalf("read %v; arrow-go reads %v", got, want)
		}
	})
}
