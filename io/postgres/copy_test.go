package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/millrace/millrace/io/postgres/pgtest"
)

// typeCase is values of a type as JSON, and what psql shows of them.
type typeCase struct {
	why    string
	from   arrow.DataType
	values string // a JSON array
	column string // the type of the column, as the server names it
	shown  string // by psql, a row each
}

var typeCases = []typeCase{
	{"truth", arrow.FixedWidthTypes.Boolean, `[true,false,null]`, "boolean", "t\nf\n\\N"},
	{"a byte", arrow.PrimitiveTypes.Int8, `[-128,127,null]`, "smallint", "-128\n127\n\\N"},
	{"16 bits", arrow.PrimitiveTypes.Int16, `[-32768,32767]`, "smallint", "-32768\n32767"},
	{"32 bits", arrow.PrimitiveTypes.Int32, `[-2147483648,2147483647]`, "integer", "-2147483648\n2147483647"},
	{"64 bits", arrow.PrimitiveTypes.Int64, `[-9223372036854775808,9223372036854775807]`, "bigint", "-9223372036854775808\n9223372036854775807"},
	{"a byte without sign", arrow.PrimitiveTypes.Uint8, `[0,255]`, "smallint", "0\n255"},
	{"16 bits without sign", arrow.PrimitiveTypes.Uint16, `[0,65535]`, "integer", "0\n65535"},
	{"32 bits without sign", arrow.PrimitiveTypes.Uint32, `[0,4294967295]`, "bigint", "0\n4294967295"},
	{"64 bits without sign are more than a bigint", arrow.PrimitiveTypes.Uint64, `[0,1,9999,10000,18446744073709551615,null]`, "numeric(20,0)", "0\n1\n9999\n10000\n18446744073709551615\n\\N"},
	{"half a float", arrow.FixedWidthTypes.Float16, `[0.5,-2]`, "real", "0.5\n-2"},
	{"a float", arrow.PrimitiveTypes.Float32, `[0.1,-3.4028235e38,null]`, "real", "0.1\n-3.4028235e+38\n\\N"},
	{"a double", arrow.PrimitiveTypes.Float64, `[0.1,5e-324]`, "double precision", "0.1\n5e-324"},
	{"decimals", &arrow.Decimal128Type{Precision: 10, Scale: 3}, `["0.001","-1234567.890","0","10000.000",null]`, "numeric(10,3)", "0.001\n-1234567.890\n0.000\n10000.000\n\\N"},
	{"decimals of nothing but a fraction", &arrow.Decimal128Type{Precision: 9, Scale: 9}, `["0.000000001","0.123456789"]`, "numeric(9,9)", "0.000000001\n0.123456789"},
	{"decimals of 256 bits", &arrow.Decimal256Type{Precision: 50, Scale: 1}, `["-1234567890123456789012345678901234567890123456789.5"]`, "numeric(50,1)", "-1234567890123456789012345678901234567890123456789.5"},
	{"text", arrow.BinaryTypes.String, `["","é|\"x",null]`, "text", "\né|\"x\n\\N"},
	{"large text", arrow.BinaryTypes.LargeString, `["x"]`, "text", "x"},
	{"views of text", arrow.BinaryTypes.StringView, `["a text that is longer than a view"]`, "text", "a text that is longer than a view"},
	{"bytes", arrow.BinaryTypes.Binary, `["AP8=",""]`, "bytea", `\x00ff` + "\n" + `\x`},
	{"bytes of one size", &arrow.FixedSizeBinaryType{ByteWidth: 2}, `["AP8="]`, "bytea", `\x00ff`},
	{"a date", arrow.FixedWidthTypes.Date32, `["1969-12-31","2026-11-28",null]`, "date", "1969-12-31\n2026-11-28\n\\N"},
	{"a date in milliseconds", arrow.FixedWidthTypes.Date64, `["1999-12-31"]`, "date", "1999-12-31"},
	{"a time of day in seconds", arrow.FixedWidthTypes.Time32s, `["17:05:01"]`, "time without time zone", "17:05:01"},
	{"a time of day in nanoseconds", arrow.FixedWidthTypes.Time64ns, `["17:05:01.000001"]`, "time without time zone", "17:05:01.000001"},
	{"a time without a zone", &arrow.TimestampType{Unit: arrow.Second}, `["1969-12-31 23:59:59","2026-11-28 03:00:00"]`, "timestamp without time zone", "1969-12-31 23:59:59\n2026-11-28 03:00:00"},
	{"a time in milliseconds", &arrow.TimestampType{Unit: arrow.Millisecond}, `["1999-12-31 23:59:59.999"]`, "timestamp without time zone", "1999-12-31 23:59:59.999"},
	{"a time in nanoseconds that are whole microseconds", &arrow.TimestampType{Unit: arrow.Nanosecond}, `["2026-11-28 03:00:00.000001"]`, "timestamp without time zone", "2026-11-28 03:00:00.000001"},
	{"a time in a zone is an instant", &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, `["2026-11-28T03:00:00.5Z"]`, "timestamp with time zone", "2026-11-28 03:00:00.5+00"},
	{"a span", arrow.FixedWidthTypes.Duration_s, `[90061,-1]`, "interval", "25:01:01\n-00:00:01"},
	{"a span of months", arrow.FixedWidthTypes.MonthInterval, `[{"months":14}]`, "interval", "1 year 2 mons"},
	{"a list", arrow.ListOf(arrow.PrimitiveTypes.Int32), `[[1,null,3],[],null]`, "integer[]", "{1,NULL,3}\n{}\n\\N"},
	{"a list of one size", arrow.FixedSizeListOf(2, arrow.PrimitiveTypes.Float32), `[[1,0.5],[2,3]]`, "real[]", "{1,0.5}\n{2,3}"},
	{"lists of one size within one another", arrow.FixedSizeListOf(2, arrow.FixedSizeListOf(3, arrow.PrimitiveTypes.Int8)), `[[[1,2,3],[4,5,6]],[[7,8,9],[0,1,2]]]`, "smallint[]", "{{1,2,3},{4,5,6}}\n{{7,8,9},{0,1,2}}"},
	{"a list of texts", arrow.ListOf(arrow.BinaryTypes.String), `[["a","b c"]]`, "text[]", `{a,"b c"}`},
	{"a dictionary is its values", &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}, `["x","y","x",null]`, "text", "x\ny\nx\n\\N"},
	{"nothing but nulls", arrow.Null, `[null,null]`, "text", "\\N\n\\N"},
}

// batchOf makes a batch of one column, twice as long as its values: the first half is cut
// off again, so that it has an offset.
func batchOf(t *testing.T, from arrow.DataType, values string) arrow.RecordBatch {
	t.Helper()
	twice := "[" + strings.Trim(values, "[]") + "," + strings.Trim(values, "[]") + "]"
	if strings.HasPrefix(values, "[[") || strings.HasSuffix(values, "]]") {
		twice = "[" + values[1:len(values)-1] + "," + values[1:len(values)-1] + "]"
	}
	a, _, err := array.FromJSON(memory.DefaultAllocator, from, strings.NewReader(twice))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Release()
	half := array.NewSlice(a, int64(a.Len()/2), int64(a.Len()))
	defer half.Release()
	return array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: "v", Type: from, Nullable: true}}, nil), []arrow.Array{half}, int64(half.Len()))
}

func connect(t *testing.T, s *pgtest.Server, table string) (*Target, *pgx.Conn) {
	t.Helper()
	target, err := ParseTarget(s.URI(table, ""))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := target.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return target, conn
}

// copyIn makes a table for a batch and copies it there.
func copyIn(t *testing.T, target *Target, conn *pgx.Conn, batch arrow.RecordBatch) (*Copy, error) {
	t.Helper()
	types, err := target.TypesOf(batch.Schema())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "CREATE TABLE "+target.Name()+target.Definition(ColumnsOf(batch.Schema(), types))); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "ALTER TABLE "+target.Name()+" ALTER millrace_run SET DEFAULT 'r'"); err != nil {
		t.Fatal(err)
	}
	c := target.NewCopy(t.Context(), conn.PgConn(), fmt.Sprintf("COPY %s (%s) FROM STDIN (FORMAT binary)", target.Name(), ColumnList(batch.Schema())), types)
	if err := c.Write(batch); err != nil {
		c.Abort()
		return c, err
	}
	return c, c.Close()
}

// TestTypes copies values of every type and has psql show them; then the server sends them
// back, and their digest is that of what was sent.
func TestTypes(t *testing.T) {
	s := pgtest.Start(t, "timezone='UTC'")
	for i, test := range typeCases {
		t.Run(test.why, func(t *testing.T) {
			table := fmt.Sprintf("t%d", i)
			target, conn := connect(t, s, table)
			batch := batchOf(t, test.from, test.values)
			defer batch.Release()
			c, err := copyIn(t, target, conn, batch)
			if err != nil {
				t.Fatal(err)
			}
			if got := s.Must(t, "SELECT v FROM "+table); got != test.shown {
				t.Errorf("psql shows %q; want %q", got, test.shown)
			}
			if got := s.Must(t, "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = '"+table+"'::regclass AND attname = 'v'"); got != test.column {
				t.Errorf("the column is %s; want %s", got, test.column)
			}
			back, err := target.ReadDigest(t.Context(), conn.PgConn(), "SELECT v FROM "+table)
			if err != nil {
				t.Fatal(err)
			}
			if back != (Account{Rows: c.Rows, Bytes: c.Bytes, Digest: c.Digest}) {
				t.Errorf("the server sends back %+v; sent were %d rows, %d bytes, %s", back, c.Rows, c.Bytes, c.Digest)
			}
			// The table that was made takes the schema that it was made for.
			found, err := target.Describe(t.Context(), conn, "public", table)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := target.Fit(found, batch.Schema()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestUUID(t *testing.T) {
	s := pgtest.Start(t)
	target, conn := connect(t, s, "u")
	b := extensions.NewUUIDBuilder(memory.DefaultAllocator)
	defer b.Release()
	if err := b.AppendValueFromString("01234567-89ab-cdef-0123-456789abcdef"); err != nil {
		t.Fatal(err)
	}
	a := b.NewArray()
	defer a.Release()
	batch := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: "v", Type: a.DataType()}}, nil), []arrow.Array{a}, 1)
	defer batch.Release()
	if _, err := copyIn(t, target, conn, batch); err != nil {
		t.Fatal(err)
	}
	if got := s.Must(t, "SELECT v FROM u"); got != "01234567-89ab-cdef-0123-456789abcdef" {
		t.Errorf("psql shows %s", got)
	}
}

// TestTextIntoUUID: a text that is a UUID as the server writes them is one in a column of them.
func TestTextIntoUUID(t *testing.T) {
	s := pgtest.Start(t)
	target, conn := connect(t, s, "u")
	batch := batchOf(t, arrow.BinaryTypes.String, `["01234567-89ab-cdef-0123-456789abcdef", null]`)
	defer batch.Release()
	s.Must(t, "CREATE TABLE u (v uuid, millrace_run text)")
	found, err := target.Describe(t.Context(), conn, "public", "u")
	if err != nil {
		t.Fatal(err)
	}
	types, err := target.Fit(found, batch.Schema())
	if err != nil {
		t.Fatal(err)
	}
	c := target.NewCopy(t.Context(), conn.PgConn(), "COPY u (v) FROM STDIN (FORMAT binary)", types)
	if err := errors.Join(c.Write(batch), c.Close()); err != nil {
		t.Fatal(err)
	}
	if got := s.Must(t, "SELECT v FROM u"); got != "01234567-89ab-cdef-0123-456789abcdef\n\\N" {
		t.Errorf("psql shows %q", got)
	}
	back, err := target.ReadDigest(t.Context(), conn.PgConn(), "SELECT v FROM u")
	if err != nil || back.Digest != c.Digest {
		t.Errorf("the digest of what the server has is %s, %v; sent was %s", back.Digest, err, c.Digest)
	}
}

// TestSpecialFloats: NaN and infinities are values like others.
func TestSpecialFloats(t *testing.T) {
	s := pgtest.Start(t)
	target, conn := connect(t, s, "f")
	b := array.NewFloat64Builder(memory.DefaultAllocator)
	defer b.Release()
	for _, text := range []string{"NaN", "+Inf", "-Inf", "-0"} {
		if err := b.AppendValueFromString(text); err != nil {
			t.Fatal(err)
		}
	}
	a := b.NewArray()
	defer a.Release()
	batch := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: "v", Type: a.DataType()}}, nil), []arrow.Array{a}, 4)
	defer batch.Release()
	if _, err := copyIn(t, target, conn, batch); err != nil {
		t.Fatal(err)
	}
	if got, want := s.Must(t, "SELECT v FROM f"), "NaN\nInfinity\n-Infinity\n-0"; got != want {
		t.Errorf("psql shows %q; want %q", got, want)
	}
}

// TestValuesRefused: what PostgreSQL cannot hold is an error that names column, row and why.
func TestValuesRefused(t *testing.T) {
	tests := []struct {
		why    string
		from   arrow.DataType
		to     Type // of no OID: that of a table that is made
		values string
		want   string
	}{
		{"a null where none may be", arrow.PrimitiveTypes.Int64, Type{OID: pgtype.Int8OID, NotNull: true}, `[7, null]`, `column "v": row 1, whose "v" is "(null)": value cannot be stored in PostgreSQL: the column is NOT NULL`},
		{"no UUID", arrow.BinaryTypes.String, Type{OID: pgtype.UUIDOID}, `["cat"]`, "it is no UUID"},
		{"one that would come back otherwise", arrow.BinaryTypes.String, Type{OID: pgtype.UUIDOID}, `["01234567-89AB-CDEF-0123-456789ABCDEF"]`, "it is no UUID as PostgreSQL writes them"},
		{"one of too many digits", arrow.BinaryTypes.String, Type{OID: pgtype.UUIDOID}, `["01234567-89ab-cdef-0123-456789abcdef0"]`, "it is no UUID"},
		{"a NUL in a text", arrow.BinaryTypes.String, Type{}, `["a","b\u0000c"]`, `column "v": row 1, whose "v" is "b\x00c": value cannot be stored in PostgreSQL: text has a NUL character`},
		{"a text that is too long", arrow.BinaryTypes.String, Type{OID: pgtype.VarcharOID, Length: 3}, `["äöü","four"]`, `column "v": row 1, whose "v" is "four": value cannot be stored in PostgreSQL: text has 4 characters, which is too long for character varying(3)`},
		{"blanks that the server would cut off", arrow.BinaryTypes.String, Type{OID: pgtype.VarcharOID, Length: 3}, `["abc "]`, `text has 4 characters`},
		{"an infinity where digits are counted", arrow.PrimitiveTypes.Float64, Type{OID: pgtype.NumericOID, Precision: 5}, `["-Inf"]`, "-Inf has no place in numeric(5,0)"},
		{"nanoseconds", &arrow.TimestampType{Unit: arrow.Nanosecond}, Type{}, `["2026-11-28 03:00:00.000000001"]`, "finer than a microsecond"},
		{"a time beyond the calendar", &arrow.TimestampType{Unit: arrow.Second}, Type{}, `[9223372036854775]`, "beyond PostgreSQL's calendar"},
		{"a date beyond it", arrow.FixedWidthTypes.Date32, Type{}, `[-2147483648]`, "beyond PostgreSQL's calendar"},
	}
	for _, test := range tests {
		t.Run(test.why, func(t *testing.T) {
			batch := batchOf(t, test.from, test.values)
			defer batch.Release()
			to := test.to
			if to.OID == 0 {
				var err error
				if to, err = TypeOf(test.from); err != nil {
					t.Fatal(err)
				}
			}
			c := &Copy{types: []Type{to}}
			err := c.Write(batch)
			if !errors.Is(err, ErrValue) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Write = %v; want %s", err, test.want)
			}
		})
	}
}

// TestNarrowerColumns: a column that is there takes the values that are the same in it, which
// the server then sends back as they were sent; others are refused by row.
func TestNarrowerColumns(t *testing.T) {
	s := pgtest.Start(t)
	s.Must(t, `CREATE TYPE "Mood" AS ENUM ('sad', 'it''s "ok"', ''); CREATE DOMAIN mood_of AS "Mood"`)
	number := &arrow.Decimal128Type{Precision: 12, Scale: 3}
	for i, test := range []struct {
		from          arrow.DataType
		column        string
		values, shown string
		bad, why      string
	}{
		{arrow.PrimitiveTypes.Int64, "smallint", `[-32768,32767,null]`, "-32768\n32767\n\\N", `[1,32768]`, "32768 has no place in smallint"},
		{arrow.PrimitiveTypes.Int64, "integer", `[-2147483648,2147483647]`, "-2147483648\n2147483647", `[-2147483649]`, "-2147483649 has no place in integer"},
		{arrow.PrimitiveTypes.Int32, "smallint", `[7]`, "7", `[70000]`, "70000 has no place in smallint"},
		{arrow.PrimitiveTypes.Uint32, "integer", `[0,2147483647]`, "0\n2147483647", `[2147483648]`, "2147483648 has no place in integer"},
		{arrow.PrimitiveTypes.Uint64, "bigint", `[0,9223372036854775807]`, "0\n9223372036854775807", `[9223372036854775808]`, "9223372036854775808 has no place in bigint"},
		{arrow.PrimitiveTypes.Int64, "double precision", `[9007199254740992,-9223372036854775808]`, "9.007199254740992e+15\n-9.223372036854776e+18", `[9007199254740993]`, "9007199254740993 has no place in double precision"},
		{arrow.PrimitiveTypes.Int64, "double precision", `[0]`, "0", `[9223372036854775807]`, "9223372036854775807 has no place"},
		{arrow.PrimitiveTypes.Int32, "real", `[16777216]`, "1.6777216e+07", `[16777217]`, "16777217 has no place in real"},
		{arrow.PrimitiveTypes.Int64, "numeric(5,2)", `[-999,0]`, "-999.00\n0.00", `[1000]`, "1000 has no place in numeric(5,2)"},
		{arrow.PrimitiveTypes.Float64, "real", `[0.5,-0.1999969482421875]`, "0.5\n-0.19999695", `[0.5,0.1]`, "0.1 would be rounded in real"},
		{arrow.PrimitiveTypes.Float64, "real", `[3.4028234663852886e38]`, "3.4028235e+38", `[3.5e38]`, "would be rounded in real"},
		{arrow.PrimitiveTypes.Float64, "numeric(10,6)", `[0.5,-1234.567891,0,9999.999999,1e-6]`, "0.500000\n-1234.567891\n0.000000\n9999.999999\n0.000001", `[0.1234567]`, "0.1234567 has no place in numeric(10,6) without being rounded: ALTER the column's type to numeric"},
		{arrow.PrimitiveTypes.Float64, "numeric(10,6)", `[1]`, "1.000000", `[10000]`, "10000 has no place in numeric(10,6)"},
		{arrow.PrimitiveTypes.Float32, "numeric(8,3)", `[0.1,-0.125,null]`, "0.100\n-0.125\n\\N", `[0.0001]`, "0.0001 has no place in numeric(8,3)"},
		{arrow.FixedWidthTypes.Float16, "numeric(8,3)", `[0.5]`, "0.500", `[0.0625]`, "0.0625 has no place"},
		{arrow.PrimitiveTypes.Float64, "numeric(3,-2)", `[12300,-100]`, "12300\n-100", `[12340]`, "12340 has no place in numeric(3,-2)"},
		{arrow.PrimitiveTypes.Float64, "numeric(3,5)", `[0.00123]`, "0.00123", `[0.01]`, "0.01 has no place in numeric(3,5)"},
		{arrow.PrimitiveTypes.Int64, "numeric(20,-2)", `[12300]`, "12300", `[123]`, "123 has no place in numeric(20,-2)"},
		{arrow.BinaryTypes.String, "char(3)", `["äöü","a","","ab   ",null]`, "äöü\na  \n   \nab \n\\N", `["four"]`, "text has 4 characters, which is too long for character(3)"},
		{arrow.BinaryTypes.String, "char", `["x"]`, "x", `["xy "]`, "text has 2 characters, which is too long for character(1)"},
		{number, "numeric(6,1)", `["12345.500","-0.100"]`, "12345.5\n-0.1", `["0.125"]`, "0.125 has no place in numeric(6,1)"},
		{number, "numeric(6,1)", `["0"]`, "0.0", `["100000.000"]`, "has no place in numeric(6,1)"},
		{number, "integer", `["7.000",null]`, "7\n\\N", `["7.500"]`, "has no place in integer"},
		{&arrow.Decimal256Type{Precision: 50, Scale: 0}, "bigint", `["9223372036854775807"]`, "9223372036854775807", `["9223372036854775808"]`, "has no place in bigint"},
		{arrow.BinaryTypes.String, `"Mood"`, `["sad","it's \"ok\"","",null]`, "sad\nit's \"ok\"\n\n\\N", `["happy"]`, `"happy" is no value of public."Mood": ALTER TYPE public."Mood" ADD VALUE`},
		{&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}, "mood_of", `["sad","sad"]`, "sad\nsad", `["SAD"]`, `"SAD" is no value`},
	} {
		t.Run(test.from.String()+" in "+test.column, func(t *testing.T) {
			table := fmt.Sprintf("n%d", i)
			target, conn := connect(t, s, table)
			s.Must(t, "CREATE TABLE "+table+" (v "+test.column+", millrace_run text)")
			found, err := target.Describe(t.Context(), conn, "public", table)
			if err != nil {
				t.Fatal(err)
			}
			batch := batchOf(t, test.from, test.values)
			defer batch.Release()
			types, err := target.Fit(found, batch.Schema())
			if err != nil {
				t.Fatal(err)
			}
			c := target.NewCopy(t.Context(), conn.PgConn(), "COPY "+table+" (v) FROM STDIN (FORMAT binary)", types)
			if err := errors.Join(c.Write(batch), c.Close()); err != nil {
				t.Fatal(err)
			}
			if got := s.Must(t, "SELECT v FROM "+table); got != test.shown {
				t.Errorf("psql shows %q; want %q", got, test.shown)
			}
			back, err := target.ReadDigest(t.Context(), conn.PgConn(), "SELECT v FROM "+table)
			if err != nil || back.Digest != c.Digest {
				t.Errorf("the digest of what the server has is %s, %v; sent was %s", back.Digest, err, c.Digest)
			}
			bad := batchOf(t, test.from, test.bad)
			defer bad.Release()
			if err := (&Copy{types: types}).Write(bad); !errors.Is(err, ErrValue) || !strings.Contains(err.Error(), test.why) {
				t.Errorf("Write = %v; want that %s", err, test.why)
			}
		})
	}
}

// fill makes rows of a batch of one column in a table that is there.
func fill(t *testing.T, target *Target, conn *pgx.Conn, batch arrow.RecordBatch) *Copy {
	t.Helper()
	found, err := target.Describe(t.Context(), conn, "public", target.Table)
	if err != nil {
		t.Fatal(err)
	}
	types, err := target.Fit(found, batch.Schema())
	if err != nil {
		t.Fatal(err)
	}
	c := target.NewCopy(t.Context(), conn.PgConn(), "COPY "+pgx.Identifier{target.Table}.Sanitize()+" (v) FROM STDIN (FORMAT binary)", types)
	if err := errors.Join(c.Write(batch), c.Close()); err != nil {
		t.Fatal(err)
	}
	return c
}

// sentBack compares the digest of what was sent with that of what the server has.
func sentBack(t *testing.T, target *Target, conn *pgx.Conn, sent *Copy) {
	t.Helper()
	back, err := target.ReadDigest(t.Context(), conn.PgConn(), "SELECT v FROM "+pgx.Identifier{target.Table}.Sanitize())
	if err != nil || back.Digest != sent.Digest {
		t.Errorf("the digest of what the server has is %s, %v; sent was %s", back.Digest, err, sent.Digest)
	}
}

// TestFloatsIntoNumeric: a float is in numeric what the server's own COPY makes of its shortest
// text, and reads back as the same float.
func TestFloatsIntoNumeric(t *testing.T) {
	s := pgtest.Start(t)
	random := rand.New(rand.NewPCG(1, 2))
	values := []float64{0, math.Copysign(0, -1), 1, 0.1, 0.5, 9999, 10000, 10001, 0.0001, 0.00012345, 123456.789, math.NaN(), math.Inf(1), math.Inf(-1), 5e-324, math.MaxFloat64, math.SmallestNonzeroFloat32, math.MaxFloat32}
	for len(values) < 1500 {
		values = append(values, math.Float64frombits(random.Uint64()), float64(math.Float32frombits(random.Uint32())), random.NormFloat64())
	}
	for _, test := range []struct {
		from arrow.DataType
		as   string
		bits int
	}{{arrow.PrimitiveTypes.Float64, "double precision", 64}, {arrow.PrimitiveTypes.Float32, "real", 32}} {
		t.Run(test.from.String(), func(t *testing.T) {
			target, conn := connect(t, s, test.from.String())
			b := array.NewBuilder(memory.DefaultAllocator, test.from)
			defer b.Release()
			var lines strings.Builder
			for _, v := range values {
				if test.bits == 32 {
					v = float64(float32(v))
				}
				text := strconv.FormatFloat(v, 'g', -1, test.bits)
				if err := b.AppendValueFromString(text); err != nil {
					t.Fatal(err)
				}
				lines.WriteString(text + "\t" + text + "\n")
			}
			s.Must(t, "DROP TABLE IF EXISTS copied; CREATE TABLE copied (n serial, v numeric, f "+test.as+"); CREATE TABLE "+target.Table+" (n serial, v numeric, millrace_run text);\nCOPY copied (v, f) FROM STDIN;\n"+lines.String()+"\\.\n")
			a := b.NewArray()
			defer a.Release()
			batch := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: "v", Type: test.from}}, nil), []arrow.Array{a}, int64(a.Len()))
			defer batch.Release()
			c := fill(t, target, conn, batch)
			differs := "(c.v::text <> o.v::text OR o.v::" + test.as + " <> c.f)"
			if got := s.Must(t, "SELECT count(*), count(*) FILTER (WHERE "+differs+"), min(c.f::text || ' is ' || o.v::text) FILTER (WHERE "+differs+") FROM copied c JOIN "+target.Table+" o USING (n)"); got != fmt.Sprintf("%d|0|\\N", len(values)) {
				t.Errorf("rows, those that are not what COPY made, and one: %s", got)
			}
			sentBack(t, target, conn, c)
		})
	}
}

// TestTextsIntoChar: a text is in char(n) what the server's own COPY makes of it.
func TestTextsIntoChar(t *testing.T) {
	s := pgtest.Start(t)
	for i, column := range []string{"char(3)", "bpchar", "char(3)[]"} {
		from := arrow.DataType(arrow.BinaryTypes.String)
		values, lines := `["", " ", "a", "ä  ", "abc", "abc    "]`, "\n \na\nä  \nabc\nabc    \n"
		if column == "char(3)[]" {
			from, values, lines = arrow.ListOf(from), `[["", "a"], ["abc   ", null]]`, "{\"\",a}\n{\"abc   \",NULL}\n"
		}
		t.Run(column, func(t *testing.T) {
			target, conn := connect(t, s, fmt.Sprintf("c%d", i))
			s.Must(t, fmt.Sprintf("CREATE TABLE %s (v %s, millrace_run text); CREATE TABLE copied%[1]s (v %[2]s);\nCOPY copied%[1]s FROM STDIN;\n%[3]s\\.\n", target.Table, column, lines))
			batch := batchOf(t, from, values)
			defer batch.Release()
			c := fill(t, target, conn, batch)
			const shown = "SELECT v, length(textsend(format('%%s', v))) FROM "
			if mine, want := s.Must(t, shown+target.Table), s.Must(t, shown+"copied"+target.Table); mine != want {
				t.Errorf("the table has %q; the server's COPY makes %q", mine, want)
			}
			sentBack(t, target, conn, c)
		})
	}
}
