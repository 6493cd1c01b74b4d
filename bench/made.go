package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/float16"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/io/arrowfile"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/parquetfile"
	"github.com/millrace/millrace/models"
)

// Made says what data to make where there is none.
type Made struct {
	Rows      int64
	NullShare float64     // of the values of numeric columns that are null
	Format    format.Name // Parquet by default
	Seed      uint64
}

// Rows that are made at a time, and rows of a row group: fewer where rows are so
// wide that they would be more than madeChunkBytes or madeGroupBytes.
const (
	madeChunkRows, madeChunkBytes = 1 << 14, 64 << 20
	madeGroupRows, madeGroupBytes = 1 << 17, 256 << 20
)

// idColumn is the column that names rows in made data; longer where the model
// has a column of that name.
const idColumn = "row_id"

// names say what columns are called, as settings of a run do.
type names struct {
	features []string            // of an [N,F] input; without them the model's metadata say
	bind     map[string][]string // by input
}

// make writes data that fits the model's signature to a file, and returns the
// settings with which it is read. progress, if set, is called now and then with
// the rows that are made.
//
// A column's distribution is drawn by its place: normal, log-normal, uniform
// with few distinct values, or counts, as tables of features have them. Strings
// are words of a vocabulary by Zipf's law. A column that is wider than one value
// is a FixedSizeList. Predictions on such data mean nothing; only their cost
// does, and a tree's cost depends on data, so that real input measures better.
func (m *Made) make(ctx context.Context, path string, model *models.Model, called names, progress func(rows int64)) (opts engine.Options, err error) {
	columns, opts, err := madeColumns(model, called)
	if err != nil {
		return opts, err
	}
	id := idColumn
	for slices.ContainsFunc(columns, func(c madeColumn) bool { return c.name == id }) {
		id += "_"
	}
	fields, width := []arrow.Field{{Name: id, Type: arrow.PrimitiveTypes.Int64}}, int64(8)
	for _, c := range columns {
		fields = append(fields, arrow.Field{Name: c.name, Type: c.typed, Nullable: true})
		width += 8 * int64(c.width) // at most, but for strings
	}
	schema := arrow.NewSchema(fields, nil)
	file, err := os.Create(path)
	if err != nil {
		return opts, cannotMake(err)
	}
	defer func() {
		if closed := file.Close(); err == nil && closed != nil {
			err = cannotMake(closed)
		}
	}()
	within := func(rows, bytes int64) int64 { return max(1, min(rows, bytes/width)) }
	writer, err := m.writer()(file, schema, format.WriteOptions{RowGroupRows: int(within(madeGroupRows, madeGroupBytes))})
	if err != nil {
		return opts, cannotMake(err)
	}
	random := rand.New(rand.NewPCG(m.Seed, 0x6d696c6c72616365)) //nolint:gosec // data, not secrets; the same each time
	step := within(madeChunkRows, madeChunkBytes)
	for row := int64(0); row < m.Rows; row += step {
		if ctx.Err() != nil {
			return opts, errors.Join(context.Cause(ctx), writer.Close())
		}
		if progress != nil {
			progress(row)
		}
		chunk := m.chunk(random, schema, columns, row, int(min(step, m.Rows-row)))
		err := writer.Write(chunk)
		chunk.Release()
		if err != nil {
			return opts, cannotMake(errors.Join(err, writer.Close()))
		}
	}
	if err := writer.Close(); err != nil {
		return opts, cannotMake(err)
	}
	opts.Inputs, opts.IDs = []string{path}, []string{id}
	return opts, nil
}

// cannotMake is an error of the file that made data go to.
func cannotMake(err error) error {
	return fmt.Errorf("%w: make data: %w (--dir names another folder for them)", ledger.ErrOutput, err)
}

func (m *Made) writer() func(io.Writer, *arrow.Schema, format.WriteOptions) (format.Writer, error) {
	if m.Format == format.ArrowFile {
		return arrowfile.NewWriter
	}
	return parquetfile.NewWriter
}

// madeColumn is one column of made data.
type madeColumn struct {
	name  string
	typed arrow.DataType
	width int // values of a row
	kind  int // of distribution
	nulls bool
}

// madeColumns lists the columns that the model's inputs are bound to, each once.
func madeColumns(model *models.Model, called names) ([]madeColumn, engine.Options, error) {
	opts := engine.Options{Bind: map[string][]string{}}
	opts.Nulls.ByColumn = map[string]batcher.NullPolicy{}
	list := called.features
	if len(list) == 0 {
		list = model.FeatureNames()
	}
	var columns []madeColumn
	at := map[string]int{} // by name
	for i := range model.Inputs {
		in := &model.Inputs[i]
		of, err := columnsOf(in, len(model.Inputs), list, called.bind[in.Name])
		if err != nil {
			return nil, opts, err
		}
		var bound []string
		for _, c := range of {
			bound = append(bound, c.name)
			old, twice := at[c.name]
			switch {
			case !twice:
				if c.width > 1 || len(of) == 1 {
					c.kind = len(columns)
				}
				at[c.name] = len(columns)
				columns = append(columns, c)
			case !arrow.TypeEqual(columns[old].typed, c.typed):
				return nil, opts, cannotShape(in, fmt.Sprintf("shares column %q with another input, as %s and as %s", c.name, columns[old].typed, c.typed))
			}
		}
		if len(bound) > 1 || bound[0] != in.Name {
			opts.Bind[in.Name] = bound
		}
	}
	for _, c := range columns {
		if c.nulls {
			opts.Nulls.ByColumn[c.name] = batcher.NullPolicy{Action: batcher.NullNaN}
		}
	}
	return columns, opts, nil
}

// columnsOf are the columns of one input of several: one for each feature of the
// model's one matrix, else one for the input, which is a FixedSizeList where a row
// has more than one value. listed are the names of features, bound those that
// the user binds this input to.
func columnsOf(in *models.Value, inputs int, listed, bound []string) ([]madeColumn, error) {
	elem := arrowElement(in.Elem)
	switch {
	case in.Kind != models.Tensor:
		return nil, cannotShape(in, "is no tensor")
	case elem == nil:
		return nil, cannotShape(in, "is a tensor of "+in.Elem.String()+", which no column has")
	case !in.HasShape:
		return nil, cannotShape(in, "has no known rank")
	case len(in.Shape) == 0:
		return nil, cannotShape(in, "is a scalar, without a dimension of rows")
	}
	if len(bound) > 0 {
		listed = bound
	}
	column := func(name string, kind int) madeColumn {
		return madeColumn{name: name, typed: elem, width: 1, kind: kind, nulls: isFloat(in.Elem)}
	}
	width, open := 1, false
	for _, d := range in.Shape[1:] {
		switch {
		case d.Size == 0:
			return nil, cannotShape(in, "has no values: a dimension of "+in.Shape.String()+" is 0")
		case d.Size < 0:
			open = true
		case int64(width)*d.Size > maxMadeWidth:
			return nil, cannotShape(in, fmt.Sprintf("has more than %d values a row", maxMadeWidth))
		default:
			width *= int(d.Size)
		}
	}
	matrix := len(in.Shape) == 2 && (inputs == 1 || len(bound) > 1)
	switch {
	case open && !matrix:
		return nil, cannotShape(in, "leaves a dimension of "+in.Shape.String()+" open")
	case open && len(listed) == 0:
		return nil, fmt.Errorf("%w: input %q has an open number of features, and the model's metadata does not list them: name them with --features, or give --input", engine.ErrUsage, in.Name)
	case matrix && (open || width > 1):
		if !open && len(listed) != width {
			if len(bound) > 1 {
				return nil, fmt.Errorf("%w: --bind gives input %q %d columns, and it takes %d", engine.ErrUsage, in.Name, len(bound), width)
			}
			listed = make([]string, width)
			for i := range listed {
				listed[i] = "f" + strconv.Itoa(i)
			}
		}
		columns := make([]madeColumn, len(listed))
		for i, name := range listed {
			columns[i] = column(name, i)
		}
		return columns, nil
	}
	c := column(in.Name, 0)
	if len(bound) == 1 {
		c.name = bound[0]
	}
	if width > 1 {
		c.width, c.typed, c.nulls = width, arrow.FixedSizeListOf(int32(width), elem), false
	}
	return []madeColumn{c}, nil
}

// maxMadeWidth bounds the values of one row.
const maxMadeWidth = 1 << 24

// cannotShape says why there are no made data for an input.
func cannotShape(in *models.Value, why string) error {
	return fmt.Errorf("%w: no data can be made for input %q, which %s: give --input", engine.ErrUsage, in.Name, why)
}

func isFloat(e models.ElementType) bool {
	return e == models.Float32 || e == models.Float64 || e == models.Float16
}

// arrowElement is the Arrow type of made values; nil for those not made.
func arrowElement(e models.ElementType) arrow.DataType {
	switch e {
	case models.Float32:
		return arrow.PrimitiveTypes.Float32
	case models.Float64:
		return arrow.PrimitiveTypes.Float64
	case models.Int64:
		return arrow.PrimitiveTypes.Int64
	case models.Int32:
		return arrow.PrimitiveTypes.Int32
	case models.Int16:
		return arrow.PrimitiveTypes.Int16
	case models.Int8:
		return arrow.PrimitiveTypes.Int8
	case models.Uint64:
		return arrow.PrimitiveTypes.Uint64
	case models.Uint32:
		return arrow.PrimitiveTypes.Uint32
	case models.Uint16:
		return arrow.PrimitiveTypes.Uint16
	case models.Uint8:
		return arrow.PrimitiveTypes.Uint8
	case models.Float16:
		return arrow.FixedWidthTypes.Float16
	case models.Bool:
		return arrow.FixedWidthTypes.Boolean
	case models.String:
		return arrow.BinaryTypes.String
	default:
		return nil
	}
}

// chunk makes rows rows, from row first on; the caller releases it.
func (m *Made) chunk(random *rand.Rand, schema *arrow.Schema, columns []madeColumn, first int64, rows int) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	ids := b.Field(0).(*array.Int64Builder)
	for i := range rows {
		ids.Append(first + int64(i))
	}
	for at := range columns {
		c := &columns[at]
		builder, values := b.Field(at+1), rows
		if list, ok := builder.(*array.FixedSizeListBuilder); ok {
			for range rows {
				list.Append(true)
			}
			builder, values = list.ValueBuilder(), rows*c.width
		}
		for range values {
			if c.nulls && random.Float64() < m.NullShare {
				builder.AppendNull()
				continue
			}
			c.append(random, builder)
		}
	}
	return b.NewRecordBatch()
}

// append draws one value of the column's distribution.
func (c *madeColumn) append(random *rand.Rand, builder array.Builder) {
	switch b := builder.(type) {
	case *array.Float32Builder:
		b.Append(float32(c.draw(random)))
	case *array.Float64Builder:
		b.Append(c.draw(random))
	case *array.Int64Builder:
		b.Append(int64(c.draw(random)))
	case *array.Int32Builder:
		b.Append(int32(c.draw(random)))
	case *array.Int16Builder:
		b.Append(int16(c.small(random)))
	case *array.Int8Builder:
		b.Append(int8(c.small(random)))
	case *array.Uint64Builder:
		b.Append(uint64(c.small(random)))
	case *array.Uint32Builder:
		b.Append(uint32(c.small(random)))
	case *array.Uint16Builder:
		b.Append(uint16(c.small(random)))
	case *array.Uint8Builder:
		b.Append(uint8(c.small(random)))
	case *array.Float16Builder:
		b.Append(float16.New(float32(c.draw(random))))
	case *array.BooleanBuilder:
		b.Append(random.IntN(3) == 0)
	case *array.StringBuilder:
		// Zipf with exponent 1 over madeWords words, by inversion of its
		// continuous form.
		b.Append("w" + strconv.Itoa(int(math.Pow(madeWords, random.Float64()))))
	}
}

// madeWords is how many distinct strings a column has.
const madeWords = 1000

// small is a value of the distribution that the narrowest integers can hold.
func (c *madeColumn) small(random *rand.Rand) int64 {
	return int64(math.Abs(c.draw(random))) & math.MaxInt8
}

func (c *madeColumn) draw(random *rand.Rand) float64 {
	switch c.kind % 4 {
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
