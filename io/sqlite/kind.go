package sqlite

import (
	"database/sql/driver"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/io/query"
)

// kind is what the values of a column are.
type kind int

const (
	unknown kind = iota // nothing declares it, and there is no value yet
	integer
	numeric // numbers of SQLite's affinities REAL and NUMERIC
	text
	blob
	boolean
	date
	timestamp
	mixed // values of kinds that have none in common
)

// kindOf reads a declared type, in lower case, by SQLite's rules of affinity
// (sqlite.org/datatype3.html, 3.1), before which come the names that say more.
func kindOf(declared string) kind {
	name, _, _ := strings.Cut(declared, "(")
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(declared, w) {
				return true
			}
		}
		return false
	}
	switch strings.TrimSpace(name) {
	case "":
		return unknown
	case "any":
		return unknown
	case "bool", "boolean":
		return boolean
	case "date":
		return date
	case "datetime", "timestamp", "timestamptz", "timestamp with time zone", "timestamp without time zone":
		return timestamp
	case "time", "uuid", "json", "string":
		return text
	}
	switch {
	case has("int"):
		return integer
	case has("char", "clob", "text"):
		return text
	case has("blob"):
		return blob
	}
	return numeric
}

// with is the kind of a column that has this value too.
func (k kind) with(v driver.Value) kind {
	found := mixed
	switch v.(type) {
	case nil:
		return k
	case int64:
		found = integer
	case float64:
		found = numeric
	case string:
		found = text
	case []byte:
		found = blob
	}
	switch {
	case k == unknown || k == found:
		return found
	case k == integer && found == numeric, k == numeric && found == integer:
		return numeric
	}
	return mixed
}

// settled is the kind to read a column as that was seen to be k.
func (k kind) settled() kind {
	switch k {
	case unknown: // nulls alone: most often of numbers, and any null will do
		return numeric
	case mixed: // the first value that does not fit will be named
		return text
	}
	return k
}

func (k kind) arrow() arrow.DataType {
	switch k {
	case integer:
		return arrow.PrimitiveTypes.Int64
	case numeric:
		return arrow.PrimitiveTypes.Float64
	case blob:
		return arrow.BinaryTypes.Binary
	case boolean:
		return arrow.FixedWidthTypes.Boolean
	case date:
		return arrow.FixedWidthTypes.Date32
	case timestamp:
		return &arrow.TimestampType{Unit: arrow.Microsecond}
	}
	return arrow.BinaryTypes.String
}

// String names the kind as messages do.
func (k kind) String() string {
	return map[kind]string{
		integer: "an INTEGER", numeric: "a number", text: "a TEXT", blob: "a BLOB",
		boolean: "a BOOLEAN (0 or 1)", date: "a DATE (a text such as 2026-11-28)", timestamp: "a time (a text such as 2026-11-28 03:00:00)",
	}[k]
}

// appender appends a value that is not nil, or says why it cannot.
type appender func(driver.Value) error

func (k kind) appender(b array.Builder) appender {
	switch b := b.(type) {
	case *array.Int64Builder:
		return func(v driver.Value) error {
			n, ok := v.(int64)
			if !ok {
				return k.refuse(v)
			}
			b.Append(n)
			return nil
		}
	case *array.Float64Builder:
		return func(v driver.Value) error {
			f, ok := v.(float64)
			if n, whole := v.(int64); whole {
				if f, ok = float64(n), exact(n); !ok {
					return fmt.Errorf("%d is no float64: declare the column INTEGER, or round it in the query", n)
				}
			}
			if !ok {
				return k.refuse(v)
			}
			b.Append(f)
			return nil
		}
	case *array.BooleanBuilder:
		return func(v driver.Value) error {
			n, ok := v.(int64)
			if !ok || n != 0 && n != 1 {
				return k.refuse(v)
			}
			b.Append(n == 1)
			return nil
		}
	case *array.BinaryBuilder:
		return func(v driver.Value) error {
			bytes, ok := v.([]byte)
			if !ok {
				return k.refuse(v)
			}
			b.Append(bytes)
			return nil
		}
	case *array.StringBuilder:
		return func(v driver.Value) error {
			s, ok := v.(string)
			switch {
			case !ok:
				return k.refuse(v)
			case !utf8.ValidString(s):
				return fmt.Errorf("TEXT %s is not UTF-8", query.Shorten(s))
			}
			b.Append(s)
			return nil
		}
	case *array.Date32Builder:
		return func(v driver.Value) error {
			d, ok := parseDate(v)
			if !ok {
				return k.refuse(v)
			}
			b.Append(d)
			return nil
		}
	}
	times := b.(*array.TimestampBuilder)
	return func(v driver.Value) error {
		t, ok := parseTime(v)
		if !ok {
			return k.refuse(v)
		}
		times.Append(t)
		return nil
	}
}

// exact says whether a float64 has the value of an integer.
func exact(n int64) bool {
	f := float64(n)
	return f < math.MaxInt64 && int64(f) == n
}

// refuse says what a value is, and what it should be.
func (k kind) refuse(v driver.Value) error {
	is := ""
	switch v := v.(type) {
	case int64:
		is = fmt.Sprintf("INTEGER %d", v)
	case float64:
		is = fmt.Sprintf("REAL %g", v)
	case string:
		is = "TEXT " + query.Shorten(v)
	case []byte:
		is = fmt.Sprintf("a BLOB of %d bytes", len(v))
	}
	return fmt.Errorf("%s is not %s; convert it in a query, such as by CAST", is, k)
}
