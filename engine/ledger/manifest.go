package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/engine/distribution"
)

// ManifestVersion names the form of the manifests written here.
const ManifestVersion = "millrace.manifest/1"

// Manifest is the account of a published run. Times are UTC; digests are
// lower-case hexadecimal SHA-256.
type Manifest struct {
	Version string `json:"version"`
	Run     string `json:"run"`
	// Parent is the run whose output stood there before this one was published, or had
	// stood there, where a single file was removed since; none for the first. Through
	// parents, the manifests of an output are a chain.
	Parent *Parent `json:"parent,omitempty"`
	// Mode is what publishing did to the parent's output.
	Mode Mode `json:"mode"`
	// Job is the digest of everything that decides the output: model, inputs,
	// settings and versions; see JobDigest.
	Job      string       `json:"job"`
	By       Starter      `json:"by"`
	Started  time.Time    `json:"started"`
	Finished time.Time    `json:"finished"`
	Model    ModelFile    `json:"model"`            // of several the first
	Models   []NamedModel `json:"models,omitempty"` // of a run of several, in order
	Inputs   []Input      `json:"inputs"`
	Outputs  []Output     `json:"outputs"` // by part; set by Publish
	// PartFiles is how many of the outputs each part has, where that is any number.
	PartFiles []int `json:"part_files,omitempty"`
	// PartitionBy are the columns that the outputs do not have, and their folders name.
	PartitionBy []string       `json:"partition_by,omitempty"`
	Rejects     *Output        `json:"rejects,omitempty"`
	Schema      []Column       `json:"schema"` // of every output, with what its folders name
	Settings    map[string]any `json:"settings"`
	Versions    Versions       `json:"versions"`
	Machine     Machine        `json:"machine"`
	// Nodes counts the model's nodes, as run, by execution provider and operator;
	// none for a run on the CPU alone.
	Nodes  map[string]map[string]int `json:"nodes,omitempty"`
	Ledger Rows                      `json:"ledger"`
	Parts  []Rows                    `json:"parts"` // by part
	// Predictions are how the values of prediction columns are distributed, of the first
	// distribution.MostColumns; none in manifests before there were such, and where no row
	// was written.
	Predictions []distribution.Summary `json:"predictions,omitempty"`
	// Features are those in which nulls or rounded values were met.
	Features []FeatureCount `json:"features,omitempty"`
	// Work is how the run went, which decides nothing; nil in manifests before there was
	// such.
	Work *Work `json:"work,omitempty"`
}

// Parent names a manifest by its run and by the SHA-256 of its file.
type Parent struct {
	Run    string `json:"run"`
	SHA256 string `json:"sha256"`
}

// Mode is what publishing did.
type Mode string

// The modes.
const (
	ModeFresh   Mode = "fresh"   // nothing was there
	ModeReplace Mode = "replace" // the output took the place of the parent's
	ModeAppend  Mode = "append"  // its files came beside the parent's
	ModeUpsert  Mode = "upsert"  // its rows came beside the parent's, and in the place of those with the same ids
	ModeStream  Mode = "stream"  // the rows went out as a stream, and nothing of them stays
)

// Starter says who started a run.
type Starter struct {
	User string `json:"user"`
	Host string `json:"host"`
	// Scheduler is the job's name there by the scheduler's own variable, such as
	// "SLURM_JOB_ID=4711".
	Scheduler []string `json:"scheduler,omitempty"`
	// Starts counts the starts that the run took: 1, and one for each time that it
	// was continued.
	Starts int `json:"starts"`
}

// ModelFile is the model that made the predictions.
type ModelFile struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"` // of the file, or where it has Weights of them all (models.Model)
	Bytes  int64  `json:"bytes"`
	// FileSHA256 is of the file alone, and Weights are the files that it has tensors in; none
	// for most models.
	FileSHA256 string       `json:"file_sha256,omitempty"`
	Weights    []WeightFile `json:"weights,omitempty"`
	// Version and Producer are what the file says of itself: the version that whoever
	// made it gave it, 0 for none, and the tool.
	Version  int64  `json:"model_version,omitempty"`
	Producer string `json:"producer,omitempty"`
}

// WeightFile is a file of a model's tensors.
type WeightFile struct {
	Path   string `json:"path"` // relative to the model's folder
	SHA256 string `json:"sha256"`
	Bytes  int64  `json:"bytes"`
}

// NamedModel is one of several models of a run.
type NamedModel struct {
	Name string `json:"name"`
	ModelFile

	Rewrites []string `json:"rewrites"` // what became of its graph before it ran
}

// ModelFiles are all models that made the predictions.
func (m *Manifest) ModelFiles() []ModelFile {
	if len(m.Models) == 0 {
		return []ModelFile{m.Model}
	}
	files := make([]ModelFile, len(m.Models))
	for i := range m.Models {
		files[i] = m.Models[i].ModelFile
	}
	return files
}

// Input is one input file, listed as often as it was read.
type Input struct {
	Path    string    `json:"path"` // or URI
	Format  string    `json:"format"`
	Bytes   int64     `json:"bytes"`
	Rows    int64     `json:"rows"` // as the file's own metadata says
	ModTime time.Time `json:"mtime"`
	// Version is what the store that a URI leads to calls these bytes: an ETag, a
	// generation or a digest; empty for files.
	Version string `json:"version,omitempty"`
	// Digest is ALGORITHM:HEX of the whole file's bytes as they were read, or empty
	// where size and time of change stand for it.
	Digest string `json:"digest,omitempty"`
	Ledger Rows   `json:"ledger"`
	// Spans are the accounts of its spans, in order.
	Spans []Rows `json:"spans,omitempty"`
}

// Output is one written file. Name is relative to the output directory, or
// the file's own name where the output is a single file.
type Output struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
	// CRC32C is that of a piece, in hexadecimal digits, in place of SHA256: the whole file has
	// a digest, and manifests have no pieces.
	CRC32C string `json:"crc32c,omitempty"`
	Bytes  int64  `json:"bytes"`
	Rows   int64  `json:"rows"`
	// RowDigest is ALGORITHM:HEX of rows that are no file: the same whatever their order.
	RowDigest string `json:"row_digest,omitempty"`
}

// Column is one column of the output.
type Column struct {
	Name     string `json:"name"`
	Type     string `json:"type"` // Arrow's name for it
	Nullable bool   `json:"nullable"`
}

// Columns describes a schema for a manifest.
func Columns(schema *arrow.Schema) []Column {
	columns := make([]Column, schema.NumFields())
	for i, field := range schema.Fields() {
		columns[i] = Column{Name: field.Name, Type: field.Type.String(), Nullable: field.Nullable}
	}
	return columns
}

// Versions are those of everything that computed.
type Versions struct {
	Millrace string `json:"millrace"`
	Commit   string `json:"commit"`
	Go       string `json:"go"`
	ORT      string `json:"ort"`
	Arrow    string `json:"arrow"`
	Driver   string `json:"driver_cuda,omitempty"` // the CUDA version of the GPUs' driver
	TensorRT string `json:"tensorrt,omitempty"`    // of runs on it
}

// Machine is where the run was.
type Machine struct {
	CPU   string   `json:"cpu"`
	Cores int      `json:"cores"`          // granted, not built in
	GPUs  []string `json:"gpus,omitempty"` // that the run used
}

// Check compares all row accounts in the manifest, and returns every
// disagreement: each account in itself, inputs' own row counts with rows
// read, inputs with their spans, and inputs, parts and files written with the whole.
func (m *Manifest) Check() error {
	errs := []error{m.Ledger.Check()}
	var inputs, parts Rows
	for i, in := range m.Inputs {
		errs = append(errs, at("input", i, in.Ledger.Check()))
		if in.Rows != in.Ledger.Read {
			errs = append(errs, fmt.Errorf("%w: input %q has %d rows, %d were read", ErrAccounts, in.Path, in.Rows, in.Ledger.Read))
		}
		errs = append(errs, in.checkSpans())
		inputs = inputs.Add(in.Ledger)
	}
	for i, part := range m.Parts {
		errs = append(errs, at("part", i, part.Check()))
		parts = parts.Add(part)
	}
	if inputs != m.Ledger {
		errs = append(errs, fmt.Errorf("%w: inputs %+v, run %+v", ErrAccounts, inputs, m.Ledger))
	}
	if parts != m.Ledger {
		errs = append(errs, fmt.Errorf("%w: parts %+v, run %+v", ErrAccounts, parts, m.Ledger))
	}
	return errors.Join(append(errs, m.CheckWritten())...)
}

// checkSpans compares the accounts of an input's spans, where it has them, with its
// own.
func (in *Input) checkSpans() error {
	if len(in.Spans) == 0 {
		return nil
	}
	for i, span := range in.Spans {
		if err := span.Check(); err != nil {
			return fmt.Errorf("input %q: span %d: %w", in.Path, i, err)
		}
	}
	if sum := Sum(in.Spans); sum != in.Ledger {
		return fmt.Errorf("%w: input %q: spans %+v, file %+v", ErrAccounts, in.Path, sum, in.Ledger)
	}
	return nil
}

// CheckWritten compares the accounts with the rows in the files written.
func (m *Manifest) CheckWritten() error {
	if m.Rejects != nil && m.Rejects.Rows != m.Ledger.Rejected {
		return fmt.Errorf("%w: %d rows rejected, %d in %s", ErrAccounts, m.Ledger.Rejected, m.Rejects.Rows, m.Rejects.Name)
	}
	if len(m.PartFiles) > 0 {
		return m.checkPartFiles()
	}
	if len(m.Outputs) == 1 && len(m.Parts) > 1 { // a single file of several parts
		if out := m.Outputs[0]; out.Rows != m.Ledger.Written() {
			return fmt.Errorf("%w: %d rows scored and %d with null predictions, %d written to %s",
				ErrAccounts, m.Ledger.Scored, m.Ledger.Nulled, out.Rows, out.Name)
		}
		return nil
	}
	if len(m.Outputs) != len(m.Parts) {
		return fmt.Errorf("%w: %d parts and %d output files", ErrAccounts, len(m.Parts), len(m.Outputs))
	}
	for i, out := range m.Outputs {
		if part := m.Parts[i]; out.Rows != part.Written() {
			return fmt.Errorf("%w: part %d has %d rows scored and %d with null predictions, %d written to %s",
				ErrAccounts, i, part.Scored, part.Nulled, out.Rows, out.Name)
		}
	}
	return nil
}

// checkPartFiles compares the accounts of parts with the rows in their files.
func (m *Manifest) checkPartFiles() error {
	if len(m.PartFiles) != len(m.Parts) {
		return fmt.Errorf("%w: %d parts, and the files of %d", ErrAccounts, len(m.Parts), len(m.PartFiles))
	}
	rest := m.Outputs
	for i, n := range m.PartFiles {
		if n < 0 || n > len(rest) {
			return fmt.Errorf("%w: part %d has %d of %d files", ErrAccounts, i, n, len(rest))
		}
		var rows int64
		for _, out := range rest[:n] {
			rows += out.Rows
		}
		if part := m.Parts[i]; rows != part.Written() {
			return fmt.Errorf("%w: part %d has %d rows scored and %d with null predictions, %d written to %d files",
				ErrAccounts, i, part.Scored, part.Nulled, rows, n)
		}
		rest = rest[n:]
	}
	if len(rest) > 0 {
		return fmt.Errorf("%w: %d files are of no part", ErrAccounts, len(rest))
	}
	return nil
}

// PartOf is the part that an output belongs to, by its place among the outputs; of a
// single file that several parts were joined to, the first.
func (m *Manifest) PartOf(output int) int {
	if len(m.PartFiles) == 0 {
		return output
	}
	for part, n := range m.PartFiles {
		if output -= n; output < 0 {
			return part
		}
	}
	return len(m.PartFiles) // of none, which Check refuses
}

// RowsBefore is how many rows of an output's part stand in the part's files before it
// that lie in the same folder.
func (m *Manifest) RowsBefore(output int) (rows int64) {
	folder := filepath.Dir(m.Outputs[output].Name)
	for i, part := output-1, m.PartOf(output); i >= 0 && m.PartOf(i) == part; i-- {
		if filepath.Dir(m.Outputs[i].Name) == folder {
			rows += m.Outputs[i].Rows
		}
	}
	return rows
}

func at(what string, i int, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %d: %w", what, i, err)
}

// Encode writes the manifest as indented JSON, with its version, times in UTC
// and empty lists as [].
func (m *Manifest) Encode() ([]byte, error) {
	out := *m
	out.Version = ManifestVersion
	out.Started, out.Finished = out.Started.UTC(), out.Finished.UTC()
	out.Inputs = append([]Input{}, m.Inputs...)
	for i := range out.Inputs {
		out.Inputs[i].ModTime = out.Inputs[i].ModTime.UTC()
	}
	out.Outputs = append([]Output{}, m.Outputs...)
	out.Schema = append([]Column{}, m.Schema...)
	out.Parts = append([]Rows{}, m.Parts...)
	if out.Settings == nil {
		out.Settings = map[string]any{}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(&out); err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	return b.Bytes(), nil
}

// ParseManifest reads what Encode wrote. It refuses other versions and
// unknown fields, since an account that is only half understood proves nothing.
func ParseManifest(data []byte) (*Manifest, error) {
	var head struct {
		Version string `json:"version"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	if head.Version != ManifestVersion {
		return nil, fmt.Errorf("%w: its version is %q, want %q", ErrManifest, head.Version, ManifestVersion)
	}
	var m Manifest
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	dec.UseNumber() // of settings, some of which no float64 holds
	if err := dec.Decode(&m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	return &m, nil
}

// ColumnNames are the names of the output's columns, in their order.
func (m *Manifest) ColumnNames() []string {
	names := make([]string, len(m.Schema))
	for i, c := range m.Schema {
		names[i] = c.Name
	}
	return names
}
