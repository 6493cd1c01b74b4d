package parquetfile

import (
	"bytes"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/schema"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/io/format"
)

// twosComplement is an integer in size bytes, big endian; ok is false where it does not fit.
func twosComplement(v *big.Int, size int) (b []byte, ok bool) {
	bits := uint(8 * size)
	if v.Sign() >= 0 && v.BitLen() >= int(bits) || v.Sign() < 0 && new(big.Int).Not(v).BitLen() >= int(bits) {
		return nil, false
	}
	if v.Sign() < 0 {
		v = new(big.Int).Add(v, new(big.Int).Lsh(big.NewInt(1), bits))
	}
	return v.FillBytes(make([]byte, size)), true
}

// Integers of every width become those of 16 and 32 bytes that math/big says, or an error
// where they are too large.
func TestPropertyDecimals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.OneOf(rapid.IntRange(1, 18), rapid.IntRange(1, 40)).Draw(t, "from")
		width := rapid.SampledFrom([]int{16, 32}).Draw(t, "width")
		src, want := make([]byte, 0, 5*from), make([]byte, 0, 5*width)
		fits := true
		for range rapid.IntRange(1, 5).Draw(t, "values") {
			raw := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 0, 1, 0x7f, 0x80, 0xff, 0xff, 0x5a}), from, from).Draw(t, "bytes")
			for i := range rapid.IntRange(0, from).Draw(t, "sign bytes") {
				raw[i] = byte(int8(raw[from-1]) >> 7)
			}
			v := new(big.Int).SetBytes(raw)
			if raw[0] >= 0x80 {
				v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*from)))
			}
			wide, ok := twosComplement(v, width)
			fits = fits && ok
			slices.Reverse(wide)
			src, want = append(src, raw...), append(want, wide...)
		}
		out := make([]byte, len(src)/from*width)
		err := decimals(out, width, src, from, parquet.Types.FixedLenByteArray)
		if (err == nil) != fits || fits && !bytes.Equal(out, want) {
			t.Fatalf("decimals(%x) of %d bytes in %d = %x, %v; want %x", src, from, width, out, err, want)
		}
	})
}

// writeByteArrays writes a file of one nullable column of decimals of any length, which no Arrow
// writer makes, nil values as nulls.
func writeByteArrays(t *testing.T, precision int32, values [][]byte, props ...parquet.WriterProperty) string {
	t.Helper()
	node, err := schema.NewPrimitiveNodeLogical("x", parquet.Repetitions.Optional, schema.NewDecimalLogicalType(precision, 2), parquet.Types.ByteArray, -1, -1)
	if err != nil {
		t.Fatal(err)
	}
	root, err := schema.NewGroupNode("schema", parquet.Repetitions.Required, schema.FieldList{node}, -1)
	if err != nil {
		t.Fatal(err)
	}
	var dense []parquet.ByteArray
	levels := make([]int16, len(values))
	for i, v := range values {
		if v != nil {
			levels[i], dense = 1, append(dense, v)
		}
	}
	var out bytes.Buffer
	w := file.NewParquetWriter(&out, root, file.WithWriterProps(parquet.NewWriterProperties(props...)))
	group, err := w.AppendRowGroupChecked()
	if err != nil {
		t.Fatal(err)
	}
	chunk, err := group.NextColumn()
	if err != nil {
		t.Fatal(err)
	}
	_, err = chunk.(*file.ByteArrayColumnChunkWriter).WriteBatch(dense, levels, nil)
	if err := errors.Join(err, chunk.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "f.parquet")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Decimals of any length, in every encoding, have the values that their bytes say; one that is
// too long for its type is damage.
func TestDecimalsOfAnyLength(t *testing.T) {
	rng := splitmix(4)
	values, want := make([][]byte, 3000), make([]string, 3000)
	for i := range values {
		raw := make([]byte, 1+rng.next()%18)
		for j := range raw {
			raw[j] = byte(rng.next())
		}
		sign := byte(int8(raw[min(2, len(raw)-1)]) >> 7)
		for j := range max(len(raw)-15, 0) { // so that 16 bytes have room for it
			raw[j] = sign
		}
		v := new(big.Int).SetBytes(raw)
		if raw[0] >= 0x80 {
			v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(raw))))
		}
		values[i], want[i] = raw, v.String()
		switch i % 11 {
		case 3:
			values[i], want[i] = nil, "null"
		case 7:
			values[i], want[i] = []byte{}, "0"
		}
	}
	e := parquet.Encodings
	for _, props := range [][]parquet.WriterProperty{
		{parquet.WithDictionaryDefault(true)},
		{parquet.WithDictionaryDefault(false)},
		{parquet.WithDictionaryDefault(false), parquet.WithEncoding(e.DeltaByteArray), parquet.WithDataPageVersion(parquet.DataPageV2)},
		{parquet.WithDictionaryDefault(false), parquet.WithEncoding(e.DeltaLengthByteArray)},
	} {
		for precision, width := range map[int32]int{38: 16, 60: 32} {
			path := writeByteArrays(t, precision, values, append(props, parquet.WithDataPageSize(1000))...)
			got, rows, err := readAll(open(t, path, format.ReadOptions{ChunkRows: 170}), []int{0}, 170, checked(t))
			if err != nil || rows != int64(len(values)) {
				t.Fatalf("%d rows, %v", rows, err)
			}
			if is := decimalBytes(got[0].DataType()); is != width {
				t.Errorf("%s: values of %d bytes; want %d", got[0].DataType(), is, width)
			}
			for i := range values {
				if v := unscaled(got[0], i); v != want[i] {
					t.Fatalf("%s, row %d: % x is read as %s; want %s", got[0].DataType(), i, values[i], v, want[i])
				}
			}
			release(got)
		}
	}
	long := slices.Concat(values[:10], [][]byte{append([]byte{1}, make([]byte, 16)...)})
	if _, _, err := readAll(open(t, writeByteArrays(t, 38, long), format.ReadOptions{}), []int{0}, 0, checked(t)); !errors.Is(err, format.ErrDamaged) {
		t.Errorf("decimal of 17 bytes: %v; want ErrDamaged", err)
	}
}

// unscaled is a decimal without its point.
func unscaled(a arrow.Array, i int) string {
	if a.IsNull(i) {
		return "null"
	}
	switch a := a.(type) {
	case *array.Decimal128:
		return a.Value(i).BigInt().String()
	case *array.Decimal256:
		return a.Value(i).BigInt().String()
	}
	return a.DataType().String()
}
