//go:build duckdb && duckdb_arrow

package embedded_test

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink/duckdb"
	files "github.com/millrace/millrace/io/duckdb"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/query"
)

func init() { dialects = append(dialects, duckdb.Dialect{}) }

// TestFileOfAnotherVersion: a file that no DuckDB of ours reads is refused with both versions,
// as an input and as an output.
func TestFileOfAnotherVersion(t *testing.T) {
	each(t, func(t *testing.T, j job) {
		t.Helper()
		if j.dialect.Scheme() != "duckdb" {
			t.Skip("SQLite has one format")
		}
		if _, err := j.run(context.Background()); err != nil {
			t.Fatal(err)
		}
		file, err := os.ReadFile(j.path)
		if err != nil {
			t.Fatal(err)
		}
		binary.LittleEndian.PutUint64(file[12:], 69) // behind the checksum and DUCK
		const block = 4096
		sum := uint64(5381) // Checksum of DuckDB's checksum.cpp
		for at := 8; at < block; at += 8 {
			sum ^= binary.LittleEndian.Uint64(file[at:]) * 0xbf58476d1ce4e5b9
		}
		binary.LittleEndian.PutUint64(file, sum)
		if err := os.WriteFile(j.path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		const want = "version number 69, but we can only read versions between"
		_, err = j.run(context.Background())
		if !errors.Is(err, ledger.ErrOutput) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "This millrace has DuckDB v") || strings.Contains(err.Error(), "\n") {
			t.Errorf("run = %v; want both versions in a line", err)
		}
		_, err = files.Open(context.Background(), j.path, query.Spec{Table: "scores"})
		if !errors.Is(err, format.ErrUnsupported) || !strings.Contains(err.Error(), want) {
			t.Errorf("Open = %v; want both versions", err)
		}
	})
}
