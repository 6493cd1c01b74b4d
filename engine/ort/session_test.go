package ort_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/models"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

func TestSessionRefusesModels(t *testing.T) {
	lib := orttest.Library(t)
	x, y := onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N"), onnxtest.Tensor("y", pb.TensorProto_FLOAT, "N")
	one := func(n *pb.NodeProto) *pb.ModelProto {
		return onnxtest.Model(onnxtest.Graph(onnxtest.Values(x), onnxtest.Values(y), n))
	}
	opset := onnxtest.Identity(pb.TensorProto_FLOAT)
	opset.OpsetImport[0].Version = proto.Int64(900)
	ir := onnxtest.Identity(pb.TensorProto_FLOAT)
	ir.IrVersion = proto.Int64(900)
	for _, c := range []struct {
		name  string
		model *pb.ModelProto
		want  error
		words string
	}{
		{"an operator ONNX does not have", one(onnxtest.Node("Nonesuch", onnxtest.Names("x"), onnxtest.Names("y"))), models.ErrModel, "Nonesuch"},
		{
			"a locale that no system has",
			onnxtest.Model(onnxtest.Graph(onnxtest.Values(onnxtest.Tensor("x", pb.TensorProto_STRING, "N")), onnxtest.Values(onnxtest.Tensor("y", pb.TensorProto_STRING, nil)),
				onnxtest.Node("StringNormalizer", onnxtest.Names("x"), onnxtest.Names("y"), onnxtest.String("case_change_action", "LOWER"), onnxtest.String("locale", "xx_XX.UTF-8")))),
			models.ErrUnsupported, `wants the locale "xx_XX.UTF-8", which this system lacks`,
		},
		{"an operator of another domain", one(onnxtest.DomainNode("org.example", "Mill", onnxtest.Names("x"), onnxtest.Names("y"))), models.ErrUnsupported, "no operator org.example.Mill"},
		{"an operator set of the future", opset, models.ErrModel, "900"},
		{"an IR version of the future", ir, models.ErrModel, "900"},
		{"a type that does not fit", one(onnxtest.Node("Not", onnxtest.Names("x"), onnxtest.Names("y"))), models.ErrModel, "Not"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := ort.NewSession(lib, openModel(t, c.model), ort.SessionOptions{})
			if s != nil || !errors.Is(err, c.want) || !errors.Is(err, models.ErrModel) || !strings.Contains(fmt.Sprint(err), c.words) {
				t.Errorf("NewSession() = %v, %v; want %v with %q", s, err, c.want, c.words)
			}
			var status *ort.StatusError
			if !errors.As(err, &status) || status.Code == 0 {
				t.Errorf("NewSession() = %v; want a StatusError with a code", err)
			}
		})
	}
}

func TestSessionRefusesOptions(t *testing.T) {
	lib := orttest.Library(t)
	m := openModel(t, onnxtest.Identity(pb.TensorProto_FLOAT))
	for _, c := range []struct {
		name string
		opts ort.SessionOptions
		want string
	}{
		{"a provider that nobody has", ort.SessionOptions{Provider: "abacus"}, `Provider ("abacus")`},
		{"a device that the CPU has not", ort.SessionOptions{Device: 1}, "device 1"},
		{"negative threads", ort.SessionOptions{IntraOpThreads: -1, InterOpThreads: -2}, "InterOpThreads (-2) must be >= 1"},
		{"an output the model has not", ort.SessionOptions{Outputs: []string{"z"}}, `no output "z"`},
		{"a config entry without a key", ort.SessionOptions{Config: map[string]string{"": "1"}}, "config"},
	} {
		s, err := ort.NewSession(lib, m, c.opts)
		if s != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: NewSession() = %v, %v; want %q", c.name, s, err, c.want)
		}
	}
	for _, opts := range []ort.SessionOptions{
		{IntraOpThreads: 2},
		{InterOpThreads: 2},
		{DisableMemoryPattern: true, DisableCPUArena: true},
		{Config: map[string]string{"session.disable_prepacking": "1"}},
	} {
		s, err := ort.NewSession(lib, m, opts)
		if err != nil {
			t.Fatalf("NewSession(%+v) = %v", opts, err)
		}
		closeAll(t, s)
	}
}

// Models that pass our checks, or would if they were fewer, must never end the
// process: cut and flipped bytes go to ONNX Runtime behind models.Open's back.
func TestDamagedModelsAreErrors(t *testing.T) {
	lib := orttest.Library(t)
	whole := onnxtest.Bytes(t, matMul())
	random := rand.New(rand.NewPCG(1, 2))
	refused := 0
	for range 500 {
		data := slices.Clone(whole)
		if random.IntN(2) == 0 {
			data = data[:random.IntN(len(data))]
		}
		for range 1 + random.IntN(3) {
			if len(data) > 0 {
				data[random.IntN(len(data))] ^= 1 << random.IntN(8)
			}
		}
		path := filepath.Join(t.TempDir(), "damaged.onnx")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := models.Open(path, models.Options{})
		if err != nil {
			refused++
			if m != nil || !errors.Is(err, models.ErrModel) {
				t.Errorf("Open() = %v, %v; want ErrModel alone", m, err)
			}
			continue
		}
		s, err := ort.NewSession(lib, m, ort.SessionOptions{})
		switch {
		case err == nil:
			closeAll(t, s)
		case !errors.Is(err, models.ErrModel):
			t.Errorf("NewSession() = %v; want ErrModel", err)
		}
	}
	t.Logf("models.Open refused %d of 500", refused)
}

func TestExternalData(t *testing.T) {
	lib := orttest.Library(t)
	p := matMul()
	w := p.Graph.Initializer[0]
	w.FloatData, w.DataLocation = nil, pb.TensorProto_EXTERNAL.Enum()
	w.ExternalData = []*pb.StringStringEntryProto{
		{Key: new("location"), Value: new("weights.bin")},
		{Key: new("offset"), Value: new("4")},
		{Key: new("length"), Value: new("24")},
	}
	path := onnxtest.Write(t, p)
	if _, err := models.Open(path, models.Options{}); !errors.Is(err, models.ErrMissingData) {
		t.Errorf("Open() without the file = %v; want ErrMissingData", err)
	}
	data := make([]byte, 28)
	for i := range 6 { // 2.0 is 0x40000000
		data[4+4*i+3] = 0x40
	}
	file := filepath.Join(filepath.Dir(path), "weights.bin")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := models.Open(path, models.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := ort.NewSession(lib, m, ort.SessionOptions{Outputs: []string{"y"}})
	if err != nil {
		t.Fatal(err)
	}
	x := tensor(t, models.Float32, []int64{1, 2}, []float32{1, 2})
	y := []*ort.Tensor{nil}
	if err := s.Run(t.Context(), []*ort.Tensor{x}, y); err != nil {
		t.Fatal(err)
	}
	if got := ort.View[float32](y[0]); !slices.Equal(got, []float32{6, 6, 6}) {
		t.Errorf("y = %v; want 6, 6, 6", got)
	}
	closeAll(t, x, y[0])
	closeAll(t, s)
	other := slices.Clone(data)
	other[7] = 0x41
	if err := errors.Join(os.WriteFile(file+".new", other, 0o600), os.Rename(file+".new", file)); err != nil { // between Open and NewSession
		t.Fatal(err)
	}
	if s, err := ort.NewSession(lib, m, ort.SessionOptions{}); !errors.Is(err, models.ErrModel) || !strings.Contains(err.Error(), "weights.bin") {
		t.Errorf("NewSession() by another file = %v, %v; want ErrModel that names it", s, err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := ort.NewSession(lib, m, ort.SessionOptions{}); !errors.Is(err, models.ErrModel) {
		t.Errorf("NewSession() without the file = %v; want ErrModel", err)
	}
}

func TestStatusErrorPrintsTheLog(t *testing.T) {
	err := &ort.StatusError{
		Code: ort.CodeFail, Message: "std::bad_alloc",
		Log: []ort.LogMessage{{Severity: ort.Error, Text: "no memory (arena.cc:1)"}},
	}
	if got, want := fmt.Sprint(err), "ONNX Runtime: std::bad_alloc (FAIL)"; got != want {
		t.Errorf("%%v = %q; want %q", got, want)
	}
	if got := fmt.Sprintf("%+v", err); !strings.Contains(got, "\n  error: no memory (arena.cc:1)") {
		t.Errorf("%%+v = %q", got)
	}
	if !errors.Is(err, ort.ErrOutOfMemory) {
		t.Error("bad_alloc is no ErrOutOfMemory")
	}
}

func TestLogIsKept(t *testing.T) {
	lib := orttest.Library(t)
	_, since := lib.Log(0)
	// Dimension 0 of x is declared 3 and given as 2: a warning, not an error.
	p := onnxtest.Model(onnxtest.Graph(
		onnxtest.Values(onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N")),
		onnxtest.Values(onnxtest.Tensor("y", pb.TensorProto_FLOAT, 3)),
		onnxtest.Node("Identity", onnxtest.Names("x"), onnxtest.Names("y"))))
	s := newSession(t, p, ort.SessionOptions{})
	x := tensor(t, models.Float32, []int64{2}, []float32{1, 2})
	y := []*ort.Tensor{nil}
	err := s.Run(t.Context(), []*ort.Tensor{x}, y)
	if err != nil {
		t.Fatal(err)
	}
	closeAll(t, x, y[0])
	messages, _ := lib.Log(since)
	if len(messages) == 0 || messages[0].Severity != ort.Warning || !strings.Contains(messages[0].Text, "{3}") {
		t.Errorf("Log() = %v; want a warning about the shape", messages)
	}
}

// A session's arena has its weights, and what a Run holds between nodes until it is over.
func TestSessionMemory(t *testing.T) {
	const wide = 1024
	g := onnxtest.Graph(
		onnxtest.Values(onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", 1)),
		onnxtest.Values(onnxtest.Tensor("y", pb.TensorProto_FLOAT, "N", 1)),
		onnxtest.Node("Mul", onnxtest.Names("x", "w"), onnxtest.Names("all")),
		onnxtest.Node("ReduceMax", onnxtest.Names("all"), onnxtest.Names("y"), onnxtest.Ints("axes", 1), onnxtest.Int("keepdims", 1)))
	g.Initializer = append(g.Initializer, onnxtest.Floats32("w", []int64{1, wide}, make([]float32, wide)...))
	s := newSession(t, onnxtest.Model(g), ort.SessionOptions{})
	before, _, err := s.Memory()
	if err != nil {
		t.Fatal(err)
	}
	const rows = 100
	x := tensor(t, models.Float32, []int64{rows, 1}, make([]float32, rows))
	y := tensor(t, models.Float32, []int64{rows, 1}, make([]float32, rows))
	defer closeAll(t, x, y)
	if err := s.Run(t.Context(), []*ort.Tensor{x}, []*ort.Tensor{y}); err != nil {
		t.Fatal(err)
	}
	used, peak, err := s.Memory()
	if held := int64(4 * rows * wide); err != nil || used != before || peak < before+held || peak > before+held+4096 {
		t.Errorf("Memory() = %d, %d, %v; want %d and, while it ran, %d more", used, peak, err, before, held)
	}
	closeAll(t, s)
	if _, _, err := s.Memory(); !errors.Is(err, ort.ErrClosed) {
		t.Errorf("Memory() of a closed session = %v", err)
	}
}
