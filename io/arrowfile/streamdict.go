package arrowfile

import (
	"errors"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// dictionaryBatch takes over the values of a dictionary, or further values of one, as the
// record batches after it have them. Those of columns that nobody wants are read over.
func (s *Stream) dictionaryBatch(m message) error {
	meta, err := batchOf(m)
	if err != nil {
		return err
	}
	values, ok := s.schema.dicts[meta.dictID]
	if !ok {
		return damaged("message at byte %d holds dictionary %d, which no field has", m.offset, meta.dictID)
	}
	check := &loader{meta: meta}
	n, err := check.skip(values)
	if err == nil {
		err = check.finish()
	}
	if err == nil && n.rows != meta.rows {
		err = damaged("%d values for %d rows", n.rows, meta.rows)
	}
	if err == nil {
		if !s.needed[meta.dictID] {
			return s.pass(meta.body)
		}
		err = s.takeDictionary(meta, values)
	}
	if err != nil {
		return fmt.Errorf("dictionary %d: %w", meta.dictID, err)
	}
	return nil
}

// takeDictionary receives a dictionary batch.
func (s *Stream) takeDictionary(meta *batchMeta, values *column) error {
	body, err := s.body(meta)
	if err != nil {
		return err
	}
	defer body.Release()
	l := s.loader(body, meta, s.memory)
	defer l.release()
	data, err := l.column(values, values.dtype)
	if err != nil {
		return err
	}
	if int64(data.Len()) != meta.rows {
		return damaged("a dictionary batch of %d rows has %d values", meta.rows, data.Len())
	}
	fresh := array.MakeFromData(data)
	defer fresh.Release()
	// A copy, and where it is a delta joined with what was there: a dictionary may stay
	// for the whole stream, and must not hold bodies.
	pieces := []arrow.Array{fresh}
	before := s.dicts[meta.dictID]
	if meta.delta && before != nil {
		old := array.MakeFromData(before)
		defer old.Release()
		pieces = []arrow.Array{old, fresh}
	}
	joined, err := array.Concatenate(pieces, s.memory)
	switch {
	case errors.Is(err, arrow.ErrNotImplemented) && len(pieces) == 1:
		joined = fresh
		joined.Retain()
	case errors.Is(err, arrow.ErrNotImplemented):
		return unsupported("delta dictionaries of %s", values.dtype)
	case err != nil:
		return fmt.Errorf("join delta dictionaries: %w", err)
	}
	defer joined.Release()
	own, err := retained(joined)
	if err != nil {
		return err
	}
	if before != nil {
		before.Release()
	}
	s.dicts[meta.dictID] = own
	if !meta.delta {
		s.forgetAround(meta.dictID)
	}
	return nil
}

// forgetAround drops the dictionaries whose values have indices into one that was
// replaced: they must come again before they are used.
func (s *Stream) forgetAround(id int64) {
	for outer, data := range s.dicts {
		if slices.Contains(s.schema.within(outer), id) {
			data.Release()
			delete(s.dicts, outer)
		}
	}
}

// dictionary gives a dictionary as it stands now. The caller owns the reference.
func (s *Stream) dictionary(id int64) (*array.Data, error) {
	if d, ok := s.dicts[id]; ok {
		d.Retain()
		return d, nil
	}
	// Right for columns without rows or of nulls alone; an index into it is found out
	// by checkIndices.
	b := array.NewBuilder(s.memory, s.schema.dicts[id].dtype)
	defer b.Release()
	arr := b.NewArray()
	defer arr.Release()
	return retained(arr)
}
