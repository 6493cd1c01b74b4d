//go:build duckdb && duckdb_arrow

package duckdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	bindings "github.com/duckdb/duckdb-go-bindings"

	"github.com/millrace/millrace/internal/tempfolder"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/query"
	"github.com/millrace/millrace/io/spool"
)

// What DuckDB may take of memory for a sort or a join, before it spills to TMPDIR: so much,
// and so much for each thread.
const (
	memoryBytes = 512 << 20
	threadBytes = 64 << 20
)

// connection is one to a file. It goes by the library's own functions: the driver for
// database/sql takes a result whole into memory before it gives the first row.
type connection struct {
	database bindings.Database
	conn     bindings.Connection
	spill    *tempfolder.Folder // what does not fit into memory
}

// connect opens the file for reading, and nothing but it: a query reaches no other file, no
// network and no extension.
func connect(path string) (_ *connection, err error) {
	if strings.ContainsRune(path, 0) {
		return nil, fmt.Errorf("%w; the path has a NUL byte", query.ErrURI)
	}
	// What a sort cannot keep in memory must not lie beside the input, which is its default.
	c := &connection{}
	if c.spill, err = tempfolder.New(os.TempDir(), "millrace-duckdb-spill-*"); err != nil {
		return nil, fmt.Errorf("%w: %w", spool.ErrSpool, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	var config bindings.Config
	if bindings.CreateConfig(&config) == bindings.StateError {
		return nil, errors.New("DuckDB gives no configuration")
	}
	defer bindings.DestroyConfig(&config)
	for _, s := range [][2]string{
		{"access_mode", "READ_ONLY"},
		{"temp_directory", c.spill.Path()}, // before the next, which fixes it
		{"memory_limit", fmt.Sprintf("%dMiB", memoryLimit()>>20)},
		{"enable_external_access", "false"},
		{"autoinstall_known_extensions", "false"},
		{"autoload_known_extensions", "false"},
	} {
		if bindings.SetConfig(config, s[0], s[1]) == bindings.StateError {
			return nil, fmt.Errorf("DuckDB does not take the setting %s=%s", s[0], s[1])
		}
	}
	said := ""
	if bindings.OpenExt(path, &c.database, config, &said) == bindings.StateError {
		return nil, fault(said)
	}
	if bindings.Connect(c.database, &c.conn) == bindings.StateError {
		return nil, errors.New("DuckDB gives no connection to the file that it opened")
	}
	// Else rows, and their types, depend on where the process runs.
	_, err = c.texts("SET TimeZone = 'UTC'")
	return c, err
}

// OtherVersion words what DuckDB says of a file of a version that this program's cannot read;
// empty where it says something else.
func OtherVersion(said string) string {
	of, rest, _ := strings.Cut(said, "\n")
	if !strings.Contains(of, "can only read versions between") {
		return ""
	}
	if _, after, found := strings.Cut(of, "IO Error: "); found {
		of = after
	}
	by, _, _ := strings.Cut(rest, "\n")
	return fmt.Sprintf("%s %s This millrace has DuckDB %s: in the one that wrote the file, copy it by ATTACH 'copy.duckdb' (STORAGE_VERSION 'v1.0.0') and COPY FROM DATABASE, or of an old one EXPORT DATABASE",
		of, by, bindings.LibraryVersion())
}

// IsOpenElsewhere says whether DuckDB could not lock a file since another process, which it
// names, has it open, and not since the file system locks none.
func IsOpenElsewhere(said string) bool { return strings.Contains(strings.ToLower(said), "lock is ") }

// fault tells what is wrong with a file, by what DuckDB says of it.
func fault(said string) error {
	first, _, _ := strings.Cut(said, "\n")
	err := errors.New(strings.TrimSuffix(first, "."))
	switch {
	case OtherVersion(said) != "":
		return fmt.Errorf("%w: %s", format.ErrUnsupported, OtherVersion(said))
	case strings.Contains(said, "Cannot open encrypted database"):
		return fmt.Errorf("%w: %w; copy it by ATTACH and COPY FROM DATABASE into a file that is not encrypted", format.ErrUnsupported, err)
	case strings.Contains(said, "not a valid DuckDB database file"), strings.Contains(said, "Corrupt database file"):
		return fmt.Errorf("%w: %w", format.ErrDamaged, err)
	case strings.Contains(said, "Could not set lock") && IsOpenElsewhere(said):
		return fmt.Errorf("another process has it open for writing, which DuckDB lets be alone; try again when it has closed it: %w", err)
	}
	return err
}

// prepare plans a statement, which the caller destroys. PIVOT is several, of which all but
// the last are run.
func (c *connection) prepare(text string) (bindings.PreparedStatement, error) {
	var all bindings.ExtractedStatements
	defer bindings.DestroyExtracted(&all)
	var last bindings.PreparedStatement
	n := bindings.ExtractStatements(c.conn, text, &all)
	if n == 0 {
		return last, saidOfQuery(bindings.ExtractStatementsError(all))
	}
	for i := range n {
		bindings.DestroyPrepare(&last)
		if bindings.PrepareExtractedStatement(c.conn, all, i, &last) == bindings.StateError {
			defer bindings.DestroyPrepare(&last)
			return bindings.PreparedStatement{}, saidOfQuery(bindings.PrepareError(last))
		}
		if i == n-1 {
			break
		}
		r, err := run(last)
		if err != nil {
			bindings.DestroyPrepare(&last)
			return last, err
		}
		r.Close()
	}
	return last, nil
}

// saidOfQuery is what DuckDB says of a query; a file that turns out to be damaged, or a disk
// that is full, is not the query's fault. Its advice is for those who can change settings.
func saidOfQuery(said string) error {
	said = strings.TrimSpace(said)
	switch first, _, _ := strings.Cut(said, "\n"); {
	case strings.Contains(said, "Corrupt database file"):
		return fault(said)
	case strings.Contains(said, "max_temp_directory_size"), strings.Contains(said, "No space left on device"):
		return fmt.Errorf("%w: what the query sorts or joins does not fit there: %s", spool.ErrSpool, first)
	case strings.HasPrefix(said, "Out of Memory Error"):
		return fmt.Errorf("%w: it needs more memory than the %d MiB that DuckDB has here, and cannot spill: %s", query.ErrQuery, memoryLimit()>>20, first)
	}
	return fmt.Errorf("%w: %s", query.ErrQuery, said)
}

// memoryLimit is DuckDB's, in bytes.
func memoryLimit() int64 { return memoryBytes + int64(runtime.GOMAXPROCS(0))*threadBytes }

// texts gives the rows of a query of texts; $1 and so on are args.
func (c *connection) texts(text string, args ...string) (_ [][]string, err error) {
	s, err := c.prepare(text)
	if err != nil {
		return nil, err
	}
	defer bindings.DestroyPrepare(&s)
	for i, a := range args {
		if bindings.BindVarchar(s, bindings.IdxT(i+1), a) == bindings.StateError {
			return nil, fmt.Errorf("DuckDB takes no text for parameter %d", i+1)
		}
	}
	from, err := run(s)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	var all [][]string
	for {
		batch, err := from.next()
		if err != nil || batch == nil {
			return all, err
		}
		for i := range int(batch.NumRows()) {
			row := make([]string, batch.NumCols())
			for j, column := range batch.Columns() {
				if texts, ok := column.(*array.String); ok {
					row[j] = strings.Clone(texts.Value(i))
				}
			}
			all = append(all, row)
		}
		batch.Release()
	}
}

// interrupted stops what runs when ctx ends, until the caller says that nothing runs.
func (c *connection) interrupted(ctx context.Context) (done func()) {
	over, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		select {
		case <-over:
			return
		case <-ctx.Done():
		}
		for { // one that comes before a query has begun is forgotten when it begins
			bindings.Interrupt(c.conn)
			select {
			case <-over:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	return func() {
		close(over)
		<-stopped
	}
}

// Close gives the file up. It is idempotent.
func (c *connection) Close() error {
	bindings.Disconnect(&c.conn)
	bindings.Close(&c.database)
	if c.spill == nil {
		return nil
	}
	err := c.spill.Remove()
	c.spill = nil
	return err
}

// result is what a statement gives, some thousand rows at a time, computed as they are asked
// for.
type result struct {
	res     bindings.Result
	options bindings.ArrowOptions
	schema  *arrow.Schema
}

// run begins a statement.
func run(s bindings.PreparedStatement) (_ *result, err error) {
	var pending bindings.PendingResult
	defer bindings.DestroyPending(&pending)
	// The library calls this deprecated and has nothing else that does not keep all rows.
	if bindings.PendingPreparedStreaming(s, &pending) == bindings.StateError {
		return nil, saidOfQuery(bindings.PendingError(pending))
	}
	r := &result{}
	if bindings.ExecutePending(pending, &r.res) == bindings.StateError {
		defer bindings.DestroyResult(&r.res)
		return nil, saidOfQuery(bindings.ResultError(&r.res))
	}
	r.options = bindings.ResultGetArrowOptions(&r.res)
	columns := bindings.ColumnCount(&r.res)
	names, types := make([]string, columns), make([]bindings.LogicalType, columns)
	for i := range columns {
		names[i], types[i] = bindings.ColumnName(&r.res, i), bindings.ColumnLogicalType(&r.res, i)
	}
	defer func() {
		for i := range types {
			bindings.DestroyLogicalType(&types[i])
		}
	}()
	schema, said := bindings.NewArrowSchema(r.options, types, names)
	if err := faultOf(said); err != nil {
		r.Close()
		return nil, fmt.Errorf("%w: %w", query.ErrQuery, err)
	}
	r.schema = schema
	return r, nil
}

// next gives the next rows, which the caller releases; nil after the last.
func (r *result) next() (arrow.RecordBatch, error) {
	chunk := bindings.FetchChunk(r.res)
	if chunk.Ptr == nil {
		if said := bindings.ResultError(&r.res); said != "" {
			return nil, saidOfQuery(said)
		}
		return nil, nil
	}
	defer bindings.DestroyDataChunk(&chunk)
	batch, said := bindings.DataChunkToArrowArray(r.options, r.schema, chunk)
	if err := faultOf(said); err != nil {
		return nil, fmt.Errorf("%w: %w", query.ErrQuery, err)
	}
	return batch, nil
}

func faultOf(said bindings.ErrorData) error {
	defer bindings.DestroyErrorData(&said)
	if !bindings.ErrorDataHasError(said) {
		return nil
	}
	return errors.New(bindings.ErrorDataMessage(said))
}

// Close gives up the rows that were not asked for.
func (r *result) Close() {
	bindings.DestroyArrowOptions(&r.options)
	bindings.DestroyResult(&r.res)
}
