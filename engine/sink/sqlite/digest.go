package sqlite

import (
	"context"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"io"
	"math"

	sqlite3 "github.com/mattn/go-sqlite3"

	"github.com/millrace/millrace/engine/sink/embedded"
	"github.com/millrace/millrace/engine/sink/table"
)

// appendValue encodes a value for a digest. A whole number is the same whether it is kept
// as an INTEGER or as a REAL: a column's affinity decides.
func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case int64:
		return binary.LittleEndian.AppendUint64(append(b, 'i'), uint64(v))
	case bool:
		if v {
			return appendValue(b, int64(1))
		}
		return appendValue(b, int64(0))
	case float64:
		if n := int64(v); float64(n) == v && v != math.MaxInt64 && math.Abs(v) < 1<<53 {
			return appendValue(b, n)
		}
		return binary.LittleEndian.AppendUint64(append(b, 'r'), math.Float64bits(v))
	case string:
		return append(binary.LittleEndian.AppendUint64(append(b, 't'), uint64(len(v))), v...)
	case []byte:
		return append(binary.LittleEndian.AppendUint64(append(b, 'b'), uint64(len(v))), v...)
	}
	return append(b, 'n')
}

// Digest implements embedded.Session.
func (s *session) Digest(ctx context.Context, sql string, args ...any) (d table.Digest, err error) {
	rows, err := s.conn.QueryContext(ctx, sql, embedded.Named(args))
	if err != nil {
		return 0, s.Fault(err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	clear(rows.(*sqlite3.SQLiteRows).DeclTypes()) // values as they are stored, see package io/sqlite
	row := make([]driver.Value, len(rows.Columns()))
	var encoded []byte
	for {
		switch err := rows.Next(row); {
		case errors.Is(err, io.EOF):
			return d, nil
		case err != nil:
			return 0, s.Fault(err)
		}
		encoded = encoded[:0]
		for _, v := range row {
			encoded = appendValue(encoded, v)
		}
		d.Add(encoded)
	}
}
