package bench

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine"
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

// madeChunkRows is the rows that are made, and written, at a time.
const madeChunkRows = 1 << 14

// idColumn is the column that names rows in made data.
const idColumn = "row_id"

// make writes data that fits the model's signature to a file, and returns the
// settings with which it is read. features name the columns of an [N,F] input;
// without them the model's metadata do.
//
// A column's distribution is drawn by its place: normal, log-normal, uniform
// with few distinct values, or counts, as tables of features have them. Strings
// are words of a vocabulary by Zipf's law. A column that is wider than one value
// is a FixedSizeList. Predictions on such data mean nothing; only their cost
// does, and a tree's cost depends on data, so that real input measures better.
func (m *Made) make(path string, model *models.Model, features []string) (opts engine.Options, err error) {
	columns, opts, err := madeColumns(model, features)
	if err != nil {
		return opts, err
	}
	fields := []arrow.Field{{Name: idColumn, Type: arrow.PrimitiveTypes.Int64}}
	for _, c := range columns {
		fields = append(fields, arrow.Field{Name: c.name, Type: c.typed, Nullable: true})
	}
	schema := arrow.NewSchema(fields, nil)
	file, err := os.Create(path)
	if err != nil {
		return opts, fmt.Errorf("make data: %w", err)
	}
	defer func() {
		if closed := file.Close(); err == nil && closed != nil {
			err = fmt.Errorf("make data: %w", closed)
		}
	}()
	writer, err := m.writer()(file, schema, format.WriteOptions{RowGroupRows: 1 << 17})
	if err != nil {
		return opts, fmt.Errorf("make data: %w", err)
	}
	random := rand.New(rand.NewPCG(m.Seed, 0x6d696c6c72616365)) //nolint:gosec // data, not secrets; the same each time
	for row := int64(0); row < m.Rows; row += madeChunkRows {
		chunk := m.chunk(random, schema, columns, row, int(min(madeChunkRows, m.Rows-row)))
		err := writer.Write(chunk)
		chunk.Release()
		if err != nil {
			return opts, errors.Join(fmt.Errorf("make data: %w", err), writer.Close())
		}
	}
	if err := writer.Close(); err != nil {
		return opts, fmt.Errorf("make data: %w", err)
	}
	opts.Inputs, opts.IDs = []string{path}, []string{idColumn}
	return opts, nil
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

// madeColumns lists the columns that the model's inputs are bound to.
func madeColumns(model *models.Model, features []string) ([]madeColumn, engine.Options, error) {
	opts := engine.Options{Bind: map[string][]string{}}
	opts.Nulls.ByColumn = map[string]batcher.NullPolicy{}
	var columns []madeColumn
	for _, in := range model.Inputs {
		elem := arrowElement(in.Elem)
		if in.Kind != models.Tensor || elem == nil || !in.HasShape || len(in.Shape) == 0 {
			return nil, opts, fmt.Errorf("%w: input %q is %s; data can be made for tensors of numbers and strings of a known rank only: give --input", engine.ErrUsage, in.Name, in.Elem)
		}
		width := 1
		for _, d := range in.Shape[1:] {
			width *= int(max(d.Size, 1))
		}
		names := features
		if len(names) == 0 {
			names = model.FeatureNames()
		}
		separate := len(in.Shape) == 2 && width > 1 && len(model.Inputs) == 1
		switch {
		case len(in.Shape) == 2 && in.Shape[1].Size <= 0 && len(names) == 0:
			return nil, opts, fmt.Errorf("%w: input %q has an open number of features, and the model's metadata does not list them: give --input", engine.ErrUsage, in.Name)
		case len(in.Shape) == 2 && in.Shape[1].Size <= 0:
			width, separate = len(names), true
		}
		if separate {
			if len(names) != width {
				names = make([]string, width)
				for i := range names {
					names[i] = "f" + strconv.Itoa(i)
				}
			}
			opts.Bind[in.Name] = names
			for i, name := range names {
				columns = append(columns, madeColumn{name: name, typed: elem, width: 1, kind: i, nulls: isFloat(in.Elem)})
			}
			continue
		}
		c := madeColumn{name: in.Name, typed: elem, width: width, kind: len(columns), nulls: isFloat(in.Elem)}
		if width > 1 {
			c.typed, c.nulls = arrow.FixedSizeListOf(int32(width), elem), false
		}
		columns = append(columns, c)
	}
	for _, c := range columns {
		if c.nulls {
			opts.Nulls.ByColumn[c.name] = batcher.NullPolicy{Action: batcher.NullNaN}
		}
	}
	return columns, opts, nil
}

func isFloat(e models.ElementType) bool { return e == models.Float32 || e == models.Float64 }

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
