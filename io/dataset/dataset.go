package dataset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/lines"
)

// OpenFunc opens one file of a known format.
type OpenFunc func(path string, opts format.ReadOptions) (format.Reader, error)

// Options say how files are opened.
type Options struct {
	// Read is handed to every reader.
	Read format.ReadOptions
	// Parallel is how many files are opened at a time by Open; 0 means 8.
	Parallel int
	// IdleFiles is the most files kept open that nobody reads; 0 means 16.
	IdleFiles int
	// Drift says what becomes of files that differ from the first in columns or types.
	Drift Drift
	// Statistics are the columns whose statistics by span are kept, for
	// Dataset.Statistics; those that are no columns do not matter.
	Statistics []string
	// Openers opens files by format; nil means this program's own readers.
	Openers map[format.Name]OpenFunc
	// Partitions are the columns to make of directories; see PartitionValue.
	Partitions Partitions
	// Stores open paths that are URIs, by their schemes; see Scheme.
	Stores map[string]Store
	// Format is that of all files, where it is one of lines; empty: what their first
	// bytes and names say.
	Format format.Name
	// Lines say how files of lines are read.
	Lines lines.Options
}

// EnsureDefaults fills zero fields.
func (o *Options) EnsureDefaults() {
	if o.Parallel <= 0 {
		o.Parallel = 8
	}
	if o.IdleFiles <= 0 {
		o.IdleFiles = 16
	}
	if o.Openers == nil {
		o.Openers = builtin()
	}
}

// FileInfo describes one file of a dataset.
type FileInfo struct {
	Path    string // or URI
	Format  format.Name
	Size    int64 // bytes of the whole file
	Rows    int64
	Spans   int
	Bytes   int64 // stored bytes of all spans
	ModTime time.Time
	Version string // of an object; see Facts
}

// Dataset is a sequence of files that is read as one table.
//
//	paths -> sources (one per distinct path: partition values, metadata, and a
//	         reader while in use)
//	      -> files   (one per listed path, in order)
//	      -> spans   (file by file) -> parts
//
// Metadata is read once by Open and kept: schemas (shared where equal), spans,
// null counts, and the identity (size, modification time, inode) of each file.
// A reader that is opened again later must have the same identity, so a
// dataset is one consistent view or an error that wraps format.ErrChanged.
type Dataset struct {
	files  []*source // the same *source where a path is listed again
	unique []*source
	shape  *shape // reconciled
	rows   int64
	pool   *pool

	partitions Partitions // with the types that were found
	inferred   bool       // they were found, not given
	shadowed   []string   // partition columns that some file has too

	differences []Difference // of files from the first
	aheads      aheads
	checks      sync.WaitGroup // begun early, which read no rows

	// life is read-locked by readers and locked by Close.
	life   sync.RWMutex
	closed bool
}

// Open reads the metadata of all files and reconciles their schemas. Errors of
// all files are reported together; a canceled ctx stops between files.
func Open(ctx context.Context, paths []string, opts Options) (*Dataset, error) {
	opts.EnsureDefaults()
	if len(paths) == 0 {
		return nil, fmt.Errorf("no input given: %w", ErrNoMatch)
	}
	d := &Dataset{pool: newPool(opts)}
	d.pool.lines = newLines(ctx, &opts)
	byPath := make(map[string]*source, len(paths))
	for _, path := range paths {
		src := byPath[path]
		if src == nil {
			src = &source{path: path, first: len(d.unique) == 0}
			byPath[path] = src
			d.unique = append(d.unique, src)
		}
		d.files = append(d.files, src)
	}
	if err := d.partition(opts.Partitions); err != nil {
		return nil, err
	}
	if err := d.load(ctx, &opts); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Dataset) load(ctx context.Context, opts *Options) error {
	errs := make([]error, len(d.unique))
	var group errgroup.Group
	group.SetLimit(d.parallel(opts))
	for i, src := range d.unique {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			errs[i] = d.pool.load(ctx, src)
			return nil
		})
	}
	_ = group.Wait() // the goroutines report through errs
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("open dataset: %w", context.Cause(ctx))
	}
	if err := joinListed(errs); err != nil {
		return err
	}
	if err := d.settleLines(ctx); err != nil {
		return err
	}
	if err := d.reconcile(opts.Drift); err != nil {
		return err
	}
	for _, src := range d.files {
		if src.info.Rows > math.MaxInt64-d.rows {
			return asInput(fmt.Errorf("input %q: row counts overflow: %w", src.path, format.ErrDamaged))
		}
		d.rows += src.info.Rows
	}
	return nil
}

// Files describes the files in order.
func (d *Dataset) Files() []FileInfo {
	infos := make([]FileInfo, len(d.files))
	for i, src := range d.files {
		infos[i] = src.info
	}
	return infos
}

// Schema is the first file's schema, with a column nullable where it is in
// any file, and then the partition columns. Batches given by ReadSpan have these
// fields, whatever their file.
func (d *Dataset) Schema() *arrow.Schema { return d.shape.schema }

// Rows is the number of rows of all files, as their metadata say.
func (d *Dataset) Rows() int64 { return d.rows }

// Spans describes the spans of one file; the result is shared, not to be
// changed.
func (d *Dataset) Spans(file int) []format.Span { return d.files[file].spans }

// NullCount is the number of nulls in a column over all files; ok is false
// unless every file's statistics say it.
func (d *Dataset) NullCount(column string) (nulls int64, ok bool) {
	for i, src := range d.files {
		if value, ok := d.PartitionValue(i, column); ok {
			if value.NullN() > 0 {
				nulls += src.info.Rows
			}
			continue
		}
		indexes := src.shape.index[column]
		if len(indexes) != 1 || src.nulls[indexes[0]] < 0 {
			return 0, false
		}
		nulls += src.nulls[indexes[0]]
	}
	return nulls, true
}

// Columns checks that each name stands once in the schema, and reports all
// that do not, as ErrNoSuchColumn or ErrDuplicateColumn.
func (d *Dataset) Columns(names []string) error {
	_, err := d.shape.project(names)
	return err
}

// ReadSpan gives the rows of one span, in order, as record batches of the named
// columns in the named order. yield borrows the batch; an error from it stops
// the read and is returned as it is. All other errors wrap ErrInput, but for
// cancellation and ErrClosed.
func (d *Dataset) ReadSpan(ctx context.Context, ref SpanRef, columns []string, yield func(arrow.RecordBatch) error) error {
	d.life.RLock()
	defer d.life.RUnlock()
	if d.closed {
		return ErrClosed
	}
	if ref.File < 0 || ref.File >= len(d.files) || ref.Span < 0 || ref.Span >= len(d.files[ref.File].spans) {
		return fmt.Errorf("dataset has no file %d, span %d", ref.File, ref.Span)
	}
	src := d.files[ref.File]
	d.aheads.reading(src)
	schema, indexes, fill, err := d.columnsOf(src, columns)
	if err != nil {
		return err
	}
	reader, err := d.pool.acquire(ctx, src)
	if err != nil {
		return err
	}
	defer d.fetching(ctx, reader, ref, indexes)()
	r := spanRead{schema: schema, fill: fill, want: src.spans[ref.Span].Rows, yield: yield}
	err = reader.ReadSpan(ctx, ref.Span, indexes, r.batch)
	err = errors.Join(r.check(src.path, ref.Span, err), d.pool.release(src))
	if err == nil && d.aheads.read(ref) {
		d.checkEarly()
	}
	return err
}

// UpfrontRows is how many rows ReadSpan decodes before it gives the first of a span; 0 where
// they are given as they are decoded, and where that is not known: of files in stores, of which
// it would have to fetch something.
func (d *Dataset) UpfrontRows(ctx context.Context, ref SpanRef, columns []string) (rows int64, err error) {
	d.life.RLock()
	defer d.life.RUnlock()
	if d.closed {
		return 0, ErrClosed
	}
	src := d.files[ref.File]
	if src.ranged() != nil {
		return 0, nil
	}
	_, indexes, _, err := d.columnsOf(src, columns)
	if err != nil {
		return 0, err
	}
	reader, err := d.pool.acquire(ctx, src)
	if err != nil {
		return 0, err
	}
	if r, ok := reader.(format.UpfrontReader); ok {
		rows = r.UpfrontRows(ctx, ref.Span, indexes)
	}
	return rows, d.pool.release(src)
}

// SetChunkRows has every later ReadSpan give record batches of at most rows
// rows, as format.ReadOptions.ChunkRows does: how much memory there is for them
// may only be known when the metadata is. It waits for reads in progress.
func (d *Dataset) SetChunkRows(rows int) error {
	d.life.Lock()
	defer d.life.Unlock()
	if d.closed {
		return ErrClosed
	}
	read := d.pool.opts.Read
	read.ChunkRows = rows
	return d.pool.reopenWith(read)
}

// parallelLooks bounds the objects that stores are asked for at a time: most of it is waiting.
const parallelLooks = 128

// parallelTexts is that of text that is read by ranges to find its rows.
const parallelTexts = 16

// parallel is how many files are opened at a time: more of objects, but of those of which
// more is kept on this machine meanwhile.
func (d *Dataset) parallel(opts *Options) int {
	most := 0
	for _, src := range d.unique {
		switch text := linesByName(src.path) != "" || opts.Format != ""; {
		case opts.Stores[Scheme(src.path)] == nil:
		case text && !lines.Compressed(src.path):
			most = parallelTexts
		case text || knownExtension(src.path) && !parquetExtension(src.path):
			return opts.Parallel
		case most == 0:
			most = parallelLooks
		}
	}
	return max(opts.Parallel, most)
}

// Changed returns an error that wraps format.ErrChanged and names each file
// that is no longer the one that Open saw, or was not when the last row that
// ReadAhead was told of had been read.
func (d *Dataset) Changed() error {
	d.life.RLock()
	defer d.life.RUnlock()
	if d.closed {
		return ErrClosed
	}
	if check := d.aheads.check(); check != nil {
		return <-check
	}
	return d.changedNow()
}

// changedNow is Changed for who holds life.
func (d *Dataset) changedNow() error {
	errs := make([]error, len(d.unique))
	stored := map[Store][]int{} // indexes of sources
	for i, src := range d.unique {
		if src.object == nil {
			errs[i] = src.changed()
			continue
		}
		store := d.pool.opts.Stores[Scheme(src.path)]
		stored[store] = append(stored[store], i)
	}
	var group errgroup.Group
	for store, indexes := range stored {
		group.Go(func() error {
			d.changedIn(store, indexes, errs)
			return nil
		})
	}
	_ = group.Wait() // the goroutines report through errs
	return joinListed(errs)
}

// changedIn asks a store about sources, by their indexes.
func (d *Dataset) changedIn(store Store, indexes []int, errs []error) {
	if r, ok := store.(Rechecker); ok {
		objects := make([]Object, len(indexes))
		for k, i := range indexes {
			objects[k] = d.unique[i].object
		}
		for k, err := range r.ChangedAll(objects) {
			src := d.unique[indexes[k]]
			errs[indexes[k]] = cmp.Or(src.noticed(), asInput(err))
		}
		return
	}
	var group errgroup.Group
	group.SetLimit(parallelLooks)
	for _, i := range indexes {
		group.Go(func() error {
			errs[i] = d.unique[i].changed()
			return nil
		})
	}
	_ = group.Wait() // the goroutines report through errs
}

// Close waits for reads in progress and releases all readers. It is
// idempotent. It must not be called from within a yield.
func (d *Dataset) Close() error {
	d.life.Lock()
	defer d.life.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	d.checks.Wait()
	var errs []error
	for _, src := range d.unique {
		errs = append(errs, src.shut())
	}
	return joinListed(append(errs, d.pool.lines.Close()))
}
