package spool

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/zeebo/xxh3"
)

// digester makes a digest (XXH3-128) of rows that come in spans. What no reader sees does
// not count: the value below a null, where a slice begins, the order of a dictionary.
//
// Each array is hashed as: whether it has nulls, and which; then lengths, where values
// have some; then the values that are there, run by run.
type digester struct {
	hash    *xxh3.Hasher
	scratch []byte
}

func newDigester(schema *arrow.Schema) *digester {
	d := &digester{hash: xxh3.New()}
	for _, f := range schema.Fields() {
		fmt.Fprintf(d.hash, "%q %s\n", f.Name, f.Type)
	}
	return d
}

// add hashes the rows of a span.
func (d *digester) add(rows arrow.RecordBatch) {
	for _, c := range rows.Columns() {
		d.array(c)
	}
}

func (d *digester) sum() string {
	sum := d.hash.Sum128().Bytes()
	return "xxh3:" + hex.EncodeToString(sum[:])
}

func (d *digester) array(a arrow.Array) {
	if ext, ok := a.(array.ExtensionArray); ok {
		a = ext.Storage()
	}
	d.number(int64(a.Len()))
	d.number(int64(a.NullN()))
	if a.NullN() > 0 && a.NullN() < a.Len() && len(a.NullBitmapBytes()) > 0 {
		d.bits(a.NullBitmapBytes(), a.Data().Offset(), a.Len())
	}
	switch a := a.(type) {
	case *array.Null:
	case *array.Dictionary:
		d.dictionary(a)
	case *array.Struct:
		eachRun(a, func(from, to int64) {
			for i := range a.NumField() {
				d.slice(a.Field(i), from, to)
			}
		})
	case array.ListLike:
		eachRun(a, func(from, to int64) { d.lists(a, from, to) })
	case *array.Boolean:
		data := a.Data()
		eachRun(a, func(from, to int64) {
			d.bits(data.Buffers()[1].Bytes(), data.Offset()+int(from), int(to-from))
		})
	case array.BinaryLike:
		d.texts(a)
	default:
		d.fixed(a)
	}
}

// fixed hashes values that take the same bytes each, and the text of all others.
func (d *digester) fixed(a arrow.Array) {
	t, ok := a.DataType().(arrow.FixedWidthDataType)
	if data := a.Data(); ok && len(data.Buffers()) == 2 && data.Buffers()[1] != nil {
		width, values := int64(t.Bytes()), data.Buffers()[1].Bytes()
		eachRun(a, func(from, to int64) {
			first := int64(data.Offset())
			d.write(values[(first+from)*width : (first+to)*width])
		})
		return
	}
	eachRun(a, func(from, to int64) {
		for i := from; i < to; i++ {
			d.text(a.ValueStr(int(i)))
		}
	})
}

// texts hashes lengths and bytes.
func (d *digester) texts(a array.BinaryLike) {
	all := a.ValueBytes() // of the slice alone
	eachRun(a, func(from, to int64) {
		first := a.ValueOffset64(0)
		for i := from; i < to; i++ {
			d.number(int64(a.ValueLen(int(i))))
		}
		last := int(to - 1)
		d.write(all[a.ValueOffset64(int(from))-first : a.ValueOffset64(last)+int64(a.ValueLen(last))-first])
	})
}

// lists hashes a run of lists: lengths, then what they hold.
func (d *digester) lists(a array.ListLike, from, to int64) {
	together := true // each list begins where the one before ends
	first, last := a.ValueOffsets(int(from))
	d.number(last - first)
	for i := from + 1; i < to; i++ {
		start, end := a.ValueOffsets(int(i))
		d.number(end - start)
		together = together && start == last
		last = end
	}
	if together {
		d.slice(a.ListValues(), first, last)
		return
	}
	for i := from; i < to; i++ {
		start, end := a.ValueOffsets(int(i))
		d.slice(a.ListValues(), start, end)
	}
}

// dictionary hashes what indices stand for.
func (d *digester) dictionary(a *array.Dictionary) {
	values := a.Dictionary()
	of := make([]uint64, values.Len())
	for i := range of {
		one := &digester{hash: xxh3.New()}
		one.slice(values, int64(i), int64(i+1))
		of[i] = one.hash.Sum64()
	}
	eachRun(a, func(from, to int64) {
		for i := from; i < to; i++ {
			d.number(int64(of[a.GetValueIndex(int(i))]))
		}
	})
}

func (d *digester) slice(a arrow.Array, from, to int64) {
	part := array.NewSlice(a, from, to)
	defer part.Release()
	d.array(part)
}

// bits hashes a bitmap as if it began at its first bit.
func (d *digester) bits(bitmap []byte, offset, n int) {
	need := int(bitutil.BytesForBits(int64(n)))
	b := d.room(need)
	clear(b)
	bitutil.CopyBitmap(bitmap, offset, n, b, 0)
	d.write(b)
}

func (d *digester) room(n int) []byte {
	if cap(d.scratch) < n {
		d.scratch = make([]byte, n)
	}
	return d.scratch[:n]
}

func (d *digester) number(n int64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(n))
	d.write(b[:])
}

func (d *digester) text(s string) {
	d.number(int64(len(s)))
	_, _ = io.WriteString(d.hash, s) // a hash takes everything
}

func (d *digester) write(b []byte) { _, _ = d.hash.Write(b) }

// eachRun calls do with each run of rows that are not null.
func eachRun(a arrow.Array, do func(from, to int64)) {
	n := int64(a.Len())
	if a.NullN() == 0 {
		if n > 0 {
			do(0, n)
		}
		return
	}
	for at := int64(0); at < n; {
		if a.IsNull(int(at)) {
			at++
			continue
		}
		from := at
		for at < n && a.IsValid(int(at)) {
			at++
		}
		do(from, at)
	}
}
