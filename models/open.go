package models

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Limits of Open where the options do not say otherwise. A protobuf message
// cannot be larger than 2 GiB - 1 (https://protobuf.dev/programming-guides/proto-limits/);
// larger models keep their tensors in external files.
const (
	DefaultMaxBytes       = 1<<31 - 1
	DefaultMaxParsedBytes = 8 << 30
	DefaultMaxNodes       = 1_000_000
	DefaultMaxGraphDepth  = 24
)

// Options bound what Open accepts; zero values mean the defaults.
type Options struct {
	MaxBytes       int64  // of the .onnx file
	MaxParsedBytes int64  // estimate of the memory its parsed form takes while it is checked
	MaxNodes       int    // in all graphs together
	MaxGraphDepth  int    // of graphs inside attributes of nodes (If, Loop, Scan)
	SHA256         string // hex digest the file must have; empty takes any
	// Fetch reads a model whose path is a URI, of at most so many bytes; nil refuses them.
	Fetch func(uri string, most int64) ([]byte, error)
}

// EnsureDefaults fills what was left zero.
func (o *Options) EnsureDefaults() {
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.MaxParsedBytes == 0 {
		o.MaxParsedBytes = DefaultMaxParsedBytes
	}
	if o.MaxNodes == 0 {
		o.MaxNodes = DefaultMaxNodes
	}
	if o.MaxGraphDepth == 0 {
		o.MaxGraphDepth = DefaultMaxGraphDepth
	}
}

// Open reads and checks the .onnx file at path. Every error wraps ErrModel and
// names the file; it is one of the reasons above, or the operating system's
// when the file cannot be read. Options.SHA256, a hex digest, refuses any other
// file, and is the only way to notice changed weights, or a file cut right
// before its metadata: protobuf has no checksum and no end mark.
//
// Memory while it runs: the file, and its parsed form, which is dropped before
// Open returns; the Model keeps the file's bytes.
func Open(path string, opts Options) (*Model, error) {
	m, _, err := openFile(path, opts)
	return m, err
}

// openFile is Open, and gives the parsed form too.
func openFile(path string, opts Options) (*Model, *parsedModel, error) {
	opts.EnsureDefaults()
	data, err := read(&path, opts)
	if err != nil {
		return nil, nil, fmt.Errorf("model %s: %w", path, err)
	}
	m, p, err := openBytes(path, data, opts)
	if err != nil {
		return nil, nil, fmt.Errorf("model %s: %w", path, err)
	}
	return m, p, nil
}

// read reads a path, or URI. That of a file becomes its path.
func read(path *string, opts Options) ([]byte, error) {
	scheme, rest, ok := strings.Cut(*path, "://")
	switch {
	case !ok || scheme == "" || strings.Contains(scheme, "/"):
	case strings.EqualFold(scheme, "file") && strings.HasPrefix(rest, "/"):
		*path = rest
	case opts.Fetch == nil:
		return nil, fmt.Errorf("%w: a model is not read from %s://", ErrModel, scheme)
	default:
		return opts.Fetch(*path, opts.MaxBytes)
	}
	return readFile(*path, opts.MaxBytes)
}

// openBytes gives the model and its parsed form.
func openBytes(path string, data []byte, opts Options) (*Model, *parsedModel, error) {
	opts.EnsureDefaults()
	digest := sha256.Sum256(data)
	sum := hex.EncodeToString(digest[:])
	m, p, err := checked(path, sum, data, opts)
	if err := checkPin(opts.SHA256, sum, m); err != nil {
		return nil, nil, err
	}
	return m, p, err
}

// checkPin holds a model whose file has a digest to one that is pinned, if any; m is nil where
// the file is no model.
func checkPin(pin, own string, m *Model) error {
	is := own
	if m != nil {
		is = m.SHA256
	}
	switch {
	case pin == "", strings.EqualFold(pin, is):
		return nil
	case strings.EqualFold(pin, own):
		return fmt.Errorf("%w: the pinned SHA-256 is of the .onnx file alone, and weights lie in other files too (%.80q is one): pin %s, which is of them all",
			ErrModel, m.External[0].Location, is)
	}
	return fmt.Errorf("%w: its SHA-256 is %s, not the pinned %s", ErrModel, is, pin)
}

// checked is openBytes without a look at what is pinned. sum is the digest of data.
func checked(path, sum string, data []byte, opts Options) (*Model, *parsedModel, error) {
	p, err := parse(data, opts)
	if err != nil {
		return nil, nil, err
	}
	m := &Model{
		Path:            path,
		SHA256:          sum,
		FileSHA256:      sum,
		Bytes:           int64(len(data)),
		IRVersion:       p.GetIrVersion(),
		Producer:        p.GetProducerName(),
		ProducerVersion: p.GetProducerVersion(),
		Domain:          p.GetDomain(),
		ModelVersion:    p.GetModelVersion(),
		GraphName:       p.GetGraph().GetName(),
		Doc:             firstOf(p.GetDocString(), p.GetGraph().GetDocString()),
		Metadata:        map[string]string{},
		Opsets:          opsetsOf(p.ModelProto),
		data:            data,
	}
	if !strings.Contains(path, "://") {
		m.folder = filepath.Dir(path)
	}
	for _, e := range p.GetMetadataProps() {
		m.Metadata[e.GetKey()] = e.GetValue()
	}
	c := newChecker(p.ModelProto, opts)
	if err := c.model(); err != nil {
		return nil, nil, err
	}
	m.Operators, m.Custom = c.operators()
	m.Inputs, m.Outputs, err = signature(p.GetGraph())
	if err != nil {
		return nil, nil, err
	}
	m.labels = outputLabels(p.GetGraph(), m.Outputs)
	keptLabels(m.Metadata[labelsKey], m.Outputs, m.labels)
	if m.External, err = checkExternal(m.folder, c.external); err != nil {
		return nil, nil, err
	}
	m.SHA256 = digestOfAll(sum, m.External)
	return m, p, nil
}

// parse turns bytes into messages, after a walk over the wire format has shown
// that the result is bounded.
func parse(data []byte, opts Options) (*parsedModel, error) {
	if len(data) == 0 {
		return nil, damagedf("the file is empty")
	}
	if what := otherFormat(data); what != "" {
		return nil, fmt.Errorf("%w: it looks like %s", ErrNotONNX, what)
	}
	if err := scan(data, opts); err != nil {
		return nil, err
	}
	p, err := unmarshal(data)
	if err != nil {
		return nil, damagedf("%s", err)
	}
	switch {
	case p.GetGraph() == nil && p.IrVersion == nil:
		return nil, fmt.Errorf("%w: it has no IR version and no graph", ErrNotONNX)
	case p.GetGraph() == nil:
		return nil, damagedf("it has no graph (cut short?)")
	}
	return p, nil
}

// readFile reads a regular file of at most limit bytes. Pipes and devices are
// refused: they could block or never end.
func readFile(path string, limit int64) (data []byte, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrModel, err)
	}
	defer f.Close() // of what was read whole, nothing can fail any more
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrModel, err)
	case info.IsDir():
		return nil, fmt.Errorf("%w: it is a folder; name the .onnx file in it", ErrModel)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%w: it is not a regular file", ErrModel)
	case info.Size() > limit:
		return nil, fmt.Errorf("%w: %d bytes, and at most %d are read", ErrTooLarge, info.Size(), limit)
	}
	// One byte more than the size, so that a file that grows meanwhile shows.
	data = make([]byte, info.Size()+1)
	n, err := io.ReadFull(f, data)
	switch {
	case err == nil:
		return nil, fmt.Errorf("%w: the file grew while it was read", ErrModel)
	case !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%w: %w", ErrModel, err)
	}
	return data[:n:n], nil
}

// otherFormat names a format that people mistake for ONNX, by its first bytes.
func otherFormat(data []byte) string {
	has := func(prefix string) bool { return bytes.HasPrefix(data, []byte(prefix)) }
	switch {
	case len(data) >= 8 && string(data[4:8]) == "ORTM":
		return "ONNX Runtime's own .ort format; use the .onnx file it was made from"
	case has("\x89HDF\r\n\x1a\n"):
		return "HDF5 (Keras?); export it with tf2onnx"
	case has("PK\x03\x04"):
		return "a zip archive (a PyTorch checkpoint?); export it with torch.onnx.export"
	case has("\x80\x03"), has("\x80\x04"), has("\x80\x05"):
		return "a Python pickle (scikit-learn?); export it with skl2onnx"
	case has("tree\n"):
		return "LightGBM's text format; export it with onnxmltools"
	case has("version https://git-lfs"):
		return "a Git LFS pointer; fetch the file itself with: git lfs pull"
	case has("{"):
		return "JSON (XGBoost's?); export it with onnxmltools"
	case has("<"):
		return "a web page or XML"
	case has("PAR1"), has("ARROW1"):
		return "a data file, not a model"
	}
	return ""
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
