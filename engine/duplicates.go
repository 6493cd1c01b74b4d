package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/unique"
	"github.com/millrace/millrace/io/dataset"
)

// Which rows are duplicates is found before the first is scored, by a pass over the
// columns of the key alone, so that the first row of each key in the input's order is the
// one that counts, whatever is scored first, by how many workers and in how many starts:
//
//	spans ──readers──▶ unique.Finder ──▶ unique.Found, by row ──▶ worker: rejects of a batch
//
// Each start finds them anew: that costs less than to keep them safe.

// stageUnique rejects rows whose key an earlier row has.
const stageUnique = "unique"

// DuplicatesFound is what a run found out about rows that are to be unique.
type DuplicatesFound struct {
	Columns []string  `json:"columns"`
	On      unique.On `json:"on"`   // what became of them; never auto
	Rows    int64     `json:"rows"` // those whose key a row before them has
	// Exact says that keys were compared as they are; otherwise MistakeChance is an
	// upper bound for the chance that any two different ones were taken for equal.
	Exact         bool    `json:"exact"`
	MistakeChance float64 `json:"mistake_chance"`
	SpilledBytes  int64   `json:"spilled_bytes"` // written to disk meanwhile
	Seconds       float64 `json:"seconds"`
}

// onDuplicate is what becomes of a duplicate, after the policy of bad rows is asked.
func (o *Options) onDuplicate() unique.On {
	switch {
	case len(o.Unique.Columns) == 0:
		return unique.OnCount
	case o.Unique.On != unique.OnAuto && o.Unique.On != "":
		return o.Unique.On
	case o.OnBadRow == BadNull:
		return unique.OnNull
	case o.OnBadRow == BadReject:
		return unique.OnReject
	}
	return unique.OnCount // a model can score them, so that they need not fail a run
}

// rejectsDuplicates says whether duplicates become rejects of their batches.
func (o *Options) rejectsDuplicates() bool {
	on := o.onDuplicate()
	return on == unique.OnReject || on == unique.OnNull
}

// keepsNulled says whether some bad rows stay in the output, with null predictions.
func (o *Options) keepsNulled() bool {
	return o.OnBadRow == BadNull || o.onDuplicate() == unique.OnNull
}

// fitUnique finds out how rows are compared by the columns of the key.
func (p *Plan) fitUnique(schema *arrow.Schema) (err error) {
	if len(p.Options.Unique.Columns) == 0 {
		return nil
	}
	fields := make([]arrow.Field, 0, len(p.Options.Unique.Columns))
	var problems []error
	for _, name := range p.Options.Unique.Columns {
		at := schema.FieldIndices(name)
		if len(at) != 1 {
			problems = append(problems, p.noColumn("--unique", name, len(at)))
			continue
		}
		fields = append(fields, schema.Field(at[0]))
	}
	if len(problems) > 0 {
		return fmt.Errorf("%w: %w", ErrUsage, errors.Join(problems...))
	}
	if p.keys, err = unique.NewKeys(fields, p.Options.Unique.Mode); err != nil {
		return fmt.Errorf("%w: --unique: %w", ErrUsage, err)
	}
	return nil
}

// duplicateSource says which rows of a batch are duplicates, as rejects of it.
type duplicateSource interface {
	of(batch *batcher.Batch) (rejects, error)
}

// duplicates are those that a pass over the input has found.
type duplicates struct {
	found   *unique.Found
	numbers rowNumbers
	files   []dataset.FileInfo
	column  string // of the key, where it is the only one
	says    string // what a duplicate has in common with the first
	asked   bool   // they are left out, whatever becomes of bad rows
}

// rowNumbers are, by file, the number of its first row among the rows of all files.
type rowNumbers []uint64

func numberRows(files []dataset.FileInfo) rowNumbers {
	numbers := make(rowNumbers, len(files)+1)
	for i, f := range files {
		numbers[i+1] = numbers[i] + uint64(f.Rows)
	}
	return numbers
}

// of is the number of a row.
func (n rowNumbers) of(o batcher.Origin) uint64 { return n[o.File] + uint64(o.Row) }

// origin is the row of a number.
func (n rowNumbers) origin(number uint64) batcher.Origin {
	file := sort.Search(len(n)-1, func(i int) bool { return n[i+1] > number }) // the last that begins at or before it
	return batcher.Origin{File: file, Row: int64(number - n[file])}
}

// findDuplicates reads the columns of the key, and finds the rows that have an earlier
// one's; nil where nobody asks which. scratch gives a directory for what does not fit into
// memory. The caller closes what it gives.
func (p *Plan) findDuplicates(ctx context.Context, scratch func() (string, error)) (_ *duplicates, err error) {
	if p.keys == nil {
		return nil, nil //nolint:nilnil // there are none to ask for
	}
	started := time.Now()
	dir, err := scratch()
	if err != nil {
		return nil, err
	}
	defer func() { // its files have no names
		if removed := os.Remove(dir); removed != nil {
			err = errors.Join(err, fmt.Errorf("%w: %w", ledger.ErrOutput, removed))
		}
	}()
	want := unique.WantCount
	if p.Options.rejectsDuplicates() {
		want = unique.WantRows
	}
	finder := unique.NewFinder(p.keys, unique.Options{BudgetBytes: p.uniqueBudget(), Dir: dir, Workers: p.Options.Workers, Rows: p.Dataset.Rows(), Want: want})
	defer func() { err = errors.Join(err, finder.Close()) }()
	files := p.Dataset.Files()
	d := &duplicates{numbers: numberRows(files), files: files, asked: p.Options.onDuplicate() == unique.OnReject}
	if err := p.readKeys(ctx, finder, d.numbers); err != nil {
		return nil, err
	}
	if d.found, err = finder.Find(); err != nil {
		return nil, spilled(err)
	}
	d.word(p)
	p.duplicates = &DuplicatesFound{
		Columns: p.Options.Unique.Columns, On: p.Options.onDuplicate(), Rows: d.found.Rows(), Exact: p.keys.Exact(),
		SpilledBytes: finder.Spilled(), Seconds: time.Since(started).Seconds(),
	}
	if !p.keys.Exact() {
		n := float64(finder.Rows())
		p.duplicates.MistakeChance = math.Min(n*n*0x1p-129, 1)
	}
	if p.Options.onDuplicate() == unique.OnFail {
		err = d.fail()
	}
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

// spilled says that an error of files of duplicates is one of the output's place.
func spilled(err error) error {
	if errors.Is(err, unique.ErrSpill) {
		return fmt.Errorf("%w: %w", ledger.ErrOutput, err)
	}
	return err
}

// readKeys gives a finder the keys of all rows that pass the filter.
func (p *Plan) readKeys(ctx context.Context, finder *unique.Finder, numbers rowNumbers) error {
	group, reading := errgroup.WithContext(ctx)
	group.SetLimit(max(p.Options.Readers, 1))
	for _, part := range p.Parts {
		for _, span := range part.Spans {
			if reading.Err() != nil {
				break
			}
			group.Go(func() error {
				if done := p.atWork(); done != nil {
					defer done()
				}
				return guarded(func() error { return spilled(p.readKeysOf(reading, span, finder, numbers)) })
			})
		}
	}
	err := group.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return (&pipeline{plan: p}).explain(err)
}

// readKeysOf gives a finder those of one span.
func (p *Plan) readKeysOf(ctx context.Context, span dataset.SpanRef, finder *unique.Finder, numbers rowNumbers) error {
	key := p.Options.Unique.Columns
	return p.readPassing(ctx, span, key, func(c *chunk) error {
		if p.lines != nil {
			some, err := withoutProblems(c)
			if err != nil || some.record == nil {
				return err
			}
			defer some.record.Release()
			c = &some
		}
		segment := c.segment()
		return finder.Add(c.record.Columns()[:len(key)], func(row int) uint64 { return numbers.of(segment.At(row)) })
	})
}

// word prepares what is said of a duplicate.
func (d *duplicates) word(p *Plan) {
	names := make([]string, len(p.Options.Unique.Columns))
	for i, name := range p.Options.Unique.Columns {
		names[i] = strconv.Quote(name)
	}
	if d.says = strings.Join(names, ", ") + " are those of"; len(names) == 1 {
		d.column, d.says = p.Options.Unique.Columns[0], names[0]+" is that of"
	}
}

// reason says why a row is one.
func (d *duplicates) reason(dup unique.Duplicate) string {
	first := d.numbers.origin(dup.First)
	return "duplicate: " + d.says + " row " + strconv.FormatInt(first.Row, 10) + " of " + d.files[first.File].Path // there may be millions
}

// of implements duplicateSource.
func (d *duplicates) of(batch *batcher.Batch) (all rejects, err error) {
	first := 0 // the segment's first row in the batch
	for i := range batch.Segments {
		s := &batch.Segments[i]
		some, err := d.found.In(d.numbers.of(s.At(0)), d.numbers.of(s.At(s.Rows-1))+1)
		if err != nil {
			return nil, spilled(err)
		}
		row := 0 // in the segment, of which rows may have been taken out
		for _, dup := range some {
			row += sort.Search(s.Rows-row, func(n int) bool { return d.numbers.of(s.At(row+n)) >= dup.Row })
			all = append(all, reject{Reject: batcher.Reject{Row: first + row, Column: d.column, Reason: d.reason(dup), Asked: d.asked}, stage: stageUnique})
		}
		first += s.Rows
	}
	return all, nil
}

// fail is the error of a run that must have none.
func (d *duplicates) fail() error {
	dup, ok := d.found.First()
	if !ok {
		return nil
	}
	at := d.numbers.origin(dup.Row)
	return fmt.Errorf("%w: %d rows are duplicates; the first: %s row %d: %s; correct them, or let them go by --on-duplicate reject, null or count",
		ErrBadRows, d.found.Rows(), d.files[at.File].Path, at.Row, d.reason(dup))
}

func (d *duplicates) close() error {
	if d == nil || d.found == nil {
		return nil
	}
	return d.found.Close()
}
