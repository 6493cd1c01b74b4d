package parquetfile

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet/file"
)

// maxEmptyPages is how many pages without values may follow each other. The
// library ends a column at the first one; asking again goes on.
const maxEmptyPages = 64

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
// ends where the next begins, so fill reads ahead.
type leaf struct {
	path           string
	unsupported    string // an encoding of the column chunk that cannot be decoded
	maxDef, maxRep int16
	reader         file.ColumnChunkReader
	vals           values
	mem            *budget

	defs, reps []int16 // of all levels read and not dropped; nil where the maximum is 0
	read       int     // levels read and not dropped
	left       int64   // levels that the column chunk says it has and were not read

	levels int  // of the current chunk
	dense  int  // values of the current chunk
	ended  bool // the column chunk has no more
}

// fill reads the levels and values of the next n rows.
func (l *leaf) fill(n int) (err error) {
	defer l.guard(&err)
	if l.maxRep == 0 {
		if err := l.grow(n); err != nil {
			return err
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
	if !l.ended && l.read == 0 {
		if err := l.grow(1); err != nil {
			return err
		}
		if err := l.step(1); err != nil {
			return err
		}
	}
	if l.read > 0 {
		return damaged("column has more rows than its row group")
	}
	return nil
}

// step reads up to n levels and their values from one page, and at least one
// unless the column has ended.
func (l *leaf) step(n int) error {
	more := l.reader.HasNext()
	for empty := 0; !more; empty++ {
		if err := l.reader.Err(); err != nil {
			return &decodeError{err}
		}
		if l.left <= 0 || empty == maxEmptyPages {
			l.ended = true
			return nil
		}
		more = l.reader.HasNext()
	}
	n = min(n, l.vals.step())
	if err := l.grow(l.read + n); err != nil {
		return err
	}
	var defs, reps []int16
	if l.maxDef > 0 {
		defs = l.defs[l.read : l.read+n]
	}
	if l.maxRep > 0 {
		reps = l.reps[l.read : l.read+n]
	}
	levels, dense, err := l.vals.read(l.reader, n, defs, reps)
	if err != nil {
		return &decodeError{err}
	}
	if levels <= 0 || levels > int64(n) {
		return damaged("page claims values that it does not have")
	}
	want := int(levels)
	if l.maxDef > 0 {
		if want, err = l.checkLevels(defs[:levels]); err != nil {
			return err
		}
	}
	if l.maxRep > 0 {
		for _, r := range reps[:levels] {
			if r < 0 || r > l.maxRep {
				return damaged("repetition level %d above %d", r, l.maxRep)
			}
		}
	}
	if dense != want {
		return damaged("page has %d values for %d levels that need one", dense, want)
	}
	l.read += int(levels)
	l.left -= levels
	return nil
}

// checkLevels returns how many definition levels stand for a value.
func (l *leaf) checkLevels(defs []int16) (int, error) {
	dense := 0
	var all int16
	if l.maxDef == 1 {
		for _, d := range defs { // levels are 0 or 1: add them up
			all |= d
			dense += int(d)
		}
		if all&^1 != 0 {
			return 0, damaged("definition level above 1")
		}
		return dense, nil
	}
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
func (l *leaf) grow(n int) error {
	if l.maxDef > 0 {
		l.defs = growLevels(l.defs, l.read, n, l.mem)
	}
	if l.maxRep > 0 {
		l.reps = growLevels(l.reps, l.read, n, l.mem)
	}
	return l.vals.grow(n - l.read)
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
	if l.maxDef > 0 {
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
func (l *leaf) close() error {
	for _, levels := range [][]int16{l.defs, l.reps} {
		if levels != nil {
			l.mem.Free(arrow.Int16Traits.CastToBytes(levels))
		}
	}
	l.defs, l.reps = nil, nil
	l.vals.release()
	return l.reader.Close()
}
