package feature

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"

	"github.com/millrace/millrace/batcher/decimal"
	"github.com/millrace/millrace/batcher/kernel"
	"github.com/millrace/millrace/internal/ascii"
	"github.com/millrace/millrace/internal/storage"
)

// span is n values of an array: those from first on, or, where place is set, those at
// its places.
type span struct {
	first, n int
	place    []int32
}

// end is one more than the last value of the span can be.
func (s span) end(length int) int {
	if s.place != nil {
		return length
	}
	return s.first + s.n
}

// enough checks that as many values are there as a span can ask for.
func (s span) enough(a arrow.Array, values int) error {
	if want := s.end(a.Len()); values < want {
		return fmt.Errorf("%w: of %d values %d are there", ErrDamaged, want, values)
	}
	return nil
}

// number is what Go converts to float64.
type number interface {
	int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64 | float32 | float64
}

// take converts the values of a span.
func take[S, D number](dst []D, src []S, s span) {
	if s.place != nil {
		for r, k := range s.place[:s.n] {
			dst[r] = D(src[k])
		}
		return
	}
	for r, v := range src[s.first:][:s.n] {
		dst[r] = D(v)
	}
}

// checked is take, of an array whose buffer may be too short.
func checked[S, D number](dst []D, a arrow.Array, src []S, s span) error {
	if err := s.enough(a, len(src)); err != nil {
		return err
	}
	take(dst, src, s)
	return nil
}

// loadNumbers reads numbers and times into a lane, by the form of their type.
func loadNumbers(l *lane, a arrow.Array, s span) error {
	switch t := a.(type) {
	case *array.Int8:
		return checked(l.f, a, t.Int8Values(), s)
	case *array.Int16:
		return checked(l.f, a, t.Int16Values(), s)
	case *array.Int32:
		return checked(l.f, a, t.Int32Values(), s)
	case *array.Uint8:
		return checked(l.f, a, t.Uint8Values(), s)
	case *array.Uint16:
		return checked(l.f, a, t.Uint16Values(), s)
	case *array.Uint32:
		return checked(l.f, a, t.Uint32Values(), s)
	case *array.Float32:
		return checked(l.f, a, t.Float32Values(), s)
	case *array.Float64:
		return checked(l.f, a, t.Float64Values(), s)
	case *array.Int64:
		return checked(l.i, a, t.Int64Values(), s)
	case *array.Duration:
		return checked(l.i, a, arrow.Int64Traits.CastFromBytes(arrow.DurationTraits.CastToBytes(t.DurationValues())), s)
	case *array.Uint64:
		return checked(l.i, a, t.Uint64Values(), s)
	case *array.Boolean:
		return loadBools(l, t, s)
	case *array.Float16:
		return loadHalves(l, t, s)
	case *array.Date32:
		return checked(l.i, a, arrow.Int32Traits.CastFromBytes(arrow.Date32Traits.CastToBytes(t.Date32Values())), s)
	case *array.Time32:
		return checked(l.i, a, arrow.Int32Traits.CastFromBytes(arrow.Time32Traits.CastToBytes(t.Time32Values())), s)
	case *array.Date64:
		return checked(l.i, a, arrow.Int64Traits.CastFromBytes(arrow.Date64Traits.CastToBytes(t.Date64Values())), s)
	case *array.Time64:
		return checked(l.i, a, arrow.Int64Traits.CastFromBytes(arrow.Time64Traits.CastToBytes(t.Time64Values())), s)
	case *array.Timestamp:
		return checked(l.i, a, arrow.Int64Traits.CastFromBytes(arrow.TimestampTraits.CastToBytes(t.TimestampValues())), s)
	default:
		return loadDecimals(l, a, s)
	}
}

func loadBools(l *lane, a *array.Boolean, s span) error {
	var bitmap []byte
	if b := a.Data().Buffers()[1]; b != nil {
		bitmap = b.Bytes()
	}
	bit := a.Data().Offset()
	if len(bitmap)*8 < bit+s.end(a.Len()) {
		return fmt.Errorf("%w: %d values are %d bytes", ErrDamaged, bit+s.end(a.Len()), len(bitmap))
	}
	if s.place == nil {
		kernel.Bools(l.f[:s.n], bitmap, bit+s.first)
		return nil
	}
	for r, k := range s.place[:s.n] {
		l.f[r] = 0
		if bitutil.BitIsSet(bitmap, bit+int(k)) {
			l.f[r] = 1
		}
	}
	return nil
}

func loadHalves(l *lane, a *array.Float16, s span) error {
	bits := arrow.Uint16Traits.CastFromBytes(arrow.Float16Traits.CastToBytes(a.Values()))
	if err := s.enough(a, len(bits)); err != nil {
		return err
	}
	if s.place == nil {
		kernel.Float16.Widen(l.f[:s.n], bits[s.first:])
		return nil
	}
	for r, k := range s.place[:s.n] {
		kernel.Float16.Widen(l.f[r:r+1], bits[k:])
	}
	return nil
}

// loadDecimals reads decimals as the nearest float64.
func loadDecimals(l *lane, a arrow.Array, s span) error {
	value, ok := decimal.Values(a)
	if !ok {
		return fmt.Errorf("%w: it is %s", ErrType, a.DataType())
	}
	if err := s.enough(a, a.Len()); err != nil {
		return err
	}
	l.each(s.n, func(r int) {
		at := s.first + r
		if s.place != nil {
			at = int(s.place[r])
		}
		l.f[r] = value(at).Nearest
	})
	return nil
}

// loadTexts reads texts into a lane, as codes.
func (s *source) loadTexts(t *tile, l *lane, a arrow.Array, first int) error {
	if noneLeft(l, t.n) {
		return nil // the values are nobody's business, and may not be there
	}
	var err error
	switch {
	case s.entries != nil:
		err = s.loadEntries(t, l, a)
	case s.texts.passing:
		err = s.passTexts(t, l, a, first)
	default:
		err = s.lookUp(t, l, a, first)
	}
	if err != nil {
		return err
	}
	if s.texts.broken > 0 {
		s.badTexts(t, l)
	}
	return nil
}

// lookUp looks up the texts of rows.
func (s *source) lookUp(t *tile, l *lane, a arrow.Array, first int) error {
	if first+t.n > a.Len() {
		return fmt.Errorf("%w: of %d values %d are there", ErrDamaged, first+t.n, a.Len())
	}
	if err := s.openTexts(a); err != nil {
		return err
	}
	l.each(t.n, func(r int) { l.c[r] = s.texts.code(s.value(first + r)) })
	return s.damage
}

// passTexts takes the texts of rows as they lie, if they lie one after the other.
func (s *source) passTexts(t *tile, l *lane, a arrow.Array, first int) error {
	var err error
	switch v := a.(type) {
	case *array.String:
		err = lend(s.texts, v.Data(), v.ValueOffsets, first, t.n)
	case *array.LargeString:
		err = lend(s.texts, v.Data(), v.ValueOffsets, first, t.n)
	case *array.Binary:
		err = lend(s.texts, v.Data(), v.ValueOffsets, first, t.n)
	case *array.LargeBinary:
		err = lend(s.texts, v.Data(), v.ValueOffsets, first, t.n)
	default:
		return s.lookUp(t, l, a, first)
	}
	switch {
	case err != nil:
		return err
	case ascii.Is(s.texts.data):
	case s.pass: // to see whether others are UTF-8 takes more than to look them up
		s.pass = false
		s.begin(t.n)
		return s.loadTexts(t, l, a, first)
	default:
		s.texts.check()
	}
	for r := range l.c[:t.n] {
		l.c[r] = int32(r)
	}
	return nil
}

// loadEntries looks up the texts of a dictionary's entries or of runs, each once unless
// they pass.
func (s *source) loadEntries(t *tile, l *lane, a arrow.Array) error {
	if err := s.openTexts(a); err != nil {
		return err
	}
	if s.texts.passing {
		l.each(t.n, func(r int) { l.c[r] = s.texts.add(s.value(int(s.place[r]))) })
		return s.damage
	}
	if len(s.codes) < a.Len() {
		s.codes = make([]entryCode, a.Len())
	}
	codes, epoch := s.codes, s.epoch
	for r, k := range s.place[:t.n] {
		e := &codes[k]
		if e.epoch != epoch {
			if l.at(r) != Present {
				continue
			}
			text := s.value(int(k))
			if s.damage != nil {
				return s.damage
			}
			*e = entryCode{epoch: epoch, code: s.texts.code(text)}
		}
		l.c[r] = e.code
	}
	return nil
}

func noneLeft(l *lane, n int) bool {
	return l.marked && !slices.Contains(l.marks[:n], Present)
}

// badTexts reports the rows whose bytes are not UTF-8.
func (s *source) badTexts(t *tile, l *lane) {
	valid := s.valid.all(s.texts)
	l.each(t.n, func(r int) {
		if !valid[l.c[r]] {
			t.bad(l, r, fmt.Sprintf("value %.40q is not UTF-8", s.texts.text(l.c[r])), "write the column as text")
		}
	})
}

// openTexts gives access to the texts of an array, once for each record batch. A dictionary
// may have far more of them than a batch has rows, so the place of a text among the bytes is
// checked as it is taken, and not before.
func (s *source) openTexts(a arrow.Array) error {
	if s.value != nil {
		return nil
	}
	var err error
	switch v := a.(type) {
	case *array.String:
		err = textAt(s, v.Data(), v.ValueOffsets)
	case *array.LargeString:
		err = textAt(s, v.Data(), v.ValueOffsets)
	case *array.Binary:
		err = textAt(s, v.Data(), v.ValueOffsets)
	case *array.LargeBinary:
		err = textAt(s, v.Data(), v.ValueOffsets)
	case *array.StringView:
		s.value = storage.TextOf(v)
	case *array.BinaryView:
		s.value = v.Value
	case *array.FixedSizeBinary:
		width, d := v.DataType().(*arrow.FixedSizeBinaryType).ByteWidth, v.Data()
		if b := d.Buffers()[1]; b == nil || b.Len() < (d.Offset()+d.Len())*width {
			return fmt.Errorf("%w: %d values of %d bytes are not there", ErrDamaged, d.Len(), width)
		}
		s.value = v.Value
	default:
		err = fmt.Errorf("%w: it is %s", ErrType, a.DataType())
	}
	return err
}

// textAt makes value that of texts. Where one is not among their bytes, that is the source's
// damage.
func textAt[O int32 | int64](s *source, d arrow.ArrayData, valueOffsets func() []O) error {
	data, offsets, err := textBuffers(d, valueOffsets)
	if err != nil {
		return err
	}
	s.value = func(i int) []byte {
		from, to := offsets[i], offsets[i+1]
		if from < 0 || to < from || int64(to) > int64(len(data)) {
			s.damage = badOffsets(data)
			return nil
		}
		return data[from:to]
	}
	return nil
}

func badOffsets(data []byte) error {
	return fmt.Errorf("%w: its text offsets do not fit its %d bytes of text", ErrDamaged, len(data))
}

// lend lends a passing tile its texts.
func lend[O int32 | int64](t *texts, d arrow.ArrayData, valueOffsets func() []O, first, n int) error {
	if first+n > d.Len() {
		return fmt.Errorf("%w: of %d values %d are there", ErrDamaged, first+n, d.Len())
	}
	data, offsets, err := textBuffers(d, valueOffsets)
	if err != nil {
		return err
	}
	if !borrow(t, data, offsets[first:][:n+1]) {
		return badOffsets(data)
	}
	return nil
}

// textBuffers are the bytes of texts, and an offset into them more than there are texts.
func textBuffers[O int32 | int64](d arrow.ArrayData, valueOffsets func() []O) ([]byte, []O, error) {
	need := (d.Offset() + d.Len() + 1) * binary.Size(O(0))
	if b := d.Buffers()[1]; b == nil || b.Len() < need {
		return nil, nil, fmt.Errorf("%w: %d texts do not have as many offsets", ErrDamaged, d.Len())
	}
	var data []byte
	if b := d.Buffers()[2]; b != nil {
		data = b.Bytes()
	}
	return data, valueOffsets(), nil
}
