package arrowfile

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// dictionaries holds the dictionaries that were loaded last.
//
// Which dictionary batches make up dictionary d of a span is its chain: the
// last batch before the span that is not a delta, then the deltas up to the
// span, then the chains of dictionaries nested in its values. A dictionary
// stays loaded while spans have the same chain; only one chain of each id is
// kept, for a stream may replace a dictionary with every batch.
type dictionaries struct {
	mu struct {
		sync.Mutex

		loaded map[int64]loadedDictionary
	}
}

type loadedDictionary struct {
	chain []int // indexes into layout.dicts
	data  *array.Data
}

// close lets the loaded dictionaries go; batches keep those that they use.
func (d *dictionaries) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.mu.loaded {
		e.data.Release()
	}
	d.mu.loaded = nil
}

// dictionary returns dictionary id as it stands after the first epoch
// dictionary batches. The caller owns the reference.
func (r *reader) dictionary(id int64, epoch int) (*array.Data, error) {
	r.dicts.mu.Lock()
	defer r.dicts.mu.Unlock()
	return r.dictionaryLocked(id, epoch, nil)
}

// dictionaryLocked does the work of dictionary, for one that is needed by the
// dictionaries listed in outer.
func (r *reader) dictionaryLocked(id int64, epoch int, outer []int64) (*array.Data, error) {
	if slices.Contains(outer, id) {
		return nil, damaged("dictionary %d is nested in itself", id)
	}
	outer = append(slices.Clip(outer), id)
	own := r.layout.chain(id, epoch)
	chain := slices.Clip(own)
	for _, nested := range r.layout.schema.within(id) {
		chain = append(slices.Clip(chain), r.layout.chain(nested, epoch)...)
	}
	if e, ok := r.dicts.mu.loaded[id]; ok {
		if slices.Equal(e.chain, chain) {
			e.data.Retain()
			return e.data, nil
		}
		e.data.Release()
		delete(r.dicts.mu.loaded, id)
	}
	data, err := r.loadDictionary(id, own, func(nested int64) (*array.Data, error) {
		return r.dictionaryLocked(nested, epoch, outer)
	})
	if err != nil {
		return nil, err
	}
	if r.dicts.mu.loaded == nil {
		r.dicts.mu.loaded = make(map[int64]loadedDictionary)
	}
	data.Retain()
	r.dicts.mu.loaded[id] = loadedDictionary{chain: chain, data: data}
	return data, nil
}

// chain lists the dictionary batches that make up dictionary id.
func (l *layout) chain(id int64, epoch int) []int {
	all := l.byID[id]
	end, _ := slices.BinarySearch(all, epoch)
	start := end
	for start > 0 {
		start--
		if !l.dicts[all[start]].delta {
			break
		}
	}
	return all[start:end]
}

// within lists the dictionaries that the values of dictionary id need, at any
// depth.
func (s *fileSchema) within(id int64) []int64 {
	var ids []int64
	var visit func(c *column)
	visit = func(c *column) {
		if c.storage.ID() == arrow.DICTIONARY && c.dictID != id && !slices.Contains(ids, c.dictID) {
			ids = append(ids, c.dictID)
			visit(s.dicts[c.dictID])
		}
		for i := range c.children {
			visit(&c.children[i])
		}
	}
	visit(s.dicts[id])
	return ids
}

// loadDictionary decodes and joins the dictionary batches of a chain.
func (r *reader) loadDictionary(id int64, chain []int, nested func(int64) (*array.Data, error)) (*array.Data, error) {
	values := r.layout.schema.dicts[id]
	mem := newBudget(r.opts.Allocator, r.opts.BudgetBytes)
	if len(chain) == 0 {
		// Right for columns without rows or of nulls alone; an index into
		// it is found out by checkIndices.
		b := array.NewBuilder(mem, values.dtype)
		defer b.Release()
		arr := b.NewArray()
		defer arr.Release()
		return retained(arr)
	}
	var pieces []arrow.Array
	defer func() {
		for _, a := range pieces {
			a.Release()
		}
	}()
	for _, i := range chain {
		arr, err := r.loadDictionaryBatch(values, r.layout.dicts[i], mem, nested)
		if err != nil {
			return nil, err
		}
		pieces = append(pieces, arr)
	}
	if len(pieces) == 1 {
		return retained(pieces[0])
	}
	joined, err := array.Concatenate(pieces, mem)
	if errors.Is(err, arrow.ErrNotImplemented) {
		return nil, unsupported("delta dictionaries of %s", values.dtype)
	}
	if err != nil {
		return nil, fmt.Errorf("join delta dictionaries: %w", err)
	}
	defer joined.Release()
	return retained(joined)
}

// retained returns the data of arr with a reference of its own.
func retained(arr arrow.Array) (*array.Data, error) {
	data, ok := arr.Data().(*array.Data)
	if !ok {
		return nil, fmt.Errorf("array data of type %T", arr.Data())
	}
	data.Retain()
	return data, nil
}

func (r *reader) loadDictionaryBatch(values *column, b dictBlock, mem *budget, nested func(int64) (*array.Data, error)) (arrow.Array, error) {
	meta, err := b.at(r.file.Bytes())
	if err != nil {
		return nil, err
	}
	l := newLoader(r.file, meta, r.layout.schema.swapped())
	l.mem, l.zstd, l.dicts = mem, r.zstd, nested
	defer l.release()
	data, err := l.column(values, values.dtype)
	if err != nil {
		return nil, err
	}
	if int64(data.Len()) != meta.rows {
		return nil, damaged("a dictionary batch of %d rows has %d values", meta.rows, data.Len())
	}
	return array.MakeFromData(data), nil
}
