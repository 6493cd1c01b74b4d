package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/batcher/filter"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/io/dataset"
)

// spread is a part whose rows go to a folder for each value of some columns. Rows are
// gathered and, some at a time, sorted by folder; within one they keep their order.
//
//	records ──pending──▶ sorted by folder ──▶ spilled to a scratch file, unless
//	                                          all rows so far are of one folder: then
//	                                          they are written to its files at once
//	commit: folder by folder, what each scratch file has of it ──▶ the folder's files
//
// So memory is what is pending and a few copies of it, however many folders there are,
// and two files of the output are open at most. How rows fall into scratch files depends
// on the part's rows alone, and so do the files' bytes.
//
// Rejected: an open file for each folder, which for thousands of them takes as many row
// groups in memory and file descriptors; and a sort of the whole part in memory, which is
// as large as the input's spans want it to be.
type spread struct {
	collector *collector
	number    int // of the part
	files     sink.PartFiles
	schema    *arrow.Schema // of the files
	names     []string      // of the columns that name folders
	at        []int         // their places in the records

	pending []arrow.RecordBatch
	bytes   int64 // of those
	most    int64 // bytes that may be pending: spillBytes except in tests

	only  *sizedFiles // the one folder that all rows so far are of; nil before the first
	spill []*spill
}

// spillBytes is how much a part gathers before it is sorted: enough for some rows of each
// folder to lie side by side, and a small part of what a worker takes.
const spillBytes = 8 << 20

// newSpread begins a part.
func (c *collector) newSpread(part int, files sink.PartFiles, schema *arrow.Schema) *spread {
	at := c.plan.partitionedAt()
	return &spread{collector: c, number: part, files: files, schema: without(schema, at), names: c.plan.Options.PartitionBy, at: at, most: spillBytes}
}

// write gathers a record, which it borrows.
func (s *spread) write(record arrow.RecordBatch) error {
	record.Retain()
	s.pending, s.bytes = append(s.pending, record), s.bytes+recordBytes(record)
	if s.bytes < s.most {
		return nil
	}
	return s.sort()
}

// recordBytes is about how much memory a record's own rows take.
func recordBytes(record arrow.RecordBatch) (bytes int64) {
	for _, column := range record.Columns() {
		switch a := column.(type) {
		case array.StringLike:
			for i := range a.Len() {
				bytes += int64(a.ValueLen(i))
			}
			bytes += 4 * int64(a.Len())
		case array.BinaryLike:
			bytes += 4*int64(a.Len()) + int64(len(a.ValueBytes()))
		case array.ListLike:
			if n := a.Len(); n > 0 {
				first, _ := a.ValueOffsets(0)
				_, end := a.ValueOffsets(n - 1)
				bytes += 8*int64(n) + (end-first)*typeBytes(a.ListValues().DataType())
			}
		default:
			bytes += typeBytes(a.DataType()) * int64(a.Len())
		}
	}
	return bytes
}

// sort sorts what is pending, and writes or spills it.
func (s *spread) sort() error {
	records := s.pending
	defer func() { releaseRecords(records) }()
	s.pending, s.bytes = nil, 0
	return s.sortRecords(records)
}

// sortRecords sorts records as one or, where a column's type or size lets them not be
// joined, one by one.
func (s *spread) sortRecords(records []arrow.RecordBatch) error {
	if len(records) == 0 {
		return nil
	}
	sorted, err := s.sorted(records)
	if errors.Is(err, errUnjoined) && len(records) > 1 {
		half := len(records) / 2
		if err := s.sortRecords(records[:half]); err != nil {
			return err
		}
		return s.sortRecords(records[half:])
	}
	if err != nil {
		return err
	}
	defer sorted.record.Release()
	if len(sorted.folders) == 1 && len(s.spill) == 0 {
		folder := sorted.folders[0].name
		if s.only == nil {
			s.only = s.folderFiles(folder)
		}
		if s.only.folder == folder {
			return s.only.write(sorted.record)
		}
	}
	return s.spillRecord(sorted)
}

// sortedRows are rows by folder, folders by name.
type sortedRows struct {
	record  arrow.RecordBatch // owned; without the columns that name folders
	folders []folderRows
}

// folderRows are the rows of one folder, which lie side by side.
type folderRows struct {
	name        string
	first, rows int64
}

// sorted sorts the rows of records by folder.
func (s *spread) sorted(records []arrow.RecordBatch) (*sortedRows, error) {
	rows := int64(0)
	for _, r := range records {
		rows += r.NumRows()
	}
	named := make([]arrow.Array, 0, len(s.at))
	defer func() { releaseAll(named) }()
	for _, at := range s.at {
		column, err := joined(records, at)
		if err != nil {
			return nil, err
		}
		named = append(named, column)
	}
	folders, err := foldersOf(s.names, named)
	if err != nil {
		return nil, err
	}
	order, found := folders.order()
	columns := make([]arrow.Array, 0, s.schema.NumFields())
	defer func() { releaseAll(columns) }()
	for at := range int(records[0].NumCols()) {
		if slices.Contains(s.at, at) {
			continue
		}
		column, err := joined(records, at)
		if err != nil {
			return nil, err
		}
		if len(found) > 1 {
			inOrder, err := filter.TakeRows(column, order)
			column.Release()
			if err != nil {
				return nil, fmt.Errorf("column %q: %w", s.schema.Field(len(columns)).Name, err)
			}
			column = inOrder
		}
		columns = append(columns, column)
	}
	return &sortedRows{record: array.NewRecordBatch(s.schema, columns, rows), folders: found}, nil
}

// order puts rows in the order of their folders' names, and says where each folder's lie.
func (f *folders) order() (order []int32, found []folderRows) {
	byName := make([]int32, len(f.names))
	for i := range byName {
		byName[i] = int32(i)
	}
	slices.SortFunc(byName, func(a, b int32) int { return strings.Compare(f.names[a], f.names[b]) })
	rows := make([]int64, len(f.names))
	for _, folder := range f.of {
		rows[folder]++
	}
	next := make([]int64, len(f.names)) // where the folder's next row goes
	first := int64(0)
	for _, folder := range byName {
		if rows[folder] > 0 {
			found = append(found, folderRows{name: f.names[folder], first: first, rows: rows[folder]})
		}
		next[folder] = first
		first += rows[folder]
	}
	order = make([]int32, len(f.of))
	for row, folder := range f.of {
		order[next[folder]] = int32(row)
		next[folder]++
	}
	return order, found
}

// folderFiles are the files of a folder.
func (s *spread) folderFiles(folder string) *sizedFiles {
	return s.collector.sizedFiles(s.files, folder, s.schema)
}

// commit writes what is spilled, folder by folder, and commits all files.
func (s *spread) commit(rows int64) ([]ledger.Output, error) {
	if err := s.merge(); err != nil {
		return nil, errors.Join(err, s.abort())
	}
	outputs, err := s.files.Commit(rows)
	return outputs, errors.Join(err, s.dropSpills())
}

func (s *spread) merge() error {
	err := s.sort()
	if err != nil {
		return err
	}
	names := map[string]bool{}
	for _, spill := range s.spill {
		if err := spill.end(); err != nil {
			return err
		}
		for _, f := range spill.folders {
			names[f.name] = true
		}
	}
	if s.only != nil {
		names[s.only.folder] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if err := s.mergeFolder(name); err != nil {
			return err
		}
	}
	return nil
}

// mergeFolder writes the rows of one folder.
func (s *spread) mergeFolder(name string) error {
	files := s.only
	if files == nil || files.folder != name {
		files = s.folderFiles(name)
	}
	for _, spill := range s.spill {
		if err := spill.rowsOf(context.Background(), name, files.write); err != nil { // a moment's work
			return errors.Join(fmt.Errorf("part %d: %s: %w", s.number, name, err), files.drop())
		}
	}
	if err := files.close(); err != nil {
		return err
	}
	if files == s.only {
		s.only = nil
	}
	return nil
}

// empty makes a file without rows, in the folder of null.
func (s *spread) empty() error {
	folder := make([]string, len(s.names))
	for i, name := range s.names {
		folder[i] = dataset.EscapePartition(name, "", true)
	}
	files := s.folderFiles(strings.Join(folder, "/"))
	return cmp.Or(files.begin(), files.close())
}

// abort drops everything.
func (s *spread) abort() error {
	releaseRecords(s.pending)
	s.pending = nil
	errs := []error{}
	if s.only != nil {
		errs = append(errs, s.only.drop())
	}
	errs = append(errs, s.dropSpills(), s.files.Abort())
	return errors.Join(errs...)
}

func (s *spread) dropSpills() error {
	errs := make([]error, 0, len(s.spill))
	for _, spill := range s.spill {
		errs = append(errs, spill.drop())
	}
	s.spill = nil
	return errors.Join(errs...)
}
