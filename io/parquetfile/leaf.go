package parquetfile

import (
	"errors"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet"
)

// nestedStep is how many levels are read at a time from a column with lists,
// where the number that makes n rows is not known before.
const nestedStep = 4096

// leaf decodes one column of one row group into levels and dense values (those
// that are not null), chunk by chunk.
//
//	fill(n):  pages -> defs[0:levels], reps[0:levels], vals
//	          exactly n rows, or an error
//	take():   the array of the column's slots
//	drop():   forgets the chunk; levels and values read beyond it move to the front
//
// Without lists a row is one level, and fill reads exactly n. With lists a row
// ends where the next begins, so fill reads ahead. A flat column is not nested
// at all: its definition levels are not kept one by one, but as the bitmap valid.
type leaf struct {
	path           string
	physical       parquet.Type
	maxDef, maxRep int16
	flat           bool
	pages          pages
	vals           values
	mem            *budget

	inPage             int // levels of the current page not yet read
	pageDefs, pageReps levelReader

	valid      validity // of a flat column with nulls: the current chunk's
	defs, reps []int16  // of all levels read and not dropped; nil where the maximum is 0, and in a flat column
	read       int      // levels read and not dropped
	left       int64    // levels that the column chunk says it has and were not read

	levels int  // of the current chunk
	dense  int  // values of the current chunk
	ended  bool // the column chunk has no more
}

// fill reads the levels and values of the next n rows.
func (l *leaf) fill(n int) (err error) {
	defer l.guard(&err)
	if l.maxRep == 0 {
		l.grow(n)
		if l.bitmap() {
			l.valid.reset(n)
		}
		for l.read < n {
			if err := l.step(n - l.read); err != nil {
				return err
			}
			if l.ended {
				return damaged("column ends %d rows early", n-l.read)
			}
		}
		l.levels, l.dense = n, l.vals.len()
		return nil
	}
	// A chunk ends at the start of the row after it.
	rows, at := 0, 0
	for {
		for ; at < l.read; at++ {
			if l.reps[at] == 0 {
				if rows == n {
					l.levels = at
					l.dense = l.count(at)
					return nil
				}
				rows++
			}
		}
		if l.ended {
			break
		}
		if err := l.step(nestedStep); err != nil {
			return err
		}
		if l.read > 0 && l.reps[0] != 0 {
			return damaged("column starts inside a row")
		}
	}
	if rows != n {
		return damaged("column ends %d rows early", n-rows)
	}
	l.levels, l.dense = l.read, l.vals.len()
	return nil
}

// count is how many of the first n levels have a value.
func (l *leaf) count(n int) int {
	if l.maxDef == 0 {
		return n
	}
	dense := 0
	for _, d := range l.defs[:n] {
		if d == l.maxDef {
			dense++
		}
	}
	return dense
}

// finish returns an error unless the column chunk has nothing left.
func (l *leaf) finish() (err error) {
	defer l.guard(&err)
	if l.read > 0 || l.inPage > 0 {
		return damaged("column has more rows than its row group")
	}
	if l.left > 0 {
		return damaged("column ends %d values early", l.left)
	}
	return nil
}

// bitmap says whether the definition levels become a bitmap.
func (l *leaf) bitmap() bool { return l.flat && l.maxDef > 0 }

// page opens the next data page that has levels, unless the column has ended.
func (l *leaf) page() error {
	for {
		if l.left == 0 {
			l.ended = true
			return nil
		}
		page, err := l.pages.next()
		switch {
		case errors.Is(err, io.EOF):
			l.ended = true
			return nil
		case err != nil:
			return err
		case page.kind == dictionaryPage:
			if page.encoding != parquet.Encodings.Plain && page.encoding != parquet.Encodings.PlainDict {
				return unsupported("dictionary in encoding %s", page.encoding)
			}
			values := l.pages.own(page.values)
			if err := l.vals.dictionary(page.levels, values); err != nil {
				l.pages.mem.Free(values)
				return err
			}
			continue
		case page.levels == 0:
			continue
		case int64(page.levels) > l.left:
			return damaged("page of %d values where %d are left of the column chunk", page.levels, l.left)
		}
		l.inPage = page.levels
		if l.maxDef > 0 {
			l.pageDefs = newLevelReader(page.defs, levelBits(l.maxDef), page.defsOld)
		}
		if l.maxRep > 0 {
			l.pageReps = newLevelReader(page.reps, levelBits(l.maxRep), page.repsOld)
		}
		return l.vals.open(page.encoding, page.values, page.levels)
	}
}

// step reads up to n levels and their values from one page, and at least one
// unless the column has ended.
func (l *leaf) step(n int) error {
	if l.inPage == 0 {
		if err := l.page(); err != nil || l.ended {
			return err
		}
	}
	n = min(n, l.vals.step(), l.inPage)
	l.grow(l.read + n)
	dense := n
	if l.maxRep > 0 {
		reps := l.reps[l.read : l.read+n]
		if err := l.pageReps.levels(reps); err != nil {
			return err
		}
		for _, r := range reps {
			if r < 0 || r > l.maxRep {
				return damaged("repetition level %d above %d", r, l.maxRep)
			}
		}
	}
	switch {
	case l.bitmap():
		before := l.valid.set
		if err := l.valid.read(&l.pageDefs, n); err != nil {
			return err
		}
		dense = l.valid.set - before
	case l.maxDef > 0:
		defs := l.defs[l.read : l.read+n]
		err := l.pageDefs.levels(defs)
		if err != nil {
			return err
		}
		if dense, err = l.checkLevels(defs); err != nil {
			return err
		}
	}
	if dense > 0 {
		if err := l.vals.read(dense); err != nil {
			return err
		}
	}
	l.read += n
	l.left -= int64(n)
	l.inPage -= n
	return nil
}

// checkLevels returns how many definition levels stand for a value.
func (l *leaf) checkLevels(defs []int16) (int, error) {
	dense := 0
	for _, d := range defs {
		if d < 0 || d > l.maxDef {
			return 0, damaged("definition level %d above %d", d, l.maxDef)
		}
		if d == l.maxDef {
			dense++
		}
	}
	return dense, nil
}

// grow makes room for n levels.
func (l *leaf) grow(n int) {
	if l.maxDef > 0 && !l.flat {
		l.defs = growLevels(l.defs, l.read, n, l.mem)
	}
	if l.maxRep > 0 {
		l.reps = growLevels(l.reps, l.read, n, l.mem)
	}
	l.vals.grow(n - l.read)
}

// growLevels returns levels with room for n, keeping the first used. The room
// comes from mem, so that it counts against the budget.
func growLevels(levels []int16, used, n int, mem *budget) []int16 {
	if n <= len(levels) {
		return levels
	}
	n = max(n, 2*len(levels))
	grown := arrow.Int16Traits.CastFromBytes(mem.Allocate(arrow.Int16Traits.BytesRequired(n)))[:n]
	copy(grown, levels[:used])
	if levels != nil {
		mem.Free(arrow.Int16Traits.CastToBytes(levels))
	}
	return grown
}

// drop forgets the current chunk.
func (l *leaf) drop() {
	if l.defs != nil {
		copy(l.defs, l.defs[l.levels:l.read])
	}
	if l.maxRep > 0 {
		copy(l.reps, l.reps[l.levels:l.read])
	}
	l.vals.drop(l.dense)
	l.read -= l.levels
	l.levels, l.dense = 0, 0
}

// close releases what the column holds. It may follow a panic.
func (l *leaf) close() {
	for _, levels := range [][]int16{l.defs, l.reps} {
		if levels != nil {
			l.mem.Free(arrow.Int16Traits.CastToBytes(levels))
		}
	}
	l.defs, l.reps = nil, nil
	l.valid.release()
	l.vals.release()
	l.pages.close()
}
