package parquetfile

import (
	"fmt"
	"math/bits"
	"slices"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
)

// rowGroup is what a footer says about a row group. A file may have a million column
// chunks, of which arrow-go keeps ten times as much.
type rowGroup struct {
	rows   int64
	chunks []chunk
}

// chunk is what the footer says about one column of one row group.
type chunk struct {
	external  bool // kept in another file
	encrypted bool
	missing   bool // no metadata
	bounded   bool // least and most are set

	physical          parquet.Type
	codec             compress.Compression
	encodings         uint64 // a bit for each
	values            int64  // levels: rows, nulls and empty lists included
	start             int64  // first byte in the file
	firstPage         int64  // first byte of the first data page
	bytes             int64  // stored
	uncompressedBytes int64
	nulls             int64  // -1 where statistics do not say
	least, most       []byte // of the values, in the footer's bytes
}

// Fields of parquet.thrift that are read of row groups, and types as the compact protocol has them.
const (
	rowGroupColumns    = 1<<8 | thriftList
	rowGroupSize       = 2<<8 | thriftI64
	rowGroupRows       = 3<<8 | thriftI64
	chunkPath          = 1<<8 | thriftBinary
	chunkOffset        = 2<<8 | thriftI64
	chunkMetaData      = 3<<8 | thriftStruct
	chunkCrypto        = 8<<8 | thriftStruct
	metaType           = 1<<8 | thriftI32
	metaEncodings      = 2<<8 | thriftList
	metaPath           = 3<<8 | thriftList
	metaCodec          = 4<<8 | thriftI32
	metaValues         = 5<<8 | thriftI64
	metaUncompressed   = 6<<8 | thriftI64
	metaCompressed     = 7<<8 | thriftI64
	metaDataPage       = 9<<8 | thriftI64
	metaDictionaryPage = 11<<8 | thriftI64
	metaStatistics     = 12<<8 | thriftStruct
	statisticsNulls    = 3<<8 | thriftI64
	statisticsMaxValue = 5<<8 | thriftBinary
	statisticsMinValue = 6<<8 | thriftBinary
)

// thriftFieldTypeBits are those of the type in a field that is read: id<<8 | type.
const thriftFieldTypeBits = 8

// What must be there, with its type: a field of another type is none.
var (
	ofRowGroup = []int{rowGroupColumns, rowGroupSize, rowGroupRows}
	ofChunk    = []int{chunkOffset}
	ofMeta     = []int{metaType, metaEncodings, metaPath, metaCodec, metaValues, metaUncompressed, metaCompressed, metaDataPage}
)

// readRowGroups reads a list of row groups that was walked, and so is well-formed.
// Source: parquet-format:src/main/thrift/parquet.thrift.
func readRowGroups(list []byte) (groups []rowGroup, err error) {
	w := &thriftWalk{what: "footer", b: list, maxStructs: int64(len(list))}
	n, err := w.elements(thriftStruct)
	if err != nil {
		return nil, err
	}
	groups = make([]rowGroup, n)
	for i := range groups {
		if err := groups[i].read(w); err != nil {
			return nil, err
		}
	}
	return groups, nil
}

func (g *rowGroup) read(w *thriftWalk) error {
	return w.fields("a row group", ofRowGroup, func(field int) (err error) {
		switch field {
		case rowGroupColumns:
			n, err := w.elements(thriftStruct)
			if err != nil {
				return err
			}
			g.chunks = make([]chunk, n)
			for i := range g.chunks {
				if err := g.chunks[i].read(w); err != nil {
					return err
				}
			}
			return nil
		case rowGroupRows:
			g.rows, err = w.varint()
			return err
		}
		return w.pass(field)
	})
}

func (c *chunk) read(w *thriftWalk) error {
	c.missing, c.nulls = true, -1
	return w.fields("a column chunk", ofChunk, func(field int) error {
		switch field {
		case chunkPath:
			path, err := w.binary()
			c.external = len(path) > 0
			return err
		case chunkMetaData:
			c.missing = false
			return c.readMeta(w)
		case chunkCrypto:
			c.encrypted = true
		}
		return w.pass(field)
	})
}

func (c *chunk) readMeta(w *thriftWalk) error {
	dictionary := int64(0)
	err := w.fields("a column chunk's metadata", ofMeta, func(field int) (err error) {
		var n int64
		switch field {
		case metaType:
			n, err = w.varint()
			c.physical = parquet.Type(int32(n))
		case metaEncodings:
			err = c.readEncodings(w)
		case metaCodec:
			n, err = w.varint()
			c.codec = compress.Compression(int32(n))
		case metaValues:
			c.values, err = w.varint()
		case metaUncompressed:
			c.uncompressedBytes, err = w.varint()
		case metaCompressed:
			c.bytes, err = w.varint()
		case metaDataPage:
			c.firstPage, err = w.varint()
		case metaDictionaryPage:
			dictionary, err = w.varint()
		case metaStatistics:
			err = c.readStatistics(w)
		default:
			err = w.pass(field)
		}
		return err
	})
	c.start = c.firstPage
	if dictionary > 0 && dictionary < c.start {
		c.start = dictionary
	}
	return err
}

func (c *chunk) readEncodings(w *thriftWalk) error {
	n, err := w.elements(thriftI32)
	for range n {
		e, err := w.varint()
		if err != nil {
			return err
		}
		c.encodings |= 1 << (uint64(e) & 63)
	}
	return err
}

func (c *chunk) readStatistics(w *thriftWalk) error {
	least, most := false, false
	err := w.fields("statistics", nil, func(field int) (err error) {
		switch field {
		case statisticsNulls:
			c.nulls, err = w.varint()
		case statisticsMaxValue:
			c.most, err = w.binary()
			most = true
		case statisticsMinValue:
			c.least, err = w.binary()
			least = true
		default:
			err = w.pass(field)
		}
		return err
	})
	c.bounded = least && most
	return err
}

// fields has f read every field of a structure, which it is given as id<<8 | type, and
// returns an error if one that is required is not there.
func (w *thriftWalk) fields(what string, need []int, f func(field int) error) error {
	id, missing := int16(0), uint(1)<<len(need)-1
	for {
		kind, err := w.field(&id)
		if err != nil {
			return err
		}
		if kind == thriftStop {
			break
		}
		field := int(id)<<thriftFieldTypeBits | int(kind)
		if err := f(field); err != nil {
			return err
		}
		if i := slices.Index(need, field); i >= 0 {
			missing &^= 1 << i
		}
	}
	if missing != 0 {
		return w.fail(fmt.Sprintf("%s lacks field %d", what, need[bits.TrailingZeros(missing)]>>thriftFieldTypeBits))
	}
	return nil
}

// pass steps over a field that was not read.
func (w *thriftWalk) pass(field int) error {
	return w.value(byte(field&(1<<thriftFieldTypeBits-1)), 0, 1, false)
}

// elements reads the head of a list, and refuses one of another type.
func (w *thriftWalk) elements(kind byte) (n uint64, err error) {
	head, err := w.byte()
	if err != nil {
		return 0, err
	}
	if n = uint64(head >> 4); n == 15 {
		if n, err = w.uvarint(); err != nil {
			return 0, err
		}
	}
	if n > uint64(w.left()) || n > 0 && head&0x0f != kind {
		return 0, w.fail("list of another type")
	}
	return n, nil
}

// binary reads bytes, which are not copied.
func (w *thriftWalk) binary() ([]byte, error) {
	n, err := w.uvarint()
	if err != nil {
		return nil, err
	}
	from := w.pos
	if err := w.skip(n); err != nil {
		return nil, err
	}
	return w.b[from:w.pos:w.pos], nil
}
