package parquetfile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/millrace/millrace/io/format"
)

// unpackBuffer is an unpacked in memory.
type unpackBuffer struct{ bytes.Buffer }

func (b *unpackBuffer) ReadAt(p []byte, at int64) (int, error) {
	return bytes.NewReader(b.Bytes()).ReadAt(p, at)
}

// compressible are n bytes of runs, repetitions from near and far, and noise.
func compressible(rng *rand.Rand, n int) []byte {
	out := make([]byte, 0, n)
	for len(out) < n {
		switch k := 1 + rng.IntN(1<<rng.IntN(18)); rng.IntN(3) {
		case 0:
			out = append(out, bytes.Repeat([]byte{byte(rng.Uint32())}, k)...)
		case 1:
			for range k {
				out = append(out, byte(rng.Uint32()))
			}
		default:
			from := rng.IntN(len(out) + 1)
			out = append(out, out[from:min(from+k, len(out))]...)
		}
	}
	return out[:n]
}

// Every codec unpacks, a little at a time, what it packed; a byte less or more of either
// side is an error.
func TestUnpack(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	packers := map[string]func([]byte) []byte{
		"SNAPPY":  func(b []byte) []byte { return snappy.Encode(nil, b) },
		"LZ4_RAW": packLZ4,
	}
	codecs := map[string]compress.Compression{
		"SNAPPY": compress.Codecs.Snappy, "LZ4_RAW": compress.Codecs.Lz4Raw, "ZSTD": compress.Codecs.Zstd,
		"GZIP": compress.Codecs.Gzip, "BROTLI": compress.Codecs.Brotli, "UNCOMPRESSED": compress.Codecs.Uncompressed,
	}
	for name, codec := range codecs {
		pack := packers[name]
		if pack == nil {
			library, err := compress.GetCodec(codec)
			if err != nil {
				t.Fatal(err)
			}
			pack = func(b []byte) []byte { return library.Encode(nil, b) }
		}
		sizes := []int{1, 15, 16, 300, historyBytes + 1, 3*windowBytes + 12345}
		if testing.Short() {
			sizes = sizes[:4]
		}
		for _, size := range sizes {
			data := compressible(rng, size)
			packed := bytes.Clone(pack(data))
			what := fmt.Sprintf("%s, %d bytes as %d", name, size, len(packed))
			got, err := unpackAll(codec, packed, size)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s: error %v, the same %t", what, err, bytes.Equal(got, data))
			}
			for what, short := range map[string]func() ([]byte, error){
				"one byte less announced": func() ([]byte, error) { return unpackAll(codec, packed, size-1) },
				"one byte more announced": func() ([]byte, error) { return unpackAll(codec, packed, size+1) },
				"packed bytes that end":   func() ([]byte, error) { return unpackAll(codec, packed[:len(packed)*2/3], size) },
			} {
				if _, err := short(); err == nil {
					t.Errorf("%s of %d bytes: %s: no error", name, size, what)
				}
			}
		}
	}
}

func packLZ4(b []byte) []byte {
	out := make([]byte, lz4.CompressBlockBound(len(b)))
	var c lz4.Compressor
	n, err := c.CompressBlock(b, out)
	if err != nil || n == 0 {
		panic("lz4 did not compress")
	}
	return out[:n]
}

func unpackAll(codec compress.Compression, packed []byte, size int) ([]byte, error) {
	var to unpackBuffer
	err := unpack(codec, &to, bufio.NewReader(bytes.NewReader(packed)), size)
	return to.Bytes(), err
}

// Snappy may copy from anywhere before; encoders do not from farther than 64 KiB, so that
// this block is made by hand.
func TestUnpackCopiesFromFarBack(t *testing.T) {
	literal := compressible(rand.New(rand.NewPCG(5, 6)), 2*windowBytes)
	want := append(bytes.Clone(literal), literal[10:10+64]...)
	want = append(want, want[len(want)-2*windowBytes-5:][:60]...)
	block := []byte{}
	for v := uint64(len(want)); ; v >>= 7 {
		if v < 0x80 {
			block = append(block, byte(v))
			break
		}
		block = append(block, byte(v)|0x80)
	}
	n := len(literal) - 1
	block = append(block, 62<<2, byte(n), byte(n>>8), byte(n>>16))
	block = append(block, literal...)
	for _, c := range [][2]int{{len(literal) - 10, 64}, {2*windowBytes + 5, 60}} {
		block = append(block, byte(c[1]-1)<<2|3, byte(c[0]), byte(c[0]>>8), byte(c[0]>>16), byte(c[0]>>24))
	}
	if theirs, err := snappy.Decode(nil, block); err != nil || !bytes.Equal(theirs, want) {
		t.Fatalf("the block is not what the library reads: %v", err)
	}
	if got, err := unpackAll(compress.Codecs.Snappy, block, len(want)); err != nil || !bytes.Equal(got, want) {
		t.Errorf("error %v, the same %t", err, bytes.Equal(got, want))
	}
	far := []byte{8, snappyLiteral, 'x', byte(6)<<2 | 2, 2, 0}
	if _, err := unpackAll(compress.Codecs.Snappy, far, 8); err == nil || !strings.Contains(err.Error(), "2 bytes before, where there are 1") {
		t.Errorf("a copy from before the first byte: %v", err)
	}
}

// FuzzUnpack compares codecs of our own with the library's on bytes that nobody packed.
func FuzzUnpack(f *testing.F) {
	data := compressible(rand.New(rand.NewPCG(7, 8)), 500)
	f.Add(snappy.Encode(nil, data), uint16(len(data)), true)
	f.Add(packLZ4(bytes.Repeat(data, 4)), uint16(4*len(data)), false)
	f.Fuzz(func(t *testing.T, packed []byte, size uint16, isSnappy bool) {
		codec := compress.Codecs.Lz4Raw
		if isSnappy {
			codec = compress.Codecs.Snappy
		}
		want := make([]byte, size)
		wantErr := decompress(codec, want, packed)
		got, err := unpackAll(codec, packed, int(size))
		if err == nil && wantErr == nil && !bytes.Equal(got, want) {
			t.Fatalf("%d other bytes", len(got))
		}
		if wantErr == nil && err != nil {
			t.Fatalf("the library reads it: %v", err)
		}
	})
}

// A page of texts that is long, and its dictionary, come through files; budgets do not
// count them.
func TestLongPages(t *testing.T) {
	const rows, size = 400, 10_000
	rng := rand.New(rand.NewPCG(9, 10))
	b := array.NewStringBuilder(memory.DefaultAllocator)
	defer b.Release()
	for i := range rows {
		if i%7 == 0 {
			b.AppendNull()
			continue
		}
		b.Append(strings.ToValidUTF8(string(compressible(rng, size/2)), "?") + strconv.Itoa(i))
	}
	column := b.NewArray()
	defer column.Release()
	batch := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: "t", Type: arrow.BinaryTypes.String, Nullable: true}}, nil), []arrow.Array{column}, rows)
	defer batch.Release()
	for _, codec := range []string{"none", "snappy", "zstd", "lz4", "gzip"} {
		path := write(t, format.WriteOptions{Compression: codec}, batch)
		r := open(t, path, format.ReadOptions{LongPageBytes: 32 << 10, ChunkBytes: 64 << 10, BudgetBytes: 1 << 20, Allocator: checked(t)})
		at := 0
		err := r.ReadSpan(t.Context(), 0, columnsOf(r), func(got arrow.RecordBatch) error {
			n := int(got.NumRows())
			want := array.NewSlice(column, int64(at), int64(at+n))
			defer want.Release()
			if !array.Equal(got.Column(0), want) {
				return errors.New("other values")
			}
			at += n
			return nil
		})
		if err != nil || at != rows {
			t.Errorf("%s: %d rows: %v", codec, at, err)
		}
	}
}

// Frames of zstd are whole where another decoder takes them, and pages of others are damaged.
func TestZstdFramesWithoutEnd(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	decoder, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	noise := make([]byte, 70)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	text := bytes.Repeat([]byte("some text, "), 30)
	cases := map[string][]byte{
		"frames of one block each":    slices.Concat(appendStored(nil, noise), appendStored(nil, text)),
		"a frame of a repeated byte":  {0x28, 0xb5, 0x2f, 0xfd, 0x20, 50, 0x93, 1, 0, 'x'},
		"skippable frames around one": slices.Concat([]byte{0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3}, appendStored(nil, noise), []byte{0x5f, 0x2a, 0x4d, 0x18, 0, 0, 0, 0}),
	}
	for name, opts := range map[string][]zstd.EOption{
		"with a checksum": {zstd.WithEncoderCRC(true)}, "without": {zstd.WithEncoderCRC(false)},
		"with a window": {zstd.WithEncoderCRC(true), zstd.WithSingleSegment(false), zstd.WithWindowSize(1 << 10)}, "in one segment": {zstd.WithSingleSegment(true)},
	} {
		encoder, err := zstd.NewWriter(nil, opts...)
		if err != nil {
			t.Fatal(err)
		}
		cases[name] = encoder.EncodeAll(bytes.Repeat(slices.Concat(noise, text), 5), nil)
	}
	for name, packed := range cases {
		for n := 1; n <= len(packed); n++ {
			want, err := decoder.DecodeAll(packed[:n], nil)
			var to unpackBuffer
			for _, from := range []io.Reader{bytes.NewReader(packed[:n]), iotest.OneByteReader(bytes.NewReader(packed[:n]))} {
				to.Reset()
				ours := unpack(compress.Codecs.Zstd, &to, bufio.NewReader(from), len(want))
				if (ours == nil) != (err == nil) || err == nil && !bytes.Equal(to.Bytes(), want) {
					t.Errorf("%s, %d of %d bytes: unpack = %v; another decoder says %v", name, n, len(packed), ours, err)
				}
			}
		}
	}
}
