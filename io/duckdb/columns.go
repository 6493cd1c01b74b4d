//go:build duckdb && duckdb_arrow

package duckdb

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	bindings "github.com/duckdb/duckdb-go-bindings"

	"github.com/millrace/millrace/io/query"
)

// column is one that a statement gives.
type column struct {
	name   string
	unread string // the type, or one within it, that is not read; empty where all are
}

// columnsOf lists a statement's.
func columnsOf(s bindings.PreparedStatement) []column {
	columns := make([]column, bindings.PreparedStatementColumnCount(s))
	for i := range columns {
		at := bindings.IdxT(i)
		columns[i] = column{bindings.PreparedStatementColumnName(s, at), unread(bindings.PreparedStatementColumnLogicalType(s, at))}
	}
	return columns
}

// allRead names the first column that is not.
func allRead(columns []column) error {
	if len(columns) == 0 {
		return fmt.Errorf("%w: it gives no columns", query.ErrQuery)
	}
	for _, c := range columns {
		if c.unread != "" {
			return fmt.Errorf("%w: column %q has the type %s, which is not read; cast it in the query, such as %s::VARCHAR", query.ErrQuery, c.name, c.unread, query.QuoteName(c.name))
		}
	}
	return nil
}

// notRead are types of which DuckDB's Arrow interface gives something else than the value:
// the time without its zone, the bytes as they are stored, half of the numbers negative.
var notRead = map[bindings.Type]string{
	bindings.TypeTimeTZ: "TIME WITH TIME ZONE", bindings.TypeBit: "BIT", bindings.TypeBigNum: "BIGNUM",
	bindings.TypeUHugeInt: "UHUGEINT", bindings.TypeGeometry: "GEOMETRY", bindings.TypeVariant: "VARIANT",
}

// unread finds a type that is not read in one, which it destroys.
func unread(t bindings.LogicalType) string {
	defer bindings.DestroyLogicalType(&t)
	switch id := bindings.GetTypeId(t); id {
	case bindings.TypeList:
		return unread(bindings.ListTypeChildType(t))
	case bindings.TypeArray:
		return unread(bindings.ArrayTypeChildType(t))
	case bindings.TypeMap:
		if name := unread(bindings.MapTypeKeyType(t)); name != "" {
			return name
		}
		return unread(bindings.MapTypeValueType(t))
	case bindings.TypeStruct:
		for i := range bindings.StructTypeChildCount(t) {
			if name := unread(bindings.StructTypeChildType(t, i)); name != "" {
				return name
			}
		}
		return ""
	case bindings.TypeUnion:
		for i := range bindings.UnionTypeMemberCount(t) {
			if name := unread(bindings.UnionTypeMemberType(t, i)); name != "" {
				return name
			}
		}
		return ""
	default:
		return notRead[id]
	}
}

var (
	errInfinite = errors.New("it is infinite, which no date or time of Arrow is; replace it in the query, such as by nullif")
	errMidnight = errors.New("it is 24:00:00, which no time of Arrow is; replace it in the query, such as by nullif")
	errHuge     = errors.New("it is a HUGEINT of more than 38 digits, which no decimal has; cast it in the query, such as to DOUBLE or VARCHAR")
)

// checkValues finds a value that Arrow's type has not, which DuckDB gives all the same:
// infinite dates and times, as the largest numbers; the end of a day, as a time of it; HUGEINT of
// 39 digits in a decimal of 38.
func checkValues(a arrow.Array) (row int, err error) {
	switch a := a.(type) {
	case *array.Date32:
		for i, v := range a.Date32Values() {
			if (v == math.MaxInt32 || v == -math.MaxInt32) && a.IsValid(i) {
				return i, errInfinite
			}
		}
	case *array.Timestamp:
		for i, v := range a.TimestampValues() {
			if (v == math.MaxInt64 || v == -math.MaxInt64) && a.IsValid(i) {
				return i, errInfinite
			}
		}
	case *array.Time64:
		day := arrow.Time64(24 * time.Hour / a.DataType().(*arrow.Time64Type).Unit.Multiplier())
		for i, v := range a.Time64Values() {
			if v >= day && a.IsValid(i) {
				return i, errMidnight
			}
		}
	case *array.Decimal128:
		precision := a.DataType().(*arrow.Decimal128Type).Precision
		for i, v := range a.Values() {
			if high := v.HighBits(); (high > safeHigh || high < -safeHigh) && a.IsValid(i) && !v.FitsInPrecision(precision) {
				return i, errHuge
			}
		}
	case *array.Struct:
		for i := range a.NumField() {
			if row, err := checkValues(a.Field(i)); err != nil {
				return row, err
			}
		}
	case array.ListLike:
		if row, err := checkValues(a.ListValues()); err != nil {
			return listOf(a, int64(row)), err
		}
	}
	return 0, nil
}

// safeHigh is less than the upper half of 10^38, and so of every decimal that may not fit.
const safeHigh = 1 << 62 / 10

// listOf is the row of a list that has a value.
func listOf(a array.ListLike, value int64) int {
	for i := range a.Len() {
		if from, to := a.ValueOffsets(i); from <= value && value < to && a.IsValid(i) {
			return i
		}
	}
	return 0
}
