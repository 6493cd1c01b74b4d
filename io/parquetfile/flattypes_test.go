package parquetfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace/io/format"
)

// flatTypes are those of a fixed width that a flatFile converts or that are no numbers, with what
// pyarrow reads them as and how they are stored.
var flatTypes = []struct {
	typ          arrow.DataType
	read, stored string
}{
	{&arrow.Decimal32Type{Precision: 9, Scale: 2}, "decimal128(9, 2)", "INT32+DELTA_BINARY_PACKED"},
	{&arrow.Decimal64Type{Precision: 7, Scale: 7}, "decimal128(7, 7)", "INT32+DELTA_BINARY_PACKED"},
	{&arrow.Decimal64Type{Precision: 18, Scale: 0}, "decimal128(18, 0)", "INT64+DELTA_BINARY_PACKED"},
	{&arrow.Decimal128Type{Precision: 1, Scale: 0}, "decimal128(1, 0)", "INT32+DELTA_BINARY_PACKED"},
	{&arrow.Decimal128Type{Precision: 9, Scale: 4}, "decimal128(9, 4)", "INT32+DELTA_BINARY_PACKED"},
	{&arrow.Decimal128Type{Precision: 10, Scale: 2}, "decimal128(10, 2)", "INT64+DELTA_BINARY_PACKED"},
	{&arrow.Decimal128Type{Precision: 18, Scale: 4}, "decimal128(18, 4)", "INT64+DELTA_BINARY_PACKED"},
	{&arrow.Decimal128Type{Precision: 19, Scale: 4}, "decimal128(19, 4)", "FIXED_LEN_BYTE_ARRAY+PLAIN"},
	{&arrow.Decimal128Type{Precision: 22, Scale: 10}, "decimal128(22, 10)", "FIXED_LEN_BYTE_ARRAY+PLAIN"},
	{&arrow.Decimal128Type{Precision: 38, Scale: 10}, "decimal128(38, 10)", "FIXED_LEN_BYTE_ARRAY+PLAIN"},
	{&arrow.Decimal256Type{Precision: 8, Scale: 1}, "decimal256(8, 1)", "INT32+DELTA_BINARY_PACKED"},
	{&arrow.Decimal256Type{Precision: 17, Scale: 1}, "decimal256(17, 1)", "INT64+DELTA_BINARY_PACKED"},
	{&arrow.Decimal256Type{Precision: 30, Scale: 5}, "decimal256(30, 5)", "FIXED_LEN_BYTE_ARRAY+PLAIN"},
	{&arrow.Decimal256Type{Precision: 76, Scale: 40}, "decimal256(76, 40)", "FIXED_LEN_BYTE_ARRAY+PLAIN"},
	{arrow.FixedWidthTypes.Date64, "date32[day]", "INT32+DELTA_BINARY_PACKED"},
	{arrow.FixedWidthTypes.Time32s, "time32[ms]", "INT32+DELTA_BINARY_PACKED"},
	{&arrow.TimestampType{Unit: arrow.Second}, "timestamp[ms]", "INT64+DELTA_BINARY_PACKED"},
	{&arrow.TimestampType{Unit: arrow.Second, TimeZone: "Europe/Berlin"}, "timestamp[ms, tz=Europe/Berlin]", "INT64+DELTA_BINARY_PACKED"},
	{arrow.FixedWidthTypes.Float16, "halffloat", "FIXED_LEN_BYTE_ARRAY+PLAIN"},
	{&arrow.FixedSizeBinaryType{ByteWidth: 5}, "fixed_size_binary[5]", "FIXED_LEN_BYTE_ARRAY+PLAIN"},
	{extensions.NewUUIDType(), "extension<arrow.uuid>", "FIXED_LEN_BYTE_ARRAY+PLAIN"},
}

// flatValue is a value as Arrow has it, in as many bytes as its type has.
func flatValue(t arrow.DataType, rng *splitmix) []byte {
	integer := func(v int64) []byte { return binary.LittleEndian.AppendUint64(nil, uint64(v)) }
	switch t := t.(type) {
	case arrow.DecimalType:
		most := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(t.GetPrecision())), nil)
		most.Sub(most, big.NewInt(1))
		v := []*big.Int{most, new(big.Int).Neg(most), {}, big.NewInt(-1), new(big.Int).SetUint64(rng.next()), big.NewInt(int64(rng.next()))}[rng.next()%6]
		for v.CmpAbs(most) > 0 {
			v.Rsh(v, 3)
		}
		b, _ := twosComplement(v, decimalBytes(t))
		slices.Reverse(b)
		return b
	case *arrow.TimestampType:
		return integer(int64(rng.next()%2e10) - 1e10)
	case *arrow.Date64Type:
		return integer((int64(rng.next()%4e5) - 2e5) * millisPerDay)
	case *arrow.Time32Type:
		return integer(int64(rng.next() % 86_400))[:4]
	}
	random := binary.LittleEndian.AppendUint64(integer(int64(rng.next())), rng.next())
	return random[:storageOf(t).(arrow.FixedWidthDataType).Bytes()]
}

func storageOf(t arrow.DataType) arrow.DataType {
	if ext, ok := t.(arrow.ExtensionType); ok {
		return ext.StorageType()
	}
	return t
}

// flatArray has rows from another offset than 0, with noise before them and below nulls.
func flatArray(t arrow.DataType, rows int, nulls string, rng *splitmix) arrow.Array {
	const offset = 3
	values := make([]byte, 0, 32*(offset+rows))
	validity, count := make([]byte, (offset+rows+7)/8), 0
	for i := range offset + rows {
		v := flatValue(t, rng)
		switch null := isNull(nulls, rng, i-offset); {
		case !null:
			validity[i/8] |= 1 << (i % 8)
		case i >= offset:
			count++
			fallthrough
		default:
			for j := range v {
				v[j] = byte(rng.next())
			}
		}
		values = append(values, v...)
	}
	data := array.NewData(t, rows, []*memory.Buffer{memory.NewBufferBytes(validity), memory.NewBufferBytes(values)}, nil, count, offset)
	defer data.Release()
	return array.MakeFromData(data)
}

// dictionaryOf is a dictionary of an array's values, nulls among them, with an index for each.
func dictionaryOf(arr arrow.Array) arrow.Array {
	indices := array.NewInt32Builder(memory.DefaultAllocator)
	defer indices.Release()
	for i := range arr.Len() {
		indices.Append(int32(i))
	}
	at := indices.NewArray()
	defer at.Release()
	return array.NewDictionaryArray(&arrow.DictionaryType{IndexType: at.DataType(), ValueType: arr.DataType()}, at, arr)
}

// pyarrow reads files of every type that a flatFile converts as they were written, and their
// statistics are its own; so does DuckDB where TEST_PYTHON has it.
func TestFlatTypesInPyarrow(t *testing.T) {
	if testing.Short() {
		t.Skip("a Python process")
	}
	const groupRows = 2000
	python, dir := pythonWithPyarrow(t), t.TempDir()
	rng := splitmix(8)
	want := make([]string, 0, 3*len(flatTypes)*(1+len(nullsOf)))
	for n, nulls := range append([]string{"required"}, nullsOf...) {
		for _, rows := range []int{0, 1, 4321} {
			name := fmt.Sprintf("%s-%d.parquet", nulls, rows)
			fields, arrays := make([]arrow.Field, 0, len(flatTypes)), make([]arrow.Array, 0, len(flatTypes))
			for i, c := range flatTypes {
				plain := flatArray(c.typ, rows, nulls, &rng)
				line := fmt.Sprintf("%s\t%d\t%s\t%d\t%s", name, i, c.read, plain.NullN(), checksum(plain))
				want = append(want, line+strings.Repeat("\t"+c.stored, (rows+groupRows-1)/groupRows))
				arr := plain
				if n%3 == 2 {
					arr = dictionaryOf(plain)
					plain.Release()
				}
				fields = append(fields, arrow.Field{Name: c.typ.String(), Type: arr.DataType(), Nullable: nulls != "required"})
				arrays = append(arrays, arr)
			}
			batch := array.NewRecordBatch(arrow.NewSchema(fields, nil), arrays, int64(rows))
			release(arrays)
			opts := format.WriteOptions{Compression: []string{"zstd", "none", "snappy", ""}[n%4], RowGroupRows: groupRows, Allocator: checked(t), Encoders: make(chan struct{}, 3)}
			if err := os.WriteFile(filepath.Join(dir, name), writeNumbers(t, opts, false, batch), 0o600); err != nil {
				t.Fatal(err)
			}
			batch.Release()
		}
	}
	cmd := exec.CommandContext(t.Context(), python, "testdata/flat_files.py", dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pyarrow's view, - ours, + pyarrow's:\n%s", diff[:min(len(diff), 4000)])
	}
	t.Logf("%d columns compared", len(got))
}

// Values that have no place in what they are stored as are errors, with column and row; below
// nulls they are nothing.
func TestFlatTypesWithoutPlace(t *testing.T) {
	for _, c := range []struct {
		typ   arrow.DataType
		value []byte // little endian, the last byte repeated
		want  string
	}{
		{&arrow.Decimal128Type{Precision: 9, Scale: 2}, []byte{0, 0, 0, 0x80, 0}, "more digits than decimal(9, 2)"},
		{&arrow.Decimal128Type{Precision: 12, Scale: 0}, []byte{0, 0, 0, 0, 0, 0, 0, 0x80, 0}, "more digits than decimal(12, 0)"},
		{&arrow.Decimal128Type{Precision: 19, Scale: 0}, []byte{0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0}, "more digits than decimal(19, 0)"},
		{&arrow.Decimal256Type{Precision: 4, Scale: 0}, []byte{0, 0, 0, 0, 0, 0, 0, 0, 1, 0}, "more digits than decimal256(4, 0)"},
		{&arrow.Decimal256Type{Precision: 39, Scale: 0}, []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0}, "more digits than decimal256(39, 0)"},
		{&arrow.Decimal64Type{Precision: 9, Scale: 0}, []byte{0, 0, 0, 0x80, 0}, "more digits than decimal64(9, 0)"},
		{&arrow.TimestampType{Unit: arrow.Second}, []byte{0, 0, 0, 0, 0, 0, 0, 0x40}, "beyond what timestamp[ms] can hold"},
		{arrow.FixedWidthTypes.Date64, []byte{0, 0, 0, 0, 0, 0x5c, 0x26, 5}, "beyond what date32 can hold"},
		{arrow.FixedWidthTypes.Date64, []byte{1, 0}, "1970-01-01T00:00:00.001 has a time of day"},
		{arrow.FixedWidthTypes.Time32s, []byte{0, 0, 0, 0x40}, "beyond what time32[ms] can hold"},
	} {
		width := c.typ.(arrow.FixedWidthDataType).Bytes()
		value := append(bytes.Clone(c.value), bytes.Repeat(c.value[len(c.value)-1:], width-len(c.value))...)
		for _, validity := range []byte{0b11, 0b01} {
			buffers := []*memory.Buffer{memory.NewBufferBytes([]byte{validity}), memory.NewBufferBytes(append(make([]byte, width), value...))}
			data := array.NewData(c.typ, 2, buffers, nil, array.UnknownNullCount, 0)
			arr := array.MakeFromData(data)
			batch := batchOf(arr, true)
			w, err := NewWriter(io.Discard, batch.Schema(), format.WriteOptions{Allocator: checked(t)})
			if err != nil {
				t.Fatal(err)
			}
			err = w.Write(batch)
			switch closed := w.Close(); {
			case validity == 0b01:
				if err = errors.Join(err, closed); err != nil {
					t.Errorf("%s, below a null: %v", c.typ, err)
				}
			case !errors.Is(err, format.ErrValue) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), `column "x": row 1 of 2`):
				t.Errorf("%s: %v; want an error with column, row and %q", c.typ, err, c.want)
			}
			batch.Release()
			arr.Release()
			data.Release()
		}
	}
}

// Values longer than pages are pages each.
func TestLongBytesOfFixedWidth(t *testing.T) {
	for _, width := range []int{mostBoundBytes + 1, pageBytes, 3 * pageBytes} {
		typ := &arrow.FixedSizeBinaryType{ByteWidth: width}
		b := array.NewFixedSizeBinaryBuilder(memory.DefaultAllocator, typ)
		for row := range 5 {
			if row == 2 {
				b.AppendNull()
			} else {
				b.Append(bytes.Repeat([]byte{byte('a' + row)}, width))
			}
		}
		arr := b.NewArray()
		b.Release()
		batch := batchOf(arr, true)
		table := libraryTable(t, openLibrary(t, writeNumbers(t, format.WriteOptions{Allocator: checked(t)}, false, batch)))
		if got := table.Column(0).Data().Chunk(0); checksum(got) != checksum(arr) {
			t.Errorf("values of %d bytes are not read as they were written", width)
		}
		table.Release()
		batch.Release()
		arr.Release()
	}
}
