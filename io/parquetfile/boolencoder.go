package parquetfile

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/metadata"
)

// boolPageRows end a page of booleans, of one bit each.
const boolPageRows = 1 << 17

// boolEncoder is the columnEncoder of booleans.
type boolEncoder struct {
	finishedPages
	pageRows
	page        []byte // headBytes that are free, then bits, zero from the last value on
	values, set int    // of the column chunk's pages that ended
}

func newBoolEncoder(f *flatFile, c flatColumn) *boolEncoder {
	return &boolEncoder{finishedPages: finishedPages{file: f, flatColumn: c, head: headBytes}}
}

// free implements columnEncoder.
func (e *boolEncoder) free() {
	e.drop()
	e.file.mem.Free(e.page)
	e.file.mem.Free(e.bits)
}

// bytes implements columnEncoder.
func (e *boolEncoder) bytes(_ arrow.ArrayData, _, n int) (int64, error) { return int64(n), nil }

// add implements columnEncoder.
func (e *boolEncoder) add(data arrow.ArrayData, at, n int, _ []byte) error {
	if n == 0 {
		return nil
	}
	at += data.Offset()
	buffer := data.Buffers()[1]
	if buffer == nil || buffer.Len() < (at+n+7)/8 {
		return fmt.Errorf("an array of %d rows does not have values for all of them", data.Len())
	}
	if e.page == nil {
		e.page = e.file.mem.Allocate(headBytes + boolPageRows/8)
		clear(e.page)
	}
	valid := validRowsOf(data, at)
	for n > 0 {
		k := min(n, boolPageRows-e.rows)
		e.note(e.file.mem, &valid, k)
		e.append(buffer.Bytes(), at, k, valid)
		valid.at += k
		at, n = at+k, n-k
		if e.rows == boolPageRows {
			e.end()
		}
	}
	return nil
}

// append appends the values among n bits, from bit at on.
func (e *boolEncoder) append(values []byte, at, n int, valid validRows) {
	bits := e.page[headBytes:]
	if valid.bits == nil {
		bitutil.CopyBitmap(values, at, n, bits, e.valid)
		e.valid += n
	} else {
		for i := range n {
			if bitutil.BitIsSet(valid.bits, valid.at+i) {
				bitutil.SetBitTo(bits, e.valid, bitutil.BitIsSet(values, at+i))
				e.valid++
			}
		}
	}
	e.rows += n
}

// end finishes the page and begins another.
func (e *boolEncoder) end() {
	end := headBytes + (e.valid+7)/8
	e.values += e.valid
	e.set += bitutil.CountSetBits(e.page, 8*headBytes, e.valid)
	e.finishRows(encodedPage{encoding: parquet.Encodings.Plain}, &e.pageRows, nil, e.page[:end])
	clear(e.page[:end])
	e.begin()
}

// write implements columnEncoder.
func (e *boolEncoder) write(i int, meta *metadata.ColumnChunkMetaDataBuilder) error {
	if e.rows > 0 {
		e.end()
	}
	var least, most []byte
	if e.values > 0 {
		least, most = []byte{0}, []byte{1}
		if e.set == e.values {
			least[0] = 1
		}
		if e.set == 0 {
			most[0] = 0
		}
	}
	e.values, e.set = 0, 0
	return e.finishedPages.write(i, meta, nil, least, most)
}
