package batcher

import (
	"errors"
	"fmt"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/models"
)

// go test -run '^$' -bench Bind -benchtime 3x ./batcher
//
// A matrix of as many features as there are columns, listed by the model; and a list of other
// names, of which the error names some.
func BenchmarkBind(b *testing.B) {
	for _, features := range []int{1_000, 20_000} {
		fields, listed, other := make([]arrow.Field, features), make([]string, features), make([]string, features)
		for i := range fields {
			listed[i], other[i] = fmt.Sprintf("feature_%d", i), fmt.Sprintf("column_%d", i)
			fields[i] = arrow.Field{Name: listed[i], Type: arrow.PrimitiveTypes.Float32}
		}
		schema, inputs := arrow.NewSchema(fields, nil), []models.Value{input("x", models.Float32, -1, int64(features))}
		for _, c := range []struct {
			there string
			names []string
			want  error
		}{{"yes", listed, nil}, {"no", other, ErrBind}} {
			b.Run(fmt.Sprintf("features=%d/there=%s", features, c.there), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := Bind(inputs, schema, Options{Metadata: c.names}); !errors.Is(err, c.want) {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
