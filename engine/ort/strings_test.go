package ort_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/models"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// arrow lays strings out as Arrow does, behind some bytes of other rows.
func arrow[O ort.Offset](values []string) (offsets []O, data []byte) {
	data = []byte("skip")
	offsets = append(offsets, O(len(data)))
	for _, v := range values {
		data = append(data, v...)
		offsets = append(offsets, O(len(data)))
	}
	return offsets, data
}

func read(t interface{ Fatal(...any) }, x *ort.Tensor) []string {
	offsets, data, err := x.Strings()
	if err != nil {
		t.Fatal(err)
	}
	values := make([]string, len(offsets)-1)
	for i := range values {
		values[i] = string(data[offsets[i]:offsets[i+1]])
	}
	return values
}

func TestStringsPassThrough(t *testing.T) {
	s := newSession(t, onnxtest.Identity(pb.TensorProto_STRING, "N"), ort.SessionOptions{})
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 20).Draw(t, "n")
		one := rapid.OneOf(rapid.String(), rapid.Just(""), rapid.Just("a\x00b"), rapid.Just("\xff\xfe"))
		draw := rapid.SliceOfN(one, n, n)
		first, second := draw.Draw(t, "first"), draw.Draw(t, "second")
		offsets, data := arrow[int32](first)
		x, err := ort.NewStringTensor([]int64{int64(n)}, offsets, data)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = x.Close() }()
		check := func(want []string) {
			y := []*ort.Tensor{nil}
			if err := s.Run(t.Context(), []*ort.Tensor{x}, y); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = y[0].Close() }()
			if got := read(t, y[0]); !slices.Equal(got, want) {
				t.Fatalf("strings %q came back as %q", want, got)
			}
		}
		check(first)
		wide, data := arrow[int64](second)
		if err := ort.RefillStrings(x, wide, data); err != nil {
			t.Fatal(err)
		}
		check(second)
	})
}

func TestStringTensorRefuses(t *testing.T) {
	orttest.Library(t)
	for _, c := range []struct {
		name    string
		shape   []int64
		offsets []int32
		data    string
	}{
		{"one offset too few", []int64{2}, []int32{0, 1}, "ab"},
		{"no offsets for a row", []int64{1}, nil, "ab"},
		{"offsets that fall", []int64{2}, []int32{0, 2, 1}, "ab"},
		{"a negative offset", []int64{1}, []int32{-1, 1}, "ab"},
		{"an end past the data", []int64{1}, []int32{0, 3}, "ab"},
		{"a negative dimension", []int64{-1}, []int32{0}, ""},
		{"a product that overflows", []int64{1 << 40, 1 << 40}, []int32{0}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			x, err := ort.NewStringTensor(c.shape, c.offsets, []byte(c.data))
			if !errors.Is(err, ort.ErrTensor) || x != nil {
				t.Errorf("NewStringTensor() = %v, %v; want ErrTensor", x, err)
			}
		})
	}
	f := tensor(t, models.Float32, []int64{1}, []float32{1})
	if _, _, err := f.Strings(); !errors.Is(err, ort.ErrTensor) {
		t.Errorf("Strings() of floats = %v; want ErrTensor", err)
	}
	if err := ort.RefillStrings(f, []int32{0, 0}, nil); !errors.Is(err, ort.ErrTensor) {
		t.Errorf("RefillStrings() of floats = %v; want ErrTensor", err)
	}
	closeAll(t, f)
	if _, _, err := f.Strings(); !errors.Is(err, ort.ErrClosed) {
		t.Errorf("Strings() of a closed tensor = %v; want ErrClosed", err)
	}
}

func TestTensorRefuses(t *testing.T) {
	orttest.Library(t)
	buffer := make([]byte, 64)
	for _, c := range []struct {
		name  string
		elem  models.ElementType
		shape []int64
		data  []byte
	}{
		{"strings", models.String, []int64{1}, buffer[:8]},
		{"no type", models.Undefined, []int64{1}, buffer[:8]},
		{"too few bytes", models.Float32, []int64{2}, buffer[:7]},
		{"too many bytes", models.Float32, []int64{2}, buffer[:12]},
		{"bytes for no rows", models.Float32, []int64{0, 3}, buffer[:12]},
		{"a negative dimension", models.Float32, []int64{-2}, buffer[:8]},
		{"a product that overflows", models.Float32, []int64{1 << 32, 1 << 32}, nil},
		{"bytes that overflow", models.Float64, []int64{1 << 61}, nil},
		{"33 dimensions", models.Uint8, slices.Repeat([]int64{1}, 33), buffer[:1]},
		{"floats at an odd address", models.Float32, []int64{2}, buffer[1:9]},
		{"float64 at a multiple of four", models.Float64, []int64{1}, buffer[4:12]},
	} {
		t.Run(c.name, func(t *testing.T) {
			x, err := ort.NewTensor(c.elem, c.shape, c.data)
			if !errors.Is(err, ort.ErrTensor) || x != nil {
				t.Errorf("NewTensor() = %v, %v; want ErrTensor", x, err)
			}
		})
	}
	if _, err := ort.Of(models.Float32, []int64{1}, []float64{1}); !errors.Is(err, ort.ErrTensor) {
		t.Errorf("Of(float32, float64 slice) = %v; want ErrTensor", err)
	}
}

func TestScalarTensor(t *testing.T) {
	s := newSession(t, onnxtest.Identity(pb.TensorProto_FLOAT), ort.SessionOptions{})
	x := tensor(t, models.Float32, nil, []float32{7})
	y := []*ort.Tensor{nil}
	if err := s.Run(t.Context(), []*ort.Tensor{x}, y); err != nil {
		t.Fatal(err)
	}
	if got := ort.View[float32](y[0]); len(y[0].Shape()) != 0 || !slices.Equal(got, []float32{7}) {
		t.Errorf("Identity(7) = %v of shape %v", got, y[0].Shape())
	}
	closeAll(t, x, y[0])
}

func zipMaps(classes *pb.AttributeProto, key pb.TensorProto_DataType) *pb.ModelProto {
	return onnxtest.Model(onnxtest.Graph(
		onnxtest.Values(onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", 3)),
		onnxtest.Values(onnxtest.Maps("p", key)),
		onnxtest.ZipMap("x", "p", classes)))
}

func TestDecodeSequenceOfMaps(t *testing.T) {
	for _, c := range []struct {
		name    string
		classes *pb.AttributeProto
		key     pb.TensorProto_DataType
		want    models.ClassLabels
		scores  []float32
	}{
		{
			"integer classes come in ascending order", onnxtest.Ints("classlabels_int64s", 5, -2, 9), pb.TensorProto_INT64,
			models.ClassLabels{Ints: []int64{-2, 5, 9}},
			[]float32{2, 1, 3, 5, 4, 6},
		},
		{
			"string classes come in ascending order", onnxtest.Strings("classlabels_strings", "b", "", "ü"),
			pb.TensorProto_STRING,
			models.ClassLabels{Strings: []string{"", "b", "ü"}},
			[]float32{2, 1, 3, 5, 4, 6},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := zipMaps(c.classes, c.key)
			s := newSession(t, p, ort.SessionOptions{})
			if got := s.Outputs()[0].Kind; got != models.SequenceOfMaps {
				t.Errorf("kind of the output = %v; want SequenceOfMaps", got)
			}
			for _, rows := range []int64{2, 0} {
				x := tensor(t, models.Float32, []int64{rows, 3}, []float32{1, 2, 3, 4, 5, 6}[:rows*3])
				y := []*ort.Tensor{nil}
				if err := s.Run(t.Context(), []*ort.Tensor{x}, y); err != nil {
					t.Fatal(err)
				}
				scores, labels, err := ort.DecodeSequenceOfMaps(y[0])
				want := c.want
				if rows == 0 {
					want = models.ClassLabels{}
				}
				if err != nil || !slices.Equal(scores, c.scores[:rows*3]) || !labels.Equal(want) {
					t.Errorf("DecodeSequenceOfMaps(%d rows) = %v, %v, %v; want %v, %v", rows, scores, labels, err, c.scores, want)
				}
				closeAll(t, x, y[0])
			}
			m, changed, err := models.StripZipMap(openModel(t, p))
			if err != nil || !changed {
				t.Fatalf("StripZipMap() = %v, %v", changed, err)
			}
			stripped, err := ort.NewSession(orttest.Library(t), m, ort.SessionOptions{})
			if err != nil {
				t.Fatal(err)
			}
			x := tensor(t, models.Float32, []int64{1, 3}, []float32{1, 2, 3})
			y := tensor(t, models.Float32, []int64{1, 3}, make([]float32, 3))
			if err := stripped.Run(t.Context(), []*ort.Tensor{x}, []*ort.Tensor{y}); err != nil {
				t.Errorf("Run() without ZipMap = %v", err)
			}
			if got := ort.View[float32](y); !slices.Equal(got, []float32{1, 2, 3}) {
				t.Errorf("scores without ZipMap = %v", got)
			}
			closeAll(t, x, y)
			closeAll(t, stripped)
		})
	}
}

func TestOtherOutputsAreNamed(t *testing.T) {
	g := onnxtest.Graph(
		onnxtest.Values(onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N")),
		onnxtest.Values(&pb.ValueInfoProto{Name: new("s"), Type: &pb.TypeProto{Value: &pb.TypeProto_SequenceType{
			SequenceType: &pb.TypeProto_Sequence{ElemType: onnxtest.Tensor("", pb.TensorProto_FLOAT, "N").Type},
		}}}),
		onnxtest.Node("SequenceConstruct", onnxtest.Names("x", "x"), onnxtest.Names("s")))
	s := newSession(t, onnxtest.Model(g), ort.SessionOptions{})
	x := tensor(t, models.Float32, []int64{1}, []float32{1})
	y := []*ort.Tensor{nil}
	if err := s.Run(t.Context(), []*ort.Tensor{x}, y); err != nil {
		t.Fatal(err)
	}
	_, _, err := ort.DecodeSequenceOfMaps(y[0])
	if !errors.Is(err, ort.ErrOutput) || !strings.Contains(err.Error(), "not of maps") {
		t.Errorf("DecodeSequenceOfMaps(sequence of tensors) = %v; want ErrOutput", err)
	}
	if _, _, err := ort.DecodeSequenceOfMaps(x); !errors.Is(err, ort.ErrOutput) {
		t.Errorf("DecodeSequenceOfMaps(tensor) = %v; want ErrOutput", err)
	}
	closeAll(t, x, y[0])
}
