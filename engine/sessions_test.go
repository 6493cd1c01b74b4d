package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/models"
)

// fakeSession notes what it is run on, and makes the outputs that are nil.
type fakeSession struct {
	name  string
	calls *[]string
	fails error
}

func (s *fakeSession) Run(_ context.Context, inputs, outputs []*ort.Tensor) error {
	sizes := make([]int, len(inputs))
	for i, t := range inputs {
		sizes[i] = len(t.Bytes())
	}
	*s.calls = append(*s.calls, fmt.Sprint(s.name, sizes, len(outputs)))
	if s.fails != nil {
		return s.fails
	}
	for i := range outputs {
		if outputs[i] == nil {
			var err error
			if outputs[i], err = ort.NewTensor(models.Uint8, []int64{1}, []byte{1}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *fakeSession) Close() error {
	*s.calls = append(*s.calls, "close "+s.name)
	return s.fails
}

func (*fakeSession) Outputs() []models.Value { return nil }

func (s *fakeSession) Placement() []ort.Node { return []ort.Node{{Name: s.name}} }

// fakeTensors have one byte, two, and so on.
func fakeTensors(t *testing.T, n int) (all []*ort.Tensor) {
	t.Helper()
	for i := range n {
		tensor, err := ort.NewTensor(models.Uint8, []int64{int64(i + 1)}, make([]byte, i+1))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, tensor)
	}
	return all
}

func closeTensors(t *testing.T, all []*ort.Tensor) {
	t.Helper()
	for _, tensor := range all {
		if tensor != nil {
			if err := tensor.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// A Run of several models gives each its inputs and its outputs, in order. Where one
// fails, its error names it, and what others made is closed.
func TestSessions(t *testing.T) {
	orttest.Library(t)
	broken := errors.New("broken")
	for _, test := range []struct {
		name  string
		fails error
		want  []string
		nils  []bool // of the outputs afterwards
	}{
		{"all compute", nil, []string{"a[3 1] 2", "b[2] 1", "close a", "close b"}, []bool{false, false, false}},
		{"the second fails", broken, []string{"a[3 1] 2", "b[2] 1", "close a", "close b"}, []bool{false, true, true}},
	} {
		live := ort.Live()
		var calls []string
		s := sessions{
			{session: &fakeSession{"a", &calls, nil}, model: &plannedModel{name: "a"}, inputs: []int{2, 0}, from: 0, to: 2},
			{session: &fakeSession{"b", &calls, test.fails}, model: &plannedModel{name: "b"}, inputs: []int{1}, from: 2, to: 3},
		}
		inputs := fakeTensors(t, 3)
		outputs := append(fakeTensors(t, 1), nil, nil)
		err := s.Run(t.Context(), inputs, outputs)
		if !errors.Is(err, test.fails) || test.fails != nil && err.Error() != `model "b": broken` {
			t.Errorf("%s: Run() = %v; want %v with the model's name", test.name, err, test.fails)
		}
		nils := make([]bool, len(outputs))
		for i, o := range outputs {
			nils[i] = o == nil
		}
		if !slices.Equal(nils, test.nils) {
			t.Errorf("%s: outputs that are nil = %v; want %v", test.name, nils, test.nils)
		}
		if got := s.placement(); len(got) != 2 || got[1].Name != "b" {
			t.Errorf("%s: placement() = %v; want that of both", test.name, got)
		}
		if err := s.Close(); !errors.Is(err, test.fails) {
			t.Errorf("%s: Close() = %v; want %v", test.name, err, test.fails)
		}
		if diff := cmp.Diff(test.want, calls); diff != "" {
			t.Errorf("%s: calls (-want +got):\n%s", test.name, diff)
		}
		closeTensors(t, append(inputs, outputs...))
		if now := ort.Live(); now != live {
			t.Errorf("%s: live values %v; want %v", test.name, now, live)
		}
	}
}

// Profiles of several models are of all of them, in order; of one it is the model's own.
func TestModelsDigest(t *testing.T) {
	of := func(sums ...string) string {
		p := &Plan{Model: &models.Model{SHA256: sums[0]}}
		for _, sum := range sums {
			p.models = append(p.models, plannedModel{Model: &models.Model{SHA256: sum}})
		}
		return p.modelsDigest()
	}
	if got := of("a"); got != "a" {
		t.Errorf("one model: %q; want its own digest", got)
	}
	if one, other := of("a", "b"), of("b", "a"); one == other || len(one) != 64 {
		t.Errorf("two models: %q and %q; want two digests", one, other)
	}
}
