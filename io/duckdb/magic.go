package duckdb

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/millrace/millrace/io/format"
)

// IsDatabase returns an error that wraps format.ErrDamaged unless a file begins as DuckDB's
// do: DuckDB itself takes files of other formats, by their names, for tables of a database
// that is only in memory.
func IsDatabase(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	// A checksum of 8 bytes comes first (duckdb.org/docs/internals/storage).
	head := make([]byte, 12)
	if _, err := io.ReadFull(f, head); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	if string(head[8:]) != "DUCK" {
		return fmt.Errorf("%w: %s is no DuckDB database file", format.ErrDamaged, path)
	}
	return nil
}
