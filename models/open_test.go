package models

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

// sample is a model with one of everything that Open reads.
func sample() *pb.ModelProto {
	g := onnxtest.Graph(
		onnxtest.Values(onnxtest.Tensor("x", pb.TensorProto_FLOAT, "N", 2, nil), onnxtest.Tensor("w", pb.TensorProto_FLOAT, 2)),
		onnxtest.Values(onnxtest.Tensor("y", pb.TensorProto_FLOAT, "N", 2, nil), onnxtest.Maps("p", pb.TensorProto_STRING)),
		onnxtest.Node("Mul", onnxtest.Names("x", "w"), onnxtest.Names("y")),
		onnxtest.ZipMap("y", "p", onnxtest.Strings("classlabels_strings", "no", "yes")),
		onnxtest.DomainNode("org.example", "Mill", onnxtest.Names("y", ""), onnxtest.Names("unused", "")))
	g.Initializer = []*pb.TensorProto{onnxtest.Floats32("w", []int64{2}, 1, 2)}
	m := onnxtest.Model(g)
	m.OpsetImport[0].Domain = new("ai.onnx")
	m.DocString = new("doc")
	m.OpsetImport[2].Domain = new("org.example")
	m.MetadataProps = []*pb.StringStringEntryProto{{Key: new("feature_names"), Value: new(`["a", "b,c"]`)}}
	return m
}

func TestOpenReads(t *testing.T) {
	path := onnxtest.Write(t, sample())
	m, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := Dim{Size: -1, Param: "N"}
	want := &Model{
		Path: path, SHA256: m.SHA256, FileSHA256: m.SHA256, Bytes: int64(len(onnxtest.Bytes(t, sample()))),
		IRVersion: 8, Opsets: []Opset{{"", 17}, {"ai.onnx.ml", 3}, {"org.example", 1}}, Producer: "onnxtest",
		GraphName: "g", Doc: "doc", Metadata: map[string]string{"feature_names": `["a", "b,c"]`},
		Inputs: []Value{{Name: "x", Elem: Float32, Shape: Shape{n, {Size: 2}, {Size: -1}}, HasShape: true}},
		Outputs: []Value{
			{Name: "y", Elem: Float32, Shape: Shape{n, {Size: 2}, {Size: -1}}, HasShape: true},
			{Name: "p", Kind: SequenceOfMaps, Elem: Float32, Key: String},
		},
		Operators: []Operator{{"", "Mul", 1}, {"ai.onnx.ml", "ZipMap", 1}, {"org.example", "Mill", 1}},
		Custom:    []Operator{{"org.example", "Mill", 1}},
		data:      onnxtest.Bytes(t, sample()), folder: filepath.Dir(path),
		labels: []ClassLabels{{}, {Strings: []string{"no", "yes"}}},
	}
	if diff := cmp.Diff(want, m, cmp.AllowUnexported(Model{})); diff != "" {
		t.Errorf("Open() (-want +got):\n%s", diff)
	}
	if got := m.FeatureNames(); !slices.Equal(got, []string{"a", "b,c"}) {
		t.Errorf("FeatureNames() = %q", got)
	}
	if _, ok := m.OutputLabels(0); ok {
		t.Error("OutputLabels(0) of a product gives labels")
	}
	if _, err := Open(path, Options{SHA256: strings.ToUpper(m.SHA256)}); err != nil {
		t.Errorf("Open(its own digest) = %v", err)
	}
	if _, err := Open(path, Options{SHA256: strings.Repeat("0", 64)}); !errors.Is(err, ErrModel) {
		t.Errorf("Open(another digest) = %v; want ErrModel", err)
	}
}

func TestFeatureNames(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
		unread     bool
	}{
		{"none", "", nil, false},
		{"a list with commas", " a, b c ,d", []string{"a", "b c", "d"}, false},
		{"a JSON array", ` ["a","b"]`, []string{"a", "b"}, false},
		{"an empty JSON array", `[]`, nil, false},
		{"a JSON array of something else", `[1,2]`, nil, true},
		{"a JSON array cut short", `["a",`, nil, true},
		{"a list as Python prints it", `['a', 'b']`, nil, true},
	} {
		m := &Model{Metadata: map[string]string{"feature_names": c.text}}
		if got := m.FeatureNames(); !slices.Equal(got, c.want) {
			t.Errorf("%s: FeatureNames(%q) = %q; want %q", c.name, c.text, got, c.want)
		}
		if got := m.UnreadFeatureNames(); got != "" != c.unread {
			t.Errorf("%s: UnreadFeatureNames(%q) = %q; want it unread: %t", c.name, c.text, got, c.unread)
		}
	}
}

func TestOpenRefusesFiles(t *testing.T) {
	whole := onnxtest.Bytes(t, sample())
	noOpset := sample()
	noOpset.OpsetImport = nil
	for _, c := range []struct {
		name string
		data []byte
		want error
		says string
	}{
		{"an empty file", nil, ErrDamaged, "empty"},
		{"text", []byte("hello, this is not a model"), ErrNotONNX, ""},
		{"zeros", make([]byte, 100), ErrNotONNX, ""},
		{"an .ort file", []byte("\x18\x00\x00\x00ORTM\x00\x00"), ErrNotONNX, ".ort"},
		{"a pickle", []byte("\x80\x04\x95\x00"), ErrNotONNX, "skl2onnx"},
		{"a zip archive", []byte("PK\x03\x04...."), ErrNotONNX, "torch.onnx.export"},
		{"JSON", []byte(`{"learner":{}}`), ErrNotONNX, "XGBoost"},
		{"LightGBM's text", []byte("tree\nversion=v4\n"), ErrNotONNX, "LightGBM"},
		{"a Git LFS pointer", []byte("version https://git-lfs.github.com/spec/v1\n"), ErrNotONNX, "git lfs pull"},
		{"another protobuf message", []byte{0x10, 0x01}, ErrNotONNX, "no IR version"},
		{"a version and no more", []byte{0x08, 0x08}, ErrDamaged, "no graph"},
		{"no operator sets", onnxtest.Bytes(t, noOpset), ErrDamaged, "no operator set"},
		{"half a model", whole[:len(whole)/2], ErrDamaged, "cut short?"},
		{"a model without its last byte", whole[:len(whole)-1], ErrDamaged, "cut short?"},
	} {
		path := filepath.Join(t.TempDir(), "m.onnx")
		if err := os.WriteFile(path, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := Open(path, Options{})
		if m != nil || !errors.Is(err, c.want) || !errors.Is(err, ErrModel) || !strings.Contains(err.Error(), c.says) ||
			!strings.Contains(err.Error(), path) {
			t.Errorf("%s: Open() = %v, %v; want %v with %q", c.name, m, err, c.want, c.says)
		}
	}
}

func TestOpenRefusesPlaces(t *testing.T) {
	for path, want := range map[string]string{
		t.TempDir():                          "it is a folder",
		filepath.Join(t.TempDir(), "m.onnx"): "no such file",
		"/dev/zero":                          "not a regular file",
	} {
		if m, err := Open(path, Options{}); m != nil || !errors.Is(err, ErrModel) || !strings.Contains(err.Error(), want) {
			t.Errorf("Open(%s) = %v, %v; want %q", path, m, err, want)
		}
	}
	path := onnxtest.Write(t, sample())
	if _, err := Open(path, Options{MaxBytes: 10}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Open(at most 10 bytes) = %v; want ErrTooLarge", err)
	}
	if _, err := Open(path, Options{MaxParsedBytes: 1000}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Open(at most 1000 bytes parsed) = %v; want ErrTooLarge", err)
	}
	if _, err := Open(path, Options{MaxNodes: 2}); !errors.Is(err, ErrUnsafe) {
		t.Errorf("Open(at most 2 nodes) = %v; want ErrUnsafe", err)
	}
}

// A few megabytes of empty nodes would parse into some hundred times as much.
func TestOpenBoundsMemory(t *testing.T) {
	node := []byte{0x0a, 0x00}
	graph := slices.Repeat(node, 1<<20)
	data, err := proto.Marshal(&pb.ModelProto{IrVersion: proto.Int64(8)})
	if err != nil {
		t.Fatal(err)
	}
	data = append(data, 0x3a, 0x80, 0x80, 0x80, 0x01) // graph, 2 MiB
	data = append(data, graph...)
	if _, _, err := openBytes("m.onnx", data, Options{MaxParsedBytes: 64 << 20}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("open(2 MiB of empty nodes) = %v; want ErrTooLarge", err)
	}
}

func TestOpenRefusesGraphs(t *testing.T) {
	tensor := func(change func(*pb.TensorProto)) func(*pb.ModelProto) {
		return func(m *pb.ModelProto) { change(m.Graph.Initializer[0]) }
	}
	external := func(entries ...string) func(*pb.ModelProto) {
		return tensor(func(w *pb.TensorProto) {
			w.FloatData, w.DataLocation = nil, pb.TensorProto_EXTERNAL.Enum()
			for i := 0; i < len(entries); i += 2 {
				w.ExternalData = append(w.ExternalData, &pb.StringStringEntryProto{Key: &entries[i], Value: &entries[i+1]})
			}
		})
	}
	nest := func(depth int) func(*pb.ModelProto) {
		return func(m *pb.ModelProto) {
			g := onnxtest.Graph(nil, onnxtest.Values(onnxtest.Tensor("y", pb.TensorProto_FLOAT)))
			for range depth {
				g = onnxtest.Graph(nil, g.Output, onnxtest.Node("If", onnxtest.Names("x"), onnxtest.Names("z"), onnxtest.SubGraph("then_branch", g)))
			}
			m.Graph.Node = append(m.Graph.Node, g.Node...)
		}
	}
	for _, c := range []struct {
		name   string
		change func(*pb.ModelProto)
		want   error
		says   string
	}{
		{"IR version 0", func(m *pb.ModelProto) { m.IrVersion = proto.Int64(0) }, ErrDamaged, "IR version 0"},
		{"a negative operator set", func(m *pb.ModelProto) { m.OpsetImport[0].Version = proto.Int64(-1) }, ErrDamaged, "version -1"},
		{"two versions of an operator set", func(m *pb.ModelProto) { m.OpsetImport[2].Domain = new("") }, ErrDamaged, "versions 17 and 1"},
		{"an operator set twice is fine", func(m *pb.ModelProto) { m.OpsetImport[2] = m.OpsetImport[0] }, nil, ""},
		{"an input twice", func(m *pb.ModelProto) { m.Graph.Input[1].Name = new("x") }, ErrDamaged, `"x" is listed twice`},
		{"an input without a name", func(m *pb.ModelProto) { m.Graph.Input[0].Name = nil }, ErrDamaged, "no name"},
		{"an input without a type", func(m *pb.ModelProto) { m.Graph.Input[0].Type = nil }, ErrDamaged, "no type"},
		{"an initializer twice", func(m *pb.ModelProto) {
			m.Graph.Initializer = append(m.Graph.Initializer, m.Graph.Initializer[0])
		}, ErrDamaged, "listed twice"},
		{"an output that nothing gives", func(m *pb.ModelProto) { m.Graph.Output[0].Name = new("z") }, ErrDamaged, `"z"`},
		{"an output twice", func(m *pb.ModelProto) { m.Graph.Output[1].Name = new("y") }, ErrDamaged, "listed twice"},
		{"a value defined twice", func(m *pb.ModelProto) { m.Graph.Node[1].Output[0] = "y" }, ErrDamaged, "defined twice"},
		{"a node that hides an input", func(m *pb.ModelProto) { m.Graph.Node[1].Output[0] = "x" }, ErrDamaged, "defined twice"},
		{"a node that takes nothing known", func(m *pb.ModelProto) { m.Graph.Node[0].Input[0] = "q" }, ErrDamaged, `takes "q"`},
		{"a node without an operator", func(m *pb.ModelProto) { m.Graph.Node[0].OpType = nil }, ErrDamaged, "no operator"},
		{"an inner graph that takes nothing known", func(m *pb.ModelProto) {
			m.Graph.Node[0].Attribute = append(m.Graph.Node[0].Attribute, onnxtest.SubGraph("body",
				onnxtest.Graph(nil, nil, onnxtest.Node("Neg", onnxtest.Names("q"), onnxtest.Names("r")))))
		}, ErrDamaged, `takes "q"`},
		{"graphs 24 deep are fine", nest(24), nil, ""},
		{"graphs 25 deep", nest(25), ErrUnsafe, "deeper than 24"},
		{"messages nested too deep", nest(60), ErrUnsafe, "nest deeper than 100"},
		{"a tensor without a type", tensor(func(w *pb.TensorProto) { w.DataType = nil }), ErrDamaged, "no element type"},
		{"a tensor of an unknown type", tensor(func(w *pb.TensorProto) { w.DataType = proto.Int32(99) }), ErrDamaged, "type 99"},
		{"a negative dimension", tensor(func(w *pb.TensorProto) { w.Dims = []int64{-2} }), ErrDamaged, "impossible"},
		{"dimensions that overflow", tensor(func(w *pb.TensorProto) { w.Dims = []int64{1 << 40, 1 << 40} }), ErrDamaged, "impossible"},
		{"bytes that overflow", tensor(func(w *pb.TensorProto) { w.Dims = []int64{1 << 62} }), ErrDamaged, "impossible"},
		{"65 dimensions", tensor(func(w *pb.TensorProto) { w.Dims = slices.Repeat([]int64{1}, 65) }), ErrDamaged, "65 dimensions"},
		{"too few values", tensor(func(w *pb.TensorProto) { w.FloatData = w.FloatData[:1] }), ErrDamaged, "1 values"},
		{"no values", tensor(func(w *pb.TensorProto) { w.FloatData = nil }), ErrDamaged, "0 values"},
		{"too many raw bytes", tensor(func(w *pb.TensorProto) { w.FloatData, w.RawData = nil, make([]byte, 9) }), ErrDamaged, "9 bytes"},
		{"raw strings", tensor(func(w *pb.TensorProto) { w.DataType, w.RawData = proto.Int32(8), make([]byte, 8) }), ErrDamaged, "strings as raw"},
		{"segments", tensor(func(w *pb.TensorProto) { w.Segment = &pb.TensorProto_Segment{} }), ErrDamaged, "segments"},
		{"odd nibbles are fine", tensor(func(w *pb.TensorProto) {
			w.DataType, w.Dims, w.FloatData, w.RawData = proto.Int32(22), []int64{3}, nil, make([]byte, 2)
		}), nil, ""},
		{"a sparse tensor that would be huge", func(m *pb.ModelProto) {
			m.Graph.SparseInitializer = []*pb.SparseTensorProto{{
				Values: onnxtest.Floats32("s", []int64{0}), Indices: onnxtest.Int64s("", []int64{0}), Dims: []int64{1 << 40},
			}}
		}, ErrUnsafe, "sparse tensor"},
		{"a tensor hidden in an attribute", func(m *pb.ModelProto) {
			m.Graph.Node[0].Attribute = append(m.Graph.Node[0].Attribute, &pb.AttributeProto{T: onnxtest.Floats32("", []int64{5}, 1)})
		}, ErrDamaged, "1 values"},
		{"external data without a file", external("offset", "0"), ErrDamaged, "names no file"},
		{"external data above the folder", external("location", "../secret"), ErrUnsafe, "outside"},
		{"external data at an absolute path", external("location", "/etc/passwd"), ErrUnsafe, "outside"},
		{"external data that climbs later", external("location", "a/../../secret"), ErrUnsafe, "outside"},
		{"external data at a memory address", external("location", "*/_ORT_MEM_ADDR_/*", "offset", "4096"), ErrUnsafe, "memory address"},
		{"a negative external offset", external("location", "w", "offset", "-8"), ErrDamaged, "offset"},
		{"an external offset that is no number", external("location", "w", "offset", "x"), ErrDamaged, "offset"},
		{"an external length that does not fit", external("location", "w", "length", "9"), ErrDamaged, "take 8"},
		{"an external file that is not there", external("location", "w"), ErrMissingData, "w"},
	} {
		m := sample()
		c.change(m)
		got, _, err := openBytes(filepath.Join(t.TempDir(), "m.onnx"), onnxtest.Bytes(t, m), Options{})
		switch {
		case c.want == nil && err != nil:
			t.Errorf("%s: open = %v", c.name, err)
		case c.want != nil && (got != nil || !errors.Is(err, c.want) || !errors.Is(err, ErrModel) || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: open = %v, %v; want %v with %q", c.name, got, err, c.want, c.says)
		}
	}
}

func TestExternalFiles(t *testing.T) {
	dir := t.TempDir()
	for path, size := range map[string]int{"w": 8, "short": 7, "deep/w": 20} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	outside := filepath.Join(t.TempDir(), "w")
	if err := os.WriteFile(outside, make([]byte, 8), 0o600); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"in": "deep/w", "out": outside, "folder": filepath.Dir(outside)} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, location, offset string
		want                   error
	}{
		{"a file beside the model", "w", "0", nil},
		{"a file below it, at its end", "deep/w", "12", nil},
		{"a link that stays inside", "in", "0", nil},
		{"a link that leads out", "out", "0", ErrUnsafe},
		{"a linked folder that leads out", "folder/w", "0", ErrUnsafe},
		{"a folder", "deep", "0", ErrUnsafe},
		{"a file too short", "short", "0", ErrDamaged},
		{"an offset past the end", "w", "1", ErrDamaged},
		{"an offset that overflows", "w", "9223372036854775807", ErrDamaged},
	} {
		m := sample()
		w := m.Graph.Initializer[0]
		w.FloatData, w.DataLocation = nil, pb.TensorProto_EXTERNAL.Enum()
		w.ExternalData = []*pb.StringStringEntryProto{
			{Key: new("location"), Value: &c.location}, {Key: new("offset"), Value: &c.offset},
		}
		got, _, err := openBytes(filepath.Join(dir, "m.onnx"), onnxtest.Bytes(t, m), Options{})
		if !errors.Is(err, c.want) || c.want != nil && got != nil {
			t.Errorf("%s: open = %v, %v; want %v", c.name, got, err, c.want)
		}
		if c.want == nil && (len(got.External) != 1 || got.External[0].Location != c.location || len(got.External[0].SHA256) != 64) {
			t.Errorf("%s: External = %v", c.name, got.External)
		}
	}
}

// A model whose weights lie beside it is pinned by a digest of all, which its weights change.
func TestDigestOfExternalFiles(t *testing.T) {
	dir := t.TempDir()
	path, weights := filepath.Join(dir, "m.onnx"), filepath.Join(dir, "w")
	m := sample()
	w := m.Graph.Initializer[0]
	w.FloatData, w.DataLocation = nil, pb.TensorProto_EXTERNAL.Enum()
	w.ExternalData = []*pb.StringStringEntryProto{{Key: new("location"), Value: new("w")}}
	file := onnxtest.Bytes(t, m)
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, held := range []string{"12345678", "12345679"} {
		if err := os.WriteFile(weights, []byte(held), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Open(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf("%x  -\n%x  w\n", sha256.Sum256(file), sha256.Sum256([]byte(held)))
		if want := fmt.Sprintf("%x", sha256.Sum256([]byte(text))); got.SHA256 != want || got.FileSHA256 != fmt.Sprintf("%x", sha256.Sum256(file)) || seen[want] {
			t.Errorf("SHA256 = %s, of the file %s; want %s", got.SHA256, got.FileSHA256, want)
		}
		for before := range seen {
			if _, err := Open(path, Options{SHA256: before}); !errors.Is(err, ErrModel) {
				t.Errorf("Open pinned to other weights = %v; want ErrModel", err)
			}
		}
		seen[got.SHA256] = true
		if _, err := Open(path, Options{SHA256: got.SHA256}); err != nil {
			t.Errorf("Open of the pinned model = %v", err)
		}
		if _, err := Open(path, Options{SHA256: got.FileSHA256}); !errors.Is(err, ErrModel) || !strings.Contains(err.Error(), "pin "+got.SHA256) {
			t.Errorf("Open by the digest of the file alone = %v; want an error that says what to pin", err)
		}
	}
}

// Weights beside a model are those that were digested, or Changed and Overwritten say so.
func TestExternalFilesThatChange(t *testing.T) {
	for name, c := range map[string]struct {
		change               func(weights string) error
		changed, overwritten bool
	}{
		"nothing happens": {func(string) error { return nil }, false, false},
		"written to": {func(weights string) error {
			later := time.Now().Add(time.Second)
			return errors.Join(os.WriteFile(weights, []byte("12345679"), 0o600), os.Chtimes(weights, later, later))
		}, true, true},
		"longer": {func(weights string) error { return os.WriteFile(weights, []byte("123456789"), 0o600) }, true, true},
		"replaced": {func(weights string) error {
			return errors.Join(os.WriteFile(weights+".new", []byte("12345679"), 0o600), os.Rename(weights+".new", weights))
		}, true, false},
		"removed": {os.Remove, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path, weights := filepath.Join(dir, "m.onnx"), filepath.Join(dir, "w")
			m := sample()
			w := m.Graph.Initializer[0]
			w.FloatData, w.DataLocation = nil, pb.TensorProto_EXTERNAL.Enum()
			w.ExternalData = []*pb.StringStringEntryProto{{Key: new("location"), Value: new("w")}}
			if err := errors.Join(os.WriteFile(path, onnxtest.Bytes(t, m), 0o600), os.WriteFile(weights, []byte("12345678"), 0o600)); err != nil {
				t.Fatal(err)
			}
			got, err := Open(path, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.change(weights); err != nil {
				t.Fatal(err)
			}
			if err := got.Changed(); errors.Is(err, ErrModel) != c.changed || err != nil && !c.changed {
				t.Errorf("Changed() = %v; want an error: %t", err, c.changed)
			}
			if err := got.Overwritten(); errors.Is(err, ErrModel) != c.overwritten || err != nil && !c.overwritten {
				t.Errorf("Overwritten() = %v; want an error: %t", err, c.overwritten)
			}
		})
	}
}

// Every single-bit flip and every cut of small models gives an error or a
// model, never both and never a panic.
func TestOpenSurvivesDamage(t *testing.T) {
	for _, m := range []*pb.ModelProto{sample(), onnxtest.Endless()} {
		whole := onnxtest.Bytes(t, m)
		accepted := 0
		try := func(data []byte) {
			got, _, err := openBytes("m.onnx", data, Options{})
			if (got == nil) == (err == nil) || err != nil && !errors.Is(err, ErrModel) {
				t.Fatalf("open = %v, %v", got, err)
			}
			if got != nil {
				accepted++
				if _, _, err := StripZipMap(got); err != nil {
					t.Fatalf("StripZipMap = %v", err)
				}
			}
		}
		for i := range whole {
			try(whole[:i])
		}
		// Two places remain where only the digest tells: between fields of the
		// outermost message, before metadata or imports that nothing uses.
		if accepted != 2 {
			t.Errorf("%d cut files are taken for models; want 2", accepted)
		}
		for i := range 8 * len(whole) {
			data := slices.Clone(whole)
			data[i/8] ^= 1 << (i % 8)
			try(data)
		}
		t.Logf("%d of %d single-bit flips are models, too", accepted, 8*len(whole))
	}
}
