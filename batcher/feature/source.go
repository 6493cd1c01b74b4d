package feature

import (
	"bytes"
	"errors"
	"fmt"
	"sort"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"

	"github.com/millrace/millrace/internal/storage"
)

// Sentinels of what can be wrong with a column.
var (
	// ErrDamaged says that a column's buffers contradict each other.
	ErrDamaged = errors.New("column is damaged")
	// ErrType says that a column is of another type than was compiled for.
	ErrType = errors.New("column has another type here")
)

// source reads a column of record batches, some rows at a time. Nothing that the
// column's buffers say is believed before it is checked.
type source struct {
	column string
	field  int // in record batches
	typ    valueType

	texts *texts // of a column of text, or of nulls that stand for it
	pass  bool   // texts pass that lie one after the other
	lane  *lane  // of text: the tile's codes, for all who read it
	stamp int    // of the tile that lane is of

	// Of the record batch, borrowed: the column, and what its values are taken from
	// by index, nil where they are its own.
	array   arrow.Array
	slice   arrow.Array // that array is of, owned; nil where array is the record batch's
	entries arrow.Array
	place   []int32 // of the tile's rows in entries
	codes   []entryCode
	epoch   uint32             // of codes: counts dictionaries, and how often codes were forgotten
	kept    keptEntries        // those that codes are of
	value   func(i int) []byte // a text of the entries, or of array's own; nil until it is asked for
	damage  error              // of texts that value gave
	valid   perText[bool]
	first   int // row of the segment's first
}

// entryCode is the code of a dictionary's entry, if it is of the current epoch.
type entryCode struct {
	epoch uint32
	code  int32
}

// keptEntries are a copy of a dictionary's texts, by which the same ones are known again in the
// next record batch: their memory may be another's then.
type keptEntries struct {
	count         int // 0: none are kept
	offsets, data []byte
}

// How many bytes of a dictionary are compared and copied: for each row that it is opened for, so
// that it takes less than to look up again what rows ask for, and at most.
const (
	keptRowBytes = 8
	keptBytes    = 64 << 10
)

// keep says whether an array of texts is the one that was kept; else it keeps it, if it is small
// beside so many rows.
func (k *keptEntries) keep(a arrow.Array, rows int) (same bool) {
	d := a.Data()
	count := k.count
	if k.count = 0; !textsLieInOrder(a) || d.Buffers()[1] == nil {
		return false
	}
	offsets, data := d.Buffers()[1].Bytes(), []byte(nil)
	if b := d.Buffers()[2]; b != nil {
		data = b.Bytes()
	}
	width := 4
	if id := a.DataType().ID(); id == arrow.LARGE_STRING || id == arrow.LARGE_BINARY {
		width = 8
	}
	from, to := d.Offset()*width, (d.Offset()+d.Len()+1)*width
	if len(offsets) < to || to-from+len(data) > min(keptRowBytes*rows, keptBytes) {
		return false
	}
	offsets = offsets[from:to]
	k.count = d.Len()
	if count == d.Len() && bytes.Equal(k.offsets, offsets) && bytes.Equal(k.data, data) {
		return true
	}
	k.offsets, k.data = append(k.offsets[:0], offsets...), append(k.data[:0], data...)
	return false
}

func newSource(column string, field int, typ valueType) *source {
	s := &source{column: column, field: field, typ: typ, stamp: -1, place: make([]int32, TileRows)}
	switch typ.form {
	case formText:
		s.texts, s.lane = newTexts(), newLane()
		s.valid.of = utf8.Valid
	case formNull:
		s.texts = newTexts()
	}
	return s
}

// open takes up rows of a record batch.
func (s *source) open(record arrow.RecordBatch, from, rows int) error {
	s.close()
	column := record.Column(s.field)
	s.array, s.first = column, from
	if id := column.DataType().ID(); id < arrow.BOOL || id > arrow.FLOAT64 || id == arrow.FLOAT16 {
		// A slice of its own: arrays know their dictionaries when they are first asked,
		// and others may be at work on the same record.
		s.slice, s.first = array.NewSlice(column, int64(from), int64(from+rows)), 0
		s.array = storage.Array(s.slice)
	}
	if typ, err := typeOf(s.array.DataType()); err != nil || typ != s.typ {
		return fmt.Errorf("%w: it is %s", ErrType, s.array.DataType())
	}
	switch a := s.array.(type) {
	case *array.Dictionary:
		s.entries = storage.Array(a.Dictionary())
		if s.typ.form == formText && s.kept.keep(s.entries, rows) {
			return nil
		}
	case *array.RunEndEncoded:
		s.entries = storage.Array(a.Values())
		s.kept.count = 0
	}
	s.epoch++
	return nil
}

func (s *source) close() {
	if s.slice != nil {
		s.slice.Release()
	}
	s.slice, s.array, s.entries, s.value, s.damage = nil, nil, nil, nil, nil
}

// begin begins a tile of n rows: it keeps the codes of texts within bounds.
func (s *source) begin(n int) {
	if s.texts != nil && s.texts.begin(n, s.pass && textsLieInOrder(s.array)) {
		s.epoch++
	}
}

// textsLieInOrder says that an array's texts can be taken as they lie.
func textsLieInOrder(a arrow.Array) bool {
	switch a.(type) {
	case *array.String, *array.LargeString, *array.Binary, *array.LargeBinary:
		return true
	default:
		return false
	}
}

// read is load, with the column's name on its error.
func (s *source) read(t *tile, l *lane, at int) error {
	if err := s.load(t, l, at); err != nil {
		return fmt.Errorf("column %q: %w", s.column, err)
	}
	return nil
}

// load reads rows, counted from the segment's first, into a lane's first places. Its
// error wraps ErrDamaged.
func (s *source) load(t *tile, l *lane, at int) error {
	l.marked, l.c, l.texts = false, l.codes, s.texts
	if t.n == 0 {
		return nil
	}
	first := s.first + at
	if err := markNulls(l, s.array, first, t.n); err != nil {
		return err
	}
	values := s.array
	if s.entries != nil {
		if err := s.locate(l, first, t.n); err != nil {
			return err
		}
		if s.entries.Len() == 0 {
			return nil // every row is null
		}
		values = s.entries
	}
	if s.typ.form == formText {
		return s.loadTexts(t, l, values, first)
	}
	if _, ok := values.(*array.Null); ok {
		markAll(l, t.n)
		return nil
	}
	return loadNumbers(l, values, span{first: first, n: t.n, place: s.placeOrNil()})
}

func (s *source) placeOrNil() []int32 {
	if s.entries == nil {
		return nil
	}
	return s.place
}

func markAll(l *lane, n int) {
	for r := range n {
		if l.at(r) == Present {
			l.mark(r, NullMark)
		}
	}
}

// markNulls marks the nulls of an array's own bitmap.
func markNulls(l *lane, a arrow.Array, first, n int) error {
	bitmap, bit := a.NullBitmapBytes(), a.Data().Offset()+first
	if len(bitmap) == 0 {
		return nil
	}
	if len(bitmap)*8 < bit+n {
		return fmt.Errorf("%w: %d values have a validity bitmap of %d bytes", ErrDamaged, bit+n, len(bitmap))
	}
	if bitutil.CountSetBits(bitmap, bit, n) == n {
		return nil
	}
	for r := range n {
		if bitmap[(bit+r)>>3]>>((bit+r)&7)&1 == 0 {
			l.mark(r, NullMark)
		}
	}
	return nil
}

// locate finds the places of rows in the entries, and marks those whose entry is null.
func (s *source) locate(l *lane, first, n int) error {
	var err error
	switch a := s.array.(type) {
	case *array.Dictionary:
		err = s.locateIndices(l, a.Indices(), first, n)
	case *array.RunEndEncoded:
		err = s.locateRuns(a, first, n)
	}
	if err != nil {
		return err
	}
	bitmap, bit := s.entries.NullBitmapBytes(), s.entries.Data().Offset()
	if len(bitmap) == 0 {
		return nil
	}
	if len(bitmap)*8 < bit+s.entries.Len() {
		return fmt.Errorf("%w: %d entries have a validity bitmap of %d bytes", ErrDamaged, s.entries.Len(), len(bitmap))
	}
	for r, k := range s.place[:n] {
		if l.at(r) == Present && !bitutil.BitIsSet(bitmap, bit+int(k)) {
			l.mark(r, NullMark)
		}
	}
	return nil
}

// locateIndices takes a dictionary's indices.
func (s *source) locateIndices(l *lane, indices arrow.Array, first, n int) error {
	places := places{dst: s.place[:n], first: first, entries: s.entries.Len(), lane: l}
	switch i := indices.(type) {
	case *array.Int8:
		return placesOf(places, i.Int8Values())
	case *array.Int16:
		return placesOf(places, i.Int16Values())
	case *array.Int32:
		return placesOf(places, i.Int32Values())
	case *array.Int64:
		return placesOf(places, i.Int64Values())
	case *array.Uint8:
		return placesOf(places, i.Uint8Values())
	case *array.Uint16:
		return placesOf(places, i.Uint16Values())
	case *array.Uint32:
		return placesOf(places, i.Uint32Values())
	case *array.Uint64:
		return placesOf(places, i.Uint64Values())
	default:
		return fmt.Errorf("%w: its indices are %s", ErrDamaged, indices.DataType())
	}
}

// places are where rows from first on are to be found among entries.
type places struct {
	dst            []int32
	first, entries int
	lane           *lane
}

// placesOf checks the indices of rows that are not null; that of a null may be anything.
func placesOf[I int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64](p places, indices []I) error {
	if len(indices) < p.first+len(p.dst) {
		return fmt.Errorf("%w: of %d indices %d are there", ErrDamaged, p.first+len(p.dst), len(indices))
	}
	for r, k := range indices[p.first:][:len(p.dst)] {
		if u := uint64(k); u < uint64(p.entries) {
			p.dst[r] = int32(u)
			continue
		}
		if p.lane.at(r) == Present {
			return fmt.Errorf("%w: a value is entry %d of a dictionary of %d", ErrDamaged, k, p.entries)
		}
		p.dst[r] = 0
	}
	return nil
}

// locateRuns finds each row's run.
func (s *source) locateRuns(a *array.RunEndEncoded, first, n int) error {
	end, runs, err := runEnds(a.RunEndsArr())
	if err != nil {
		return err
	}
	row := a.Offset() + first
	at := sort.Search(runs, func(i int) bool { return end(i) > row })
	for r := range n {
		for at < runs && end(at) <= row+r {
			at++
		}
		if at > 0 && at < runs && end(at) <= end(at-1) {
			return fmt.Errorf("%w: run %d ends before it begins", ErrDamaged, at)
		}
		if at >= runs || at >= s.entries.Len() {
			return fmt.Errorf("%w: row %d is beyond its %d runs of %d values", ErrDamaged, row+r, runs, s.entries.Len())
		}
		s.place[r] = int32(at)
	}
	return nil
}

// runEnds gives access to where runs end.
func runEnds(a arrow.Array) (end func(i int) int, runs int, err error) {
	switch a := a.(type) {
	case *array.Int16:
		v := a.Int16Values()
		return func(i int) int { return int(v[i]) }, len(v), nil
	case *array.Int32:
		v := a.Int32Values()
		return func(i int) int { return int(v[i]) }, len(v), nil
	case *array.Int64:
		v := a.Int64Values()
		return func(i int) int { return int(v[i]) }, len(v), nil
	default:
		return nil, 0, fmt.Errorf("%w: its run ends are %s", ErrDamaged, a.DataType())
	}
}
