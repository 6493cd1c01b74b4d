package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/parquetfile"
)

// madeRun is one run of an output made by a test.
type madeRun struct {
	run     string
	mode    Mode
	parts   int
	rejects int64
	set     func(m *Manifest) // before it is written
}

// runNumber names a run of day n.
func runNumber(n int) string { return fmt.Sprintf("202611%02dT020000Z-%06x", n, n) }

// madeOutput writes an output as its runs, oldest first, would leave it: a
// directory, or one file where its name ends in .parquet. Each part has 3 rows.
func madeOutput(tb testing.TB, output string, runs ...madeRun) {
	tb.Helper()
	single := filepath.Ext(output) == ".parquet"
	folder, side := output, "_millrace"
	if single {
		folder, side = filepath.Dir(output), sideName(filepath.Base(output))
	}
	inputs := filepath.Join(filepath.Dir(output), "inputs")
	model := put(tb, filepath.Join(inputs, "m.onnx"), []byte("a model"))
	var parent *Parent
	for i, r := range runs {
		m := &Manifest{
			Run: r.run, Parent: parent, Mode: r.mode, By: Starter{User: "batch", Host: "n1", Starts: 1},
			Started: day(tb, r.run), Finished: day(tb, r.run).Add(90 * time.Second),
			Model: ModelFile{Path: filepath.Join(inputs, "m.onnx"), SHA256: model.SHA256, Bytes: model.Bytes},
		}
		live := true
		for _, later := range runs[i+1:] {
			live = live && later.mode == ModeAppend
		}
		for part := range r.parts {
			name := fmt.Sprintf("part-%05d.parquet", part)
			switch {
			case single:
				name = filepath.Base(output)
			case r.mode == ModeAppend:
				name = filepath.Join("run-"+r.run, name)
			}
			out := put(tb, filepath.Join(folder, name), parquetOf(tb, 3, 100*i+10*part))
			out.Name, out.Rows = name, 3
			if !live {
				if err := os.Remove(filepath.Join(folder, name)); err != nil {
					tb.Fatal(err)
				}
			}
			m.Outputs = append(m.Outputs, out)
			m.Parts = append(m.Parts, Rows{Read: 3, Scored: 3})
		}
		if r.rejects > 0 {
			name := filepath.Join(side, r.run, rejectsName)
			out := put(tb, filepath.Join(folder, name), parquetOf(tb, 1, 77))
			out.Name, out.Rows = name, 1
			m.Rejects = &out
			m.Parts[0].Read, m.Parts[0].Rejected = 4, 1
		}
		for _, p := range m.Parts {
			m.Ledger = m.Ledger.Add(p)
		}
		in := put(tb, filepath.Join(inputs, r.run+".parquet"), []byte("rows of "+r.run))
		modified := day(tb, r.run).Add(-time.Hour)
		if err := os.Chtimes(filepath.Join(inputs, r.run+".parquet"), modified, modified); err != nil {
			tb.Fatal(err)
		}
		m.Inputs = []Input{{
			Path: filepath.Join(inputs, r.run+".parquet"), Format: "parquet", Bytes: in.Bytes, Rows: m.Ledger.Read,
			ModTime: modified, Digest: "sha256:" + in.SHA256, Ledger: m.Ledger,
		}}
		if r.set != nil {
			r.set(m)
		}
		data, err := m.Encode()
		if err != nil {
			tb.Fatal(err)
		}
		parent = &Parent{Run: r.run, SHA256: seal(tb, filepath.Join(folder, side, r.run), data)}
	}
	if !single {
		put(tb, filepath.Join(folder, successName), nil)
	}
}

// seal writes a manifest and its digest beside it, which it returns.
func seal(tb testing.TB, dir string, manifest []byte) string {
	tb.Helper()
	digest := put(tb, filepath.Join(dir, manifestName), manifest).SHA256
	put(tb, filepath.Join(dir, sealName), []byte(digest+"  "+manifestName+"\n"))
	return digest
}

func day(tb testing.TB, run string) time.Time {
	tb.Helper()
	at, err := time.Parse(runIDTime, run[:len(runIDTime)])
	if err != nil {
		tb.Fatal(err)
	}
	return at
}

// put writes a file, and says what it wrote.
func put(tb testing.TB, path string, data []byte) Output {
	tb.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o666); err != nil {
		tb.Fatal(err)
	}
	digest := sha256.Sum256(data)
	return Output{Name: filepath.Base(path), SHA256: hex.EncodeToString(digest[:]), Bytes: int64(len(data))}
}

// parquetOf is a file of some rows with one int64 column that counts from first.
func parquetOf(tb testing.TB, rows, first int) []byte {
	tb.Helper()
	schema := arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.PrimitiveTypes.Int64}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for i := range rows {
		b.Field(0).(*array.Int64Builder).Append(int64(first + i))
	}
	record := b.NewRecordBatch()
	defer record.Release()
	var data bytes.Buffer
	w, err := parquetfile.NewWriter(&data, schema, format.WriteOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	if err := w.Write(record); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return data.Bytes()
}
