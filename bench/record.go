package bench

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/millrace/millrace/engine/ledger"
)

// Schema is the version of the records' fields. It rises when a field changes
// its meaning; new fields do not raise it.
const Schema = 1

// Kind says which part of a Record is set.
type Kind string

// The kinds of records. A file starts with a Head; several files may be
// concatenated.
const (
	KindHead   Kind = "head"
	KindRepeat Kind = "repeat"
	KindStop   Kind = "stop"
)

// Stage is what was measured.
type Stage string

// The stages alone, and all of them together.
const (
	StageRead     Stage = "read"     // file to decoded columns
	StageAssemble Stage = "assemble" // columns in memory to tensors
	StageInfer    Stage = "infer"    // Run on tensors in memory, of the model as it is run
	StageWrite    Stage = "write"    // predictions in memory to a file
	StageEndToEnd Stage = "end_to_end"
	// StageInferExported is infer of the model as it was exported, on ONNX Runtime's
	// own kernels. No run has it: it is part of no ceiling and of no verdict, and
	// there is none where infer is the same.
	StageInferExported Stage = "infer_exported"
	// What infer consists of on a device: copies of the input tensors to it, the
	// model on tensors that are there, and copies of the outputs back, each alone.
	// In infer they overlap.
	StageCopyIn  Stage = "copy_in"
	StageCompute Stage = "compute"
	StageCopyOut Stage = "copy_out"
)

// Stages are the stages alone, in the order of the data's way.
var Stages = []Stage{StageRead, StageAssemble, StageInfer, StageWrite}

// DeviceStages are those that infer consists of on a device.
var DeviceStages = []Stage{StageCopyIn, StageCompute, StageCopyOut}

// Record is one line of results.jsonl; Kind says which of the three it has.
type Record struct {
	Kind   Kind    `json:"kind"`
	Bench  string  `json:"bench"` // id of the measurement that the record belongs to
	Head   *Head   `json:"head,omitempty"`
	Repeat *Repeat `json:"repeat,omitempty"`
	Stop   *Stop   `json:"stop,omitempty"`
}

// Head says what was measured, on what, by what.
type Head struct {
	Schema   int       `json:"schema"`
	Started  time.Time `json:"started"`
	Command  []string  `json:"command"`
	Machine  Machine   `json:"machine"`
	Versions Versions  `json:"versions"`
	Model    Model     `json:"model"`
	Data     Data      `json:"data"`
	// Settings are those of the run that cost time, apart from an Arm's: by the
	// flag's name, where they are not the default.
	Settings map[string]string `json:"settings,omitempty"`
	// Rewrites say, a sentence each, what the graph that was run has otherwise
	// than the file.
	Rewrites []string `json:"rewrites,omitempty"`
	// PricePerHour is what the machine costs, in the user's unit of money; 0
	// when not said.
	PricePerHour float64 `json:"price_per_hour,omitempty"`
}

// Machine is the hardware that was granted.
type Machine struct {
	Name        string   `json:"name,omitempty"` // as the user calls it; --name
	CPU         string   `json:"cpu"`
	Arch        string   `json:"arch"`
	Cores       int      `json:"cores"` // granted by affinity and cgroup
	CoresOnline int      `json:"cores_online"`
	CPUFeatures []string `json:"cpu_features,omitempty"` // those that kernels choose by, such as avx2
	L1Bytes     int64    `json:"l1_bytes,omitempty"`     // data, per core
	L2Bytes     int64    `json:"l2_bytes,omitempty"`
	L3Bytes     int64    `json:"l3_bytes,omitempty"`
	MemoryBytes int64    `json:"memory_bytes"` // granted: the least of the machine's and the cgroup's
	// Limits of the cgroup; 0: none. Cores and MemoryBytes are within them.
	CgroupCores       float64  `json:"cgroup_cores,omitempty"`
	CgroupMemoryBytes int64    `json:"cgroup_memory_bytes,omitempty"`
	GPUs              []string `json:"gpus,omitempty"`
	Kernel            string   `json:"kernel"`
	PowerSource       string   `json:"power_source,omitempty"` // such as rapl; empty when the system tells no power
	NoPower           string   `json:"no_power,omitempty"`     // why it does not
}

// Granted is how many cores there are to compute with: Cores, which go by whole ones and are two
// at least, or the cgroup's quota where that is less.
func (m *Machine) Granted() float64 {
	if quota := m.CgroupCores; quota > 0 && quota < float64(m.Cores) {
		return quota
	}
	return float64(m.Cores)
}

// Versions are what ran.
type Versions struct {
	Millrace string `json:"millrace"`
	Commit   string `json:"commit"`
	Go       string `json:"go"`
	ORT      string `json:"onnxruntime"`
	Kernels  string `json:"kernels,omitempty"` // the assembly kernels in use, such as avx2
	Dirty    bool   `json:"dirty,omitempty"`   // built from files that the commit does not have
}

// Model is the model that ran.
type Model struct {
	Name   string `json:"name"` // file name
	SHA256 string `json:"sha256"`
	Bytes  int64  `json:"bytes"`
}

// Data is what was scored.
type Data struct {
	Source  string `json:"source"` // input or made
	Format  string `json:"format"` // parquet or arrow
	Files   int    `json:"files"`
	Rows    int64  `json:"rows"`
	Bytes   int64  `json:"bytes"` // stored
	Columns int    `json:"columns"`
	// SHA256 is of the files' names, sizes and schema for an input, and of the
	// settings for made data: records are comparable when it is equal.
	SHA256 string `json:"sha256"`
	// Content is of the files' sizes and some of their bytes: records are comparable when
	// it is equal, too, as of a copy under another name. Empty for made data, and for
	// files that are not this machine's.
	Content string `json:"content,omitempty"`
}

// Arm is one choice of settings.
type Arm struct {
	Provider       string `json:"provider"`
	BatchRows      int    `json:"batch_rows"`
	Workers        int    `json:"workers"`
	IntraOpThreads int    `json:"intra_op_threads"`
}

// Repeat is one measurement. Fields that a stage does not have are 0.
type Repeat struct {
	Stage Stage `json:"stage"`
	Arm
	Index  int  `json:"index"`            // of the repeat in its arm, or of its round, from 0
	Warmup bool `json:"warmup,omitempty"` // not counted in medians
	// Chosen marks end-to-end repeats with the settings that --batch-size auto
	// chooses; the others have the arm's fixed settings.
	Chosen bool `json:"chosen,omitempty"`

	Rows       int64   `json:"rows"`
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpu_seconds"` // user and system, of the process
	// StealSeconds are those that the hypervisor gave to others, while cores of
	// this machine wanted to run.
	StealSeconds float64 `json:"steal_seconds,omitempty"`
	Joules       float64 `json:"joules,omitempty"`

	BytesRead       int64 `json:"bytes_read,omitempty"` // decoded columns
	BytesWritten    int64 `json:"bytes_written,omitempty"`
	BytesCopied     int64 `json:"bytes_copied,omitempty"` // into tensors
	BytesViewed     int64 `json:"bytes_viewed,omitempty"` // tensors that are views of columns
	PeakMemoryBytes int64 `json:"peak_memory_bytes,omitempty"`
	// PeakDeviceMemoryBytes is the most memory of the device in use at a time, by
	// whatever process.
	PeakDeviceMemoryBytes int64 `json:"peak_device_memory_bytes,omitempty"`
	// StageSeconds are busy seconds by stage of an end-to-end repeat, summed
	// over goroutines.
	StageSeconds map[Stage]float64 `json:"stage_seconds,omitempty"`
}

// CoreSeconds are what the repeat cost the machine's cores: processor time, and
// what was stolen of it. A busy host makes a stage and the whole run slower
// alike; without the stolen part it would only make the whole look worse.
func (r *Repeat) CoreSeconds() float64 { return r.CPUSeconds + r.StealSeconds }

// RowsPerSecond is the throughput of the repeat.
func (r *Repeat) RowsPerSecond() float64 { return float64(r.Rows) / r.Seconds }

// Stop says that an arm was given up before all its repeats.
type Stop struct {
	Stage Stage `json:"stage"`
	Arm
	After  int    `json:"after"` // repeats that were made
	Reason string `json:"reason"`
}

// Bench is one measurement: a head and what belongs to it.
type Bench struct {
	ID      string
	Head    Head
	Repeats []Repeat
	Stops   []Stop
	// Cut says that the file ended within a line after the last of these, as it
	// does when its writer was killed or its disk was full.
	Cut bool
}

// ErrRecords says that a file of records cannot be read as one.
var ErrRecords = errors.New("not a file of measurements")

// maxLineBytes bounds one record; a head with many GPUs has a few kB.
const maxLineBytes = 1 << 20

// ReadRecords reads results.jsonl, or several of them one after the other, in
// the order in which they started. A last line that was cut off is left out. Its
// error wraps ErrRecords and names the line.
func ReadRecords(r io.Reader) ([]*Bench, error) {
	var all []*Bench
	byID := map[string]*Bench{}
	lines, split := bufio.NewScanner(r), lineSplitter{}
	lines.Buffer(nil, maxLineBytes)
	lines.Split(split.next)
	n := 0
	for lines.Scan() {
		n++
		if len(lines.Bytes()) == 0 {
			continue
		}
		var rec Record
		if err := json.Unmarshal(lines.Bytes(), &rec); err != nil {
			// The last line of a writer that was killed, or whose disk was full.
			if !split.ended && len(all) > 0 {
				all[len(all)-1].Cut = true
				break
			}
			return nil, fmt.Errorf("%w: line %d: %w", ErrRecords, n, err)
		}
		if err := rec.check(); err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrRecords, n, err)
		}
		if rec.Kind == KindHead {
			if byID[rec.Bench] != nil {
				return nil, fmt.Errorf("%w: line %d: measurement %q begins twice; was a file added to itself?", ErrRecords, n, rec.Bench)
			}
			b := &Bench{ID: rec.Bench, Head: *rec.Head}
			byID[rec.Bench], all = b, append(all, b)
			continue
		}
		b := byID[rec.Bench]
		if b == nil {
			return nil, fmt.Errorf("%w: line %d belongs to measurement %q, whose head is missing", ErrRecords, n, rec.Bench)
		}
		if rec.Kind == KindRepeat {
			b.Repeats = append(b.Repeats, *rec.Repeat)
		} else {
			b.Stops = append(b.Stops, *rec.Stop)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%w: line %d: %w", ErrRecords, n+1, err)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: it has no records", ErrRecords)
	}
	return all, nil
}

// lineSplitter is bufio.ScanLines, and says whether the last line ended.
type lineSplitter struct{ ended bool }

func (s *lineSplitter) next(data []byte, atEOF bool) (advance int, token []byte, err error) {
	advance, token, err = bufio.ScanLines(data, atEOF)
	s.ended = advance > 0 && data[advance-1] == '\n'
	return advance, token, err
}

// check holds a record to what its kind promises.
func (r *Record) check() error {
	switch {
	case r.Kind == KindHead && r.Head != nil:
		if r.Head.Schema != Schema {
			return fmt.Errorf("schema %d; this millrace reads schema %d", r.Head.Schema, Schema)
		}
		if p := r.Head.PricePerHour; p != 0 && !(p >= 1/maxPrice && p <= maxPrice) {
			return fmt.Errorf("price_per_hour is %v", p)
		}
		return r.Head.check()
	case r.Kind == KindRepeat && r.Repeat != nil:
		if r.Repeat.Rows <= 0 || r.Repeat.Seconds <= 0 {
			return fmt.Errorf("a repeat of %d rows in %v s", r.Repeat.Rows, r.Repeat.Seconds)
		}
		return r.Repeat.check()
	case r.Kind == KindStop && r.Stop != nil:
		return nil
	default:
		return fmt.Errorf("kind %q without its fields", r.Kind)
	}
}

// check holds a head to counts that there can be.
func (h *Head) check() error {
	for name, v := range map[string]int64{
		"cores": int64(h.Machine.Cores), "cores_online": int64(h.Machine.CoresOnline), "memory_bytes": h.Machine.MemoryBytes,
		"files": int64(h.Data.Files), "rows": h.Data.Rows, "columns": int64(h.Data.Columns),
	} {
		if v < 0 {
			return fmt.Errorf("%s is %d", name, v)
		}
	}
	if h.Machine.CgroupCores < 0 || h.Machine.CgroupCores > 1e9 {
		return fmt.Errorf("cgroup_cores is %v", h.Machine.CgroupCores)
	}
	return nil
}

// leastSeconds is shorter than any clock can tell. Below it a throughput need not
// be a finite number.
const leastSeconds = 1e-12

// check holds a repeat to numbers that can be measured, so that nothing derived
// from them is infinite or negative.
func (r *Repeat) check() error {
	seconds := map[string]float64{"cpu_seconds": r.CPUSeconds, "joules": r.Joules}
	for stage, s := range r.StageSeconds {
		seconds[fmt.Sprintf("stage_seconds of %q", stage)] = s
	}
	for name, v := range seconds {
		if v != 0 && (v < leastSeconds || v > 1/leastSeconds) {
			return fmt.Errorf("%s is %v", name, v)
		}
	}
	if r.Seconds < leastSeconds || r.Seconds > 1/leastSeconds {
		return fmt.Errorf("seconds is %v", r.Seconds)
	}
	for name, v := range map[string]int64{
		"bytes_read": r.BytesRead, "bytes_written": r.BytesWritten, "bytes_copied": r.BytesCopied,
		"bytes_viewed": r.BytesViewed, "peak_memory_bytes": r.PeakMemoryBytes, "peak_device_memory_bytes": r.PeakDeviceMemoryBytes,
		"batch_rows": int64(r.BatchRows), "workers": int64(r.Workers), "intra_op_threads": int64(r.IntraOpThreads),
	} {
		if v < 0 {
			return fmt.Errorf("%s is %d", name, v)
		}
	}
	return nil
}

// Writer writes records as they are made, each at once, so that a measurement
// that is stopped keeps what it has.
type Writer struct {
	bench string
	to    *json.Encoder
}

// NewWriter begins a measurement: it writes the head.
func NewWriter(w io.Writer, id string, head *Head) (*Writer, error) {
	out := &Writer{bench: id, to: json.NewEncoder(w)}
	head.Schema = Schema
	if err := out.to.Encode(Record{Kind: KindHead, Bench: id, Head: head}); err != nil {
		return nil, fmt.Errorf("%w: records: %w", ledger.ErrOutput, err)
	}
	return out, nil
}

// Repeat writes one repeat.
func (w *Writer) Repeat(r *Repeat) error {
	if err := w.to.Encode(Record{Kind: KindRepeat, Bench: w.bench, Repeat: r}); err != nil {
		return fmt.Errorf("%w: records: %w", ledger.ErrOutput, err)
	}
	return nil
}

// Stop writes that an arm was given up.
func (w *Writer) Stop(s *Stop) error {
	if err := w.to.Encode(Record{Kind: KindStop, Bench: w.bench, Stop: s}); err != nil {
		return fmt.Errorf("%w: records: %w", ledger.ErrOutput, err)
	}
	return nil
}
