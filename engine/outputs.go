package engine

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/internal/nearest"
	"github.com/millrace/millrace/models"
)

// ErrOutputShape says that a model gave something that cannot be written as
// columns.
var ErrOutputShape = errors.New("model output cannot become columns")

// outputSpec is one model output as the run takes it.
type outputSpec struct {
	index  int // in the model's outputs
	value  models.Value
	labels models.ClassLabels
	// item is the shape of one row as far as it is known: [] for [N], [k] for
	// [N,k]. static says that the signature gives it, learned that a Run did.
	item    []int64
	static  bool
	learned bool
	open    bool // ONNX Runtime has refused memory of ours
	layout  Layout
	prefix  string
}

// width is the number of elements of one row.
func (s *outputSpec) width() int {
	n := int64(1)
	for _, d := range s.item {
		n *= d
	}
	return int(n)
}

// preset reports whether ONNX Runtime can write the output into memory of
// ours. A shape that only the signature gives does not count: exporters declare
// shapes that their models do not keep to, and ONNX Runtime only warns.
func (s *outputSpec) preset() bool {
	return s.learned && !s.open && s.value.Kind == models.Tensor && s.value.Elem.Bytes() > 0
}

// misdeclared reports whether the signature says that an output cannot have this shape.
func (s *outputSpec) misdeclared(shape []int64) bool {
	if !s.value.HasShape || len(s.value.Shape) != len(shape) {
		return s.value.HasShape
	}
	for i, d := range s.value.Shape {
		if d.Size > 0 && d.Size != shape[i] {
			return true
		}
	}
	return false
}

// newOutputSpecs picks the outputs that a run writes.
func newOutputSpecs(m *models.Model, names []string, layout Layout, prefix string) ([]outputSpec, error) {
	all := make([]string, len(m.Outputs))
	for i, v := range m.Outputs {
		all[i] = v.Name
	}
	if len(names) == 0 {
		names = all
	}
	specs := make([]outputSpec, 0, len(names))
	for _, name := range names {
		i := slices.Index(all, name)
		if i < 0 {
			return nil, fmt.Errorf("%w: --model-outputs names %q, which the model does not have%s; its outputs: %q",
				ErrUsage, name, nearest.DidYouMean(name, all), all)
		}
		spec := outputSpec{index: i, value: m.Outputs[i], layout: layout, prefix: prefix}
		spec.labels, _ = m.OutputLabels(i)
		v := &spec.value
		switch v.Kind {
		case models.Tensor:
			if err := spec.fromSignature(); err != nil {
				return nil, err
			}
		case models.SequenceOfMaps:
			v.Elem = models.Float32
		default:
			return nil, fmt.Errorf("%w: output %q is neither a tensor nor a sequence of maps; leave it out by --model-outputs", ErrOutputShape, v.Name)
		}
		specs = append(specs, spec)
	}
	return specs, nil
}

// WritableOutputs names the outputs of a model of which its signature does not say that they
// cannot become columns.
func WritableOutputs(m *models.Model) (names []string) {
	for i := range m.Outputs {
		one := []string{m.Outputs[i].Name}
		if _, err := newOutputSpecs(m, one, LayoutAuto, ""); err == nil && rowsFirst(m, one) == nil {
			names = append(names, one...)
		}
	}
	return names
}

func (s *outputSpec) fromSignature() error {
	v := &s.value
	if v.Elem != models.String && arrowType(v.Elem) == nil {
		return fmt.Errorf("%w: output %q is %s, which no column holds; leave it out by --model-outputs", ErrOutputShape, v.Name, v.Elem)
	}
	if !v.HasShape {
		return nil
	}
	if len(v.Shape) == 0 {
		return fmt.Errorf("%w: output %q is a scalar, one value for the whole batch; leave it out by --model-outputs", ErrOutputShape, v.Name)
	}
	item := []int64{}
	for _, d := range v.Shape[1:] {
		if d.Size <= 0 { // 0 is a mistake that a Run may not repeat
			return nil
		}
		item = append(item, d.Size)
	}
	if err := s.check(item); err != nil {
		return err
	}
	s.static, s.item = true, item
	return nil
}

// Bounds on what becomes columns, far above what is of use; a model's file may
// say anything.
const (
	maxItem    = math.MaxInt32 // values of one row, which a FixedSizeList counts in 32 bits
	maxColumns = 1 << 16       // of one output
)

// check refuses the shape of a row that no column holds.
func (s *outputSpec) check(item []int64) error {
	total := int64(1)
	for _, d := range item {
		if d == 0 {
			return fmt.Errorf("%w: output %q has the shape %v a row, which is no values; leave it out by --model-outputs", ErrOutputShape, s.value.Name, item)
		}
		if d > maxItem/total {
			return fmt.Errorf("%w: output %q has the shape %v a row, more than %d values; leave it out by --model-outputs", ErrOutputShape, s.value.Name, item, maxItem)
		}
		total *= d
	}
	if s.layout == LayoutColumns && total > maxColumns {
		return fmt.Errorf("%w: output %q has %d values a row, more than the %d that may have columns of their own; use --output-layout list", ErrOutputShape, s.value.Name, total, maxColumns)
	}
	return nil
}

// learn takes the shape of an output that the signature leaves open from what
// a Run gave.
func (s *outputSpec) learn(shape []int64, rows int) error {
	if len(shape) == 0 || shape[0] != int64(rows) {
		return fmt.Errorf("%w: output %q has shape %v for a batch of %d rows; the first dimension must be the rows (leave it out by --model-outputs)",
			ErrOutputShape, s.value.Name, shape, rows)
	}
	if s.item == nil || !s.learned {
		if err := s.check(shape[1:]); err != nil {
			return err
		}
		s.item, s.learned = slices.Clone(shape[1:]), true
		return nil
	}
	if !slices.Equal(s.item, shape[1:]) {
		return fmt.Errorf("%w: output %q has the shape %v a row in this batch and had %v before; leave it out by --model-outputs", ErrOutputShape, s.value.Name, shape[1:], s.item)
	}
	return nil
}

// fields are the columns that the output becomes. The item's shape must be
// known.
func (s *outputSpec) fields() []arrow.Field {
	name := s.prefix + s.value.Name
	width := s.width()
	elem := columnType(s.value.Elem)
	switch {
	case len(s.item) == 0 || len(s.item) == 1 && s.item[0] == 1 && !s.perClass():
		return []arrow.Field{{Name: name, Type: elem}}
	case s.split():
		fields := make([]arrow.Field, width)
		for i := range fields {
			fields[i] = arrow.Field{Name: name + "_" + s.suffix(i), Type: elem}
		}
		return fields
	default:
		t := elem
		for _, d := range slices.Backward(s.item) {
			t = arrow.FixedSizeListOfField(int32(d), arrow.Field{Name: "item", Type: t})
		}
		return []arrow.Field{{Name: name, Type: t}}
	}
}

// perClass reports whether the output's values are scores of known classes.
func (s *outputSpec) perClass() bool {
	return len(s.item) == 1 && int64(s.labels.Len()) == s.item[0]
}

// split reports whether each value of a row gets a column of its own.
func (s *outputSpec) split() bool {
	switch s.layout {
	case LayoutColumns:
		return true
	case LayoutList:
		return false
	default:
		return s.perClass()
	}
}

func (s *outputSpec) suffix(i int) string {
	if !s.perClass() {
		return strconv.Itoa(i)
	}
	return s.label(i)
}

// label is the name of a class.
func (s *outputSpec) label(i int) string {
	if len(s.labels.Strings) > 0 {
		return s.labels.Strings[i]
	}
	return strconv.FormatInt(s.labels.Ints[i], 10)
}

// classColumns counts the classes whose column has a name.
func (s *outputSpec) classColumns(column string) (n int) {
	for i := range s.labels.Len() {
		if column == s.prefix+s.value.Name+"_"+s.label(i) {
			n++
		}
	}
	return n
}

// inModelOrder puts decoded scores, which come in the order of the maps' keys,
// into that of the model's class labels, where those are known: the order that
// a run without rows, and one with the ZipMap taken off, has.
func (s *outputSpec) inModelOrder(scores []float32, labels models.ClassLabels) ([]float32, models.ClassLabels) {
	n := labels.Len()
	if n == 0 || s.labels.Len() != n || s.labels.Equal(labels) {
		return scores, labels
	}
	from := make([]int, n) // where the k-th of the model's classes is
	for k := range from {
		switch {
		case len(labels.Strings) > 0 && len(s.labels.Strings) > 0:
			from[k] = slices.Index(labels.Strings, s.labels.Strings[k])
		case len(labels.Ints) > 0 && len(s.labels.Ints) > 0:
			from[k] = slices.Index(labels.Ints, s.labels.Ints[k])
		default:
			return scores, labels
		}
		if from[k] < 0 {
			return scores, labels
		}
	}
	out := make([]float32, len(scores))
	for row := 0; row < len(scores); row += n {
		for k, at := range from {
			out[row+k] = scores[row+at]
		}
	}
	return out, s.labels
}

// arrowType is the Arrow type with a tensor element's bytes; nil when there is
// none.
func arrowType(e models.ElementType) arrow.DataType {
	switch e {
	case models.Float32:
		return arrow.PrimitiveTypes.Float32
	case models.Float64:
		return arrow.PrimitiveTypes.Float64
	case models.Float16:
		return arrow.FixedWidthTypes.Float16
	case models.BFloat16:
		return arrow.PrimitiveTypes.Float32
	case models.Int8:
		return arrow.PrimitiveTypes.Int8
	case models.Int16:
		return arrow.PrimitiveTypes.Int16
	case models.Int32:
		return arrow.PrimitiveTypes.Int32
	case models.Int64:
		return arrow.PrimitiveTypes.Int64
	case models.Uint8:
		return arrow.PrimitiveTypes.Uint8
	case models.Uint16:
		return arrow.PrimitiveTypes.Uint16
	case models.Uint32:
		return arrow.PrimitiveTypes.Uint32
	case models.Uint64:
		return arrow.PrimitiveTypes.Uint64
	case models.Bool:
		return arrow.FixedWidthTypes.Boolean
	default:
		return nil
	}
}

func columnType(e models.ElementType) arrow.DataType {
	if e == models.String {
		return arrow.BinaryTypes.String
	}
	return arrowType(e)
}
