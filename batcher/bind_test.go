package batcher

import (
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace/models"
)

// input is a tensor input; -1 is an open dimension.
func input(name string, elem models.ElementType, dims ...int64) models.Value {
	v := models.Value{Name: name, Elem: elem, HasShape: true}
	for _, d := range dims {
		v.Shape = append(v.Shape, models.Dim{Size: d})
	}
	return v
}

func schemaOf(fields ...any) *arrow.Schema {
	var list []arrow.Field
	for i := 0; i < len(fields); i += 2 {
		list = append(list, arrow.Field{Name: fields[i].(string), Type: fields[i+1].(arrow.DataType), Nullable: true})
	}
	return arrow.NewSchema(list, nil)
}

// draw writes a plan as one line an input.
func draw(p *Plan) string {
	var b strings.Builder
	for i := range p.Bindings {
		binding := &p.Bindings[i]
		fmt.Fprintf(&b, "%s: %s %v <-", binding.Input.Name, binding.Form, binding.Item)
		for _, f := range binding.Features {
			fmt.Fprintf(&b, " %s[%d] %s", f.Column, f.Field, f.Cast)
		}
		if binding.Viewable() {
			b.WriteString(", viewable")
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "columns %s, fixed rows %d", strings.Join(p.Columns, " "), p.FixedRows)
	return b.String()
}

var (
	f32, f64, i64, text = arrow.PrimitiveTypes.Float32, arrow.PrimitiveTypes.Float64, arrow.PrimitiveTypes.Int64, arrow.BinaryTypes.String

	abc = schemaOf("a", f32, "b", f32, "c", f32)
)

func fsl(k int32, elem arrow.DataType) arrow.DataType { return arrow.FixedSizeListOf(k, elem) }

// tensorOf is a schema of one column v of tensors, as Arrow's extension type says their shape.
func tensorOf(storage arrow.DataType, shape string) *arrow.Schema {
	meta := arrow.NewMetadata([]string{"ARROW:extension:name", "ARROW:extension:metadata"}, []string{"arrow.fixed_shape_tensor", shape})
	return arrow.NewSchema([]arrow.Field{{Name: "v", Type: storage, Metadata: meta}}, nil)
}

func TestBind(t *testing.T) {
	tests := []struct {
		name   string
		inputs []models.Value
		schema *arrow.Schema
		opts   Options
		want   string
	}{
		{
			"each input takes the column of its name",
			[]models.Value{input("age", models.Float32, -1), input("job", models.String, -1, 1)},
			schemaOf("job", text, "id", i64, "age", f32),
			Options{},
			"age: column [] <- age[0] exact, viewable\njob: column [1] <- job[1] exact\ncolumns age job, fixed rows 0",
		},
		{
			"--features fills the matrix, in its order",
			[]models.Value{input("x", models.Float32, -1, 3)},
			abc,
			Options{Features: []string{"c", "a", "b"}},
			"x: matrix [3] <- c[0] exact a[1] exact b[2] exact\ncolumns c a b, fixed rows 0",
		},
		{
			"an open width is that of the list",
			[]models.Value{input("x", models.Float32, -1, -1)},
			abc,
			Options{Features: []string{"c", "a"}},
			"x: matrix [2] <- c[0] exact a[1] exact\ncolumns c a, fixed rows 0",
		},
		{
			"the model's own list will do",
			[]models.Value{input("x", models.Float32, -1, 3)},
			abc,
			Options{Metadata: []string{"b", "a", "c"}},
			"x: matrix [3] <- b[0] exact a[1] exact c[2] exact\ncolumns b a c, fixed rows 0",
		},
		{
			"the model's own list wins over a column that is called like the input",
			[]models.Value{input("b", models.Float32, -1, 1)},
			abc,
			Options{Metadata: []string{"a"}},
			"b: column [1] <- a[0] exact, viewable\ncolumns a, fixed rows 0",
		},
		{
			"but not one of names that are not there",
			[]models.Value{input("b", models.Float32, -1, 1)},
			abc,
			Options{Metadata: []string{"f0"}},
			"b: column [1] <- b[0] exact, viewable\ncolumns b, fixed rows 0",
		},
		{
			"--features wins over the model's list",
			[]models.Value{input("x", models.Float32, -1, 3)},
			abc,
			Options{Metadata: []string{"b", "a", "c"}, Features: []string{"a", "b", "c"}},
			"x: matrix [3] <- a[0] exact b[1] exact c[2] exact\ncolumns a b c, fixed rows 0",
		},
		{
			"--bind names an input's columns",
			[]models.Value{input("x", models.Float32, -1, 2), input("y", models.Float32, -1)},
			abc,
			Options{Columns: map[string][]string{"x": {"a", "b"}, "y": {"b"}}},
			"x: matrix [2] <- a[0] exact b[1] exact\ny: column [] <- b[1] exact, viewable\ncolumns a b, fixed rows 0",
		},
		{
			"a column may stand twice",
			[]models.Value{input("x", models.Float32, -1, 3)},
			abc,
			Options{Features: []string{"a", "a", "b"}},
			"x: matrix [3] <- a[0] exact a[0] exact b[1] exact\ncolumns a b, fixed rows 0",
		},
		{
			"--features beside inputs with columns of their own",
			[]models.Value{input("a", models.Float32, -1, 1), input("x", models.Float32, -1, 2)},
			abc,
			Options{Features: []string{"b", "c"}},
			"a: column [1] <- a[0] exact, viewable\nx: matrix [2] <- b[1] exact c[2] exact\ncolumns a b c, fixed rows 0",
		},
		{
			"a FixedSizeList is a row",
			[]models.Value{input("embed", models.Float32, -1, 32)},
			schemaOf("embed", fsl(32, f32)),
			Options{},
			"embed: vector [32] <- embed[0] exact, viewable\ncolumns embed, fixed rows 0",
		},
		{
			"and tells an open width",
			[]models.Value{input("embed", models.Float32, -1, -1)},
			schemaOf("embed", fsl(32, f32)),
			Options{},
			"embed: vector [32] <- embed[0] exact, viewable\ncolumns embed, fixed rows 0",
		},
		{
			"--features may name a list column",
			[]models.Value{input("x", models.Float32, -1, -1)},
			schemaOf("embed", fsl(32, f32)),
			Options{Features: []string{"embed"}},
			"x: vector [32] <- embed[0] exact, viewable\ncolumns embed, fixed rows 0",
		},
		{
			"a flat list fills a known shape",
			[]models.Value{input("image", models.Float32, -1, 28, 28)},
			schemaOf("image", fsl(784, f32)),
			Options{},
			"image: vector [28 28] <- image[0] exact, viewable\ncolumns image, fixed rows 0",
		},
		{
			"nested lists tell an open shape",
			[]models.Value{input("image", models.Uint8, -1, -1, 28)},
			schemaOf("image", fsl(30, fsl(28, arrow.PrimitiveTypes.Uint8))),
			Options{},
			"image: vector [30 28] <- image[0] exact, viewable\ncolumns image, fixed rows 0",
		},
		{
			"nested lists whose dimensions come together",
			[]models.Value{input("image", models.Float32, -1, 6, 1, 28)},
			schemaOf("image", fsl(2, fsl(3, fsl(28, f32)))),
			Options{},
			"image: vector [6 1 28] <- image[0] exact, viewable\ncolumns image, fixed rows 0",
		},
		{
			"a tensor of the model's shape",
			[]models.Value{input("v", models.Float32, -1, 2, 3)},
			tensorOf(fsl(6, f32), `{"shape":[2,3],"permutation":[0,1]}`),
			Options{},
			"v: vector [2 3] <- v[0] exact, viewable\ncolumns v, fixed rows 0",
		},
		{
			"a tensor tells an open shape",
			[]models.Value{input("v", models.Float32, -1, -1, 3)},
			tensorOf(fsl(6, f32), `{"shape":[2,3]}`),
			Options{},
			"v: vector [2 3] <- v[0] exact, viewable\ncolumns v, fixed rows 0",
		},
		{
			"a variable list takes the model's width",
			[]models.Value{input("v", models.Float32, -1, 8)},
			schemaOf("v", arrow.ListOf(f32)),
			Options{},
			"v: vector [8] <- v[0] checked, viewable\ncolumns v, fixed rows 0",
		},
		{
			"a rank that is not known is that of the columns",
			[]models.Value{{Name: "x", Elem: models.Float32}},
			abc,
			Options{Features: []string{"a", "b"}},
			"x: matrix [2] <- a[0] exact b[1] exact\ncolumns a b, fixed rows 0",
		},
		{
			"a fixed batch is the plan's",
			[]models.Value{input("a", models.Float32, 16), input("b", models.Float32, 16, 1)},
			abc,
			Options{},
			"a: column [] <- a[0] exact, viewable\nb: column [1] <- b[1] exact, viewable\ncolumns a b, fixed rows 16",
		},
		{
			"a lossy cast may be allowed",
			[]models.Value{input("x", models.Float32, -1)},
			schemaOf("x", f64),
			Options{Lossy: AllowLossy},
			"x: column [] <- x[0] lossy\ncolumns x, fixed rows 0",
		},
		{
			"a dictionary is its values",
			[]models.Value{input("x", models.Float32, -1)},
			schemaOf("x", &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: f32}),
			Options{},
			"x: column [] <- x[0] widening\ncolumns x, fixed rows 0",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			plan, err := Bind(test.inputs, test.schema, test.opts)
			if err != nil {
				t.Fatalf("Bind = %v; want a plan", err)
			}
			if diff := cmp.Diff(test.want, draw(plan)); diff != "" {
				t.Errorf("Bind: plan differs (-want +got):\n%s", diff)
			}
		})
	}
}
