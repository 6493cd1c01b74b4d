package batcher

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace/models"
)

func TestJoin(t *testing.T) {
	matrix := input("x", models.Float32, -1, 2)
	nan := NullPolicies{Default: NullPolicy{Action: NullNaN}}
	tests := []struct {
		name          string
		first, second []models.Value
		one, two      Options
		bindings      []int
		want          string // of the plan of both
	}{
		{
			"inputs of the same columns are one, whatever their names",
			[]models.Value{matrix},
			[]models.Value{input("features", models.Float32, -1, 2)},
			Options{Features: []string{"a", "b"}, Nulls: nan},
			Options{Features: []string{"a", "b"}, Nulls: nan},
			[]int{0},
			"x: matrix [2] <- a[0] exact b[1] exact\ncolumns a b, fixed rows 0",
		},
		{
			"another order of columns is another input, of the same columns",
			[]models.Value{matrix},
			[]models.Value{matrix},
			Options{Features: []string{"a", "b"}},
			Options{Features: []string{"b", "c"}},
			[]int{1},
			"x: matrix [2] <- a[0] exact b[1] exact\nx: matrix [2] <- b[1] exact c[2] exact\ncolumns a b c, fixed rows 0",
		},
		{
			"another type, and another policy for nulls, is another input",
			[]models.Value{input("a", models.Float32, -1, 1)},
			[]models.Value{input("a", models.Float64, -1, 1), input("b", models.Float32, -1, 1), input("z", models.Float32, -1, 1)},
			Options{},
			Options{Nulls: nan, Columns: map[string][]string{"z": {"a"}}},
			[]int{1, 2, 3},
			"a: column [1] <- a[0] exact, viewable\na: column [1] <- a[0] widening\nb: column [1] <- b[1] exact, viewable\nz: column [1] <- a[0] exact, viewable\ncolumns a b, fixed rows 0",
		},
		{
			"two inputs of one model are two, though they are made alike",
			[]models.Value{input("a", models.Float32, -1, 1), input("z", models.Float32, -1, 1)},
			[]models.Value{input("z", models.Float32, -1, 1)},
			Options{Columns: map[string][]string{"z": {"a"}}},
			Options{Columns: map[string][]string{"z": {"a"}}},
			[]int{0},
			"a: column [1] <- a[0] exact, viewable\nz: column [1] <- a[0] exact, viewable\ncolumns a, fixed rows 0",
		},
		{
			"a batch that one model fixes is the batch of both",
			[]models.Value{input("a", models.Float32, -1, 1)},
			[]models.Value{input("a", models.Float32, 8, 1)},
			Options{},
			Options{},
			[]int{0},
			"a: column [1] <- a[0] exact, viewable\ncolumns a, fixed rows 8",
		},
	}
	for _, test := range tests {
		plan := &Plan{}
		for i, inputs := range [][]models.Value{test.first, test.second} {
			opts := []Options{test.one, test.two}[i]
			opts.Read = plan.Columns
			further, err := Bind(inputs, abc, opts)
			if err != nil {
				t.Fatalf("%s: Bind() = %v", test.name, err)
			}
			bindings, err := plan.Join(further)
			if err != nil {
				t.Fatalf("%s: Join() = %v", test.name, err)
			}
			if diff := cmp.Diff(test.bindings, bindings); i == 1 && diff != "" {
				t.Errorf("%s: bindings of the second model (-want +got):\n%s", test.name, diff)
			}
		}
		if diff := cmp.Diff(test.want, draw(plan)); diff != "" {
			t.Errorf("%s: the plan of both (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestJoinRefusesTwoFixedBatches(t *testing.T) {
	_, err := (&Plan{FixedRows: 4}).Join(&Plan{FixedRows: 8})
	if !errors.Is(err, ErrBind) || !strings.Contains(err.Error(), "8 rows") || !strings.Contains(err.Error(), "to 4") {
		t.Errorf("Join() = %v; want ErrBind that names both sizes", err)
	}
}
