package agree

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/models"
)

// ErrNoRows says that no rows can be made for a model, and why.
var ErrNoRows = errors.New("no rows can be made")

// ErrTooManyRows says that fewer rows could be made, and were not asked for.
var ErrTooManyRows = errors.New("too many rows")

// maxMadeBytes bounds the values of all made rows together.
const maxMadeBytes = 256 << 20

// Rows are values for every input of a model, row by row.
type Rows struct {
	Count int
	// fixed says that an input's number of rows is fixed by the model, so that
	// they go together or not at all.
	fixed  bool
	inputs []madeInput
}

// madeInput is one input: of elements of a fixed size, or of strings.
type madeInput struct {
	elem  models.ElementType
	shape []int64 // the first is the number of rows
	whole bool    // its floats are whole numbers
	data  []byte
	words []string
}

// Made makes rows for a model's inputs: each column is of a kind of its place,
// normal, log-normal, small whole numbers or counts, and of floats one value in
// 50 is NaN. Columns whose number the model leaves open are features by their
// names in the metadata. The same seed gives the same rows.
//
// Where trees ask whether a value is in a set, all floats are whole numbers, as categories
// are: of fractions ONNX Runtime 1.31.1 says that 4.5 is in a set with 4, which no rewrite
// is to be held to.
//
// An error wraps ErrTooManyRows where fewer would do, and else ErrNoRows: for inputs
// that are no tensors, for types that no column has, and for dimensions that stay
// open.
func Made(m *models.Model, count int, seed uint64) (*Rows, error) {
	random := rand.New(rand.NewPCG(seed, 0x6167726565)) //nolint:gosec // data, not secrets; the same each time
	rows := &Rows{Count: count}
	for i := range m.Inputs {
		if s := m.Inputs[i].Shape; len(s) > 0 && s[0].Size >= 0 {
			rows.Count, rows.fixed = int(s[0].Size), true
		}
	}
	column, bytes := 0, 0
	whole := m.TestsMembership()
	for i := range m.Inputs {
		in := &m.Inputs[i]
		shape, err := madeShape(m, in, rows.Count)
		if err != nil {
			return nil, err
		}
		made := madeInput{elem: in.Elem, shape: shape, whole: whole}
		width := 1
		for _, d := range shape[1:] {
			if int64(width)*d > maxMadeBytes {
				return nil, fmt.Errorf("%w for input %q: its rows are too wide", ErrNoRows, in.Name)
			}
			width *= int(d)
		}
		if bytes += rows.Count * width * max(16, in.Elem.Bytes()); bytes > maxMadeBytes {
			why := ErrTooManyRows
			if rows.fixed {
				why = ErrNoRows
			}
			return nil, fmt.Errorf("%w: %d rows would take more than %d MiB", why, rows.Count, maxMadeBytes>>20)
		}
		for range rows.Count {
			for c := range width {
				if !made.draw(random, column+c) {
					return nil, fmt.Errorf("%w for input %q: it is of %s", ErrNoRows, in.Name, in.Elem)
				}
			}
		}
		column += width
		rows.inputs = append(rows.inputs, made)
	}
	return rows, nil
}

// madeShape is the shape of an input of count rows.
func madeShape(m *models.Model, in *models.Value, count int) ([]int64, error) {
	switch {
	case in.Kind != models.Tensor || !in.HasShape || len(in.Shape) == 0:
		return nil, fmt.Errorf("%w for input %q: it is no tensor with a dimension of rows", ErrNoRows, in.Name)
	case in.Shape[0].Size >= 0 && in.Shape[0].Size != int64(count):
		return nil, fmt.Errorf("%w: its inputs have fixed and different numbers of rows", ErrNoRows)
	}
	shape := []int64{int64(count)}
	for _, d := range in.Shape[1:] {
		size := d.Size
		if names := m.FeatureNames(); size < 0 && len(in.Shape) == 2 && len(m.Inputs) == 1 {
			size = int64(len(names))
		}
		if size <= 0 {
			return nil, fmt.Errorf("%w for input %q: its shape %v leaves a dimension open", ErrNoRows, in.Name, in.Shape)
		}
		shape = append(shape, size)
	}
	return shape, nil
}

// draw appends one value of a column; false for a type that is not made.
func (in *madeInput) draw(random *rand.Rand, column int) bool {
	v := value(random, column)
	if in.whole {
		v = math.Trunc(v)
	}
	small := uint64(int64(math.Abs(v))) & math.MaxInt8
	switch in.elem {
	case models.Float32:
		if random.IntN(50) == 0 {
			v = math.NaN()
		}
		in.data = binary.NativeEndian.AppendUint32(in.data, math.Float32bits(float32(v)))
	case models.Float64:
		if random.IntN(50) == 0 {
			v = math.NaN()
		}
		in.data = binary.NativeEndian.AppendUint64(in.data, math.Float64bits(v))
	case models.Int64, models.Uint64:
		in.data = binary.NativeEndian.AppendUint64(in.data, small)
	case models.Int32, models.Uint32:
		in.data = binary.NativeEndian.AppendUint32(in.data, uint32(small))
	case models.Int16, models.Uint16:
		in.data = binary.NativeEndian.AppendUint16(in.data, uint16(small))
	case models.Int8, models.Uint8:
		in.data = append(in.data, byte(small))
	case models.Bool:
		in.data = append(in.data, byte(random.IntN(2)))
	case models.String:
		in.words = append(in.words, fmt.Sprintf("w%d", small))
	default:
		return false
	}
	return true
}

func value(random *rand.Rand, column int) float64 {
	switch column % 4 {
	case 0:
		return random.NormFloat64()
	case 1:
		return math.Exp(random.NormFloat64())
	case 2:
		return float64(random.IntN(24)) // an hour, a category
	default:
		return float64(int(random.ExpFloat64() * 100)) // a count, an age, a distance
	}
}

// pick gives some of the rows.
func (r *Rows) pick(which []int) *Rows {
	picked := &Rows{Count: len(which)}
	for _, in := range r.inputs {
		out := madeInput{elem: in.elem, shape: append([]int64{int64(len(which))}, in.shape[1:]...)}
		bytes, words := len(in.data)/r.Count, len(in.words)/r.Count
		for _, row := range which {
			out.data = append(out.data, in.data[row*bytes:(row+1)*bytes]...)
			out.words = append(out.words, in.words[row*words:(row+1)*words]...)
		}
		picked.inputs = append(picked.inputs, out)
	}
	return picked
}

// tensors makes a tensor for each input, which the caller closes: on an error,
// those that were made.
func (r *Rows) tensors() ([]*ort.Tensor, error) {
	all := make([]*ort.Tensor, 0, len(r.inputs))
	for _, in := range r.inputs {
		t, err := in.tensor()
		if err != nil {
			return all, err
		}
		all = append(all, t)
	}
	return all, nil
}

func (in *madeInput) tensor() (*ort.Tensor, error) {
	if in.elem != models.String {
		return ort.NewTensor(in.elem, in.shape, in.data)
	}
	offsets, data := make([]int64, 1, len(in.words)+1), []byte(nil)
	for _, w := range in.words {
		data = append(data, w...)
		offsets = append(offsets, int64(len(data)))
	}
	return ort.NewStringTensor(in.shape, offsets, data)
}
