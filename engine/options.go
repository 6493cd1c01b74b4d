package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/batcher/feature"
	"github.com/millrace/millrace/batcher/filter"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/engine/unique"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/lines"
)

// Layout says how an output of several values a row becomes columns.
type Layout string

// The layouts.
const (
	// LayoutAuto writes the scores of a classifier as one column per class,
	// and everything else of several values a row as one list column.
	LayoutAuto    Layout = "auto"
	LayoutList    Layout = "list"    // one FixedSizeList column per output
	LayoutColumns Layout = "columns" // one plain column per value
)

// Kernels says whose implementation of an operator computes.
type Kernels string

// Whose kernels.
const (
	// KernelsAuto replaces operators that millrace has faster kernels for; see
	// models.UseKernels.
	KernelsAuto        Kernels = "auto"
	KernelsONNXRuntime Kernels = "onnxruntime" // ONNX Runtime's alone
)

// Defaults of Options.
const (
	DefaultBatchRows = 4096
	// DefaultColumnRows are those of a batch whose columns are taken where they lie: what
	// it works on has no tensors, and need not stay in cache.
	DefaultColumnRows = 32768
	// DefaultDeviceRows are the rows of a batch on devices, which need more at a
	// time to be busy.
	DefaultDeviceRows = 1 << 16
	DefaultStreams    = 4
	DefaultPartRows   = 1 << 20
	// maxBatchBytes bounds the tensors of one batch by default; wide inputs
	// (images) get smaller batches. On the CPU, where every worker has a batch,
	// that is mostTensorBytes, and the default usualTensorBytes.
	maxBatchBytes    = 64 << 20
	mostTensorBytes  = 16 << 20
	usualTensorBytes = 8 << 20
	// deviceBatchBytes bounds those on devices by default: every worker has a
	// batch's tensors in page-locked memory, which takes its time to get.
	deviceBatchBytes = 16 << 20
)

// MostThreads bounds what a user, or a profile, may ask for of threads of a kind: more than the largest machines
// have cores for, and less than what a system cannot start.
const MostThreads = 1024

// Options are the settings of a run. Zero means default.
type Options struct {
	Model       string // path of the .onnx file
	ModelSHA256 string // pins the model, in hex
	// Models, in place of Model, are several models that score the same rows in one
	// pass: the first is the champion, which the others are compared with.
	Models []ModelOptions
	// AgreementLimits are how far the others may be from the first.
	AgreementLimits AgreementLimits

	Inputs []string
	// Partitions says which columns are made of KEY=VALUE folders in the inputs' paths:
	// auto by default; see dataset.ParsePartitions.
	Partitions  string
	InputFormat string        // of all inputs: csv or jsonl; auto: what their bytes and names say
	Lines       lines.Options // how CSV and JSON Lines are read
	// OnlyNew leaves out files that runs of the output have read, and OnChanged says what
	// becomes of those that are others since: fail by default. Since leaves out those from
	// before a time; none when zero. See Selection.
	OnlyNew     bool
	OnChanged   OnChanged
	Since       time.Time
	Output      string
	Format      format.Name // by Output's extension, else Parquet
	Compression string      // of the output, by its extension too; see format.WriteOptions
	Delimiter   string      // of CSV output's fields; a comma by default, a tab in .tsv
	// SpreadsheetSafe has texts in CSV that spreadsheets would take for formulas begin
	// with an apostrophe.
	SpreadsheetSafe bool

	IDs  []string // columns that come first in the output
	Keep []string // columns that follow them

	// Where is an expression on the input's columns; rows for which it is not true are
	// left out, and counted. None when empty; see package filter.
	Where string
	// Rules are what values have to be; a row that breaks one is bad.
	Rules []filter.Rule
	// FeatureSpecs are features made from columns; Features, Bind and other features
	// may name them. Where there are some and no Features, the model's one [N,F] input
	// has all of them that are not hidden, in order.
	FeatureSpecs []feature.Feature

	Features []string
	Bind     map[string][]string
	Nulls    batcher.NullPolicies
	Lossy    batcher.LossyCasts

	ModelOutputs []string // outputs to write; all by default
	OutputPrefix string   // put before the name of each prediction column

	// PartitionBy are columns of IDs or Keep whose values name the folders of the output's
	// files, outermost first, as Hive names them; the files do not have them.
	PartitionBy []string
	// TargetFileBytes is about how large the files of the output become, at most, before
	// a part has another; 0: one file for each part and folder.
	TargetFileBytes int64
	Layout          Layout

	Provider       ort.Provider // cpu by default
	Kernels        Kernels      // auto by default; on TensorRT it changes nothing
	BatchRows      int          // rows of one Run; 0: chosen when the run starts
	Workers        int          // concurrent Runs; by default as many as the cgroup grants cores
	Readers        int          // spans decoded at the same time; by default like Workers
	PartRows       int64        // least rows of a part
	IntraOpThreads int

	// Devices are the numbers of the provider's devices to use, [0] by default;
	// none on the CPU. Streams is how many Runs are in flight on each, so that
	// copies to and from it and its arithmetic overlap.
	Devices []int
	Streams int
	// ProviderReason is why AutoProvider chose the provider; empty when it did not.
	ProviderReason string
	// TF32 and DeviceMemory are those of ort.SessionOptions.
	TF32         bool
	DeviceMemory int64
	// EngineCache is the folder for what TensorRT compiles; none when empty.
	EngineCache string
	// AllowCPUNodes lets a run go on some of whose model's nodes the provider has
	// no kernel for, so that they run on the CPU, with copies before and after.
	AllowCPUNodes bool

	// MemoryLimit is the resident memory in bytes that the run must keep within;
	// 0: the cgroup's limit less 10%, if it has one; NoMemoryLimit: none. What it
	// lowers does not change the output's bytes; see allotment.
	MemoryLimit int64

	IfExists ledger.IfExists
	// Restart drops the progress of an earlier start instead of continuing it, and
	// scores again what an equal run published.
	Restart    bool
	OnBadRow   OnBadRow
	Finite     batcher.FinitePolicy // columns in which a NaN or an infinity is bad
	RefuseNaN  bool                 // a prediction that is NaN makes its row bad
	Unique     unique.Spec          // columns whose values only one row may have; none by default
	MaxRejects int64                // rejected rows above which the run fails; below 0: any number
	// MaxRejectPercent is the same as a share of the input's rows, in percent; 0: MaxRejects
	// alone counts.
	MaxRejectPercent float64

	// Digest is what proves later that an input is the one that was read; auto by
	// default.
	Digest DigestMode

	// JobFile is the job file that the options are from, for the manifest.
	JobFile JobFile

	// ProfileDir is the folder of tuned profiles; none when empty.
	ProfileDir string

	// ScoreApart starts a process that calls Plan.ScoreApart with the same options and
	// path, and waits for it. Its error wraps ErrDied where the process died. Without
	// it, a part in which starts died is scored like any other.
	ScoreApart func(ctx context.Context, path string) error

	// Stores are where inputs may lie that are URIs, by scheme.
	Stores map[string]dataset.Store
	// Places say how the output's place is reached.
	Places Places
	// Piped are the ends of streams, where Inputs or Output are StreamName.
	Piped Piped

	Library ort.LibraryOptions
	Build   Build
}

// JobFile says which job file a run was made from. None of it decides anything: what
// the file says is in the settings.
type JobFile struct {
	Path       string            `json:"path"`
	SHA256     string            `json:"sha256"`
	Parameters map[string]string `json:"parameters,omitempty"`
	Fitted     []FittedFile      `json:"fitted,omitempty"`
}

// FittedFile is a file that features were taken from.
type FittedFile struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
}

// Build says which program is running, for the manifest.
type Build struct{ Version, Commit string }

// EnsureDefaults fills zero fields. BatchRows stays 0 until the plan knows how
// wide a row is, and may still change when the run starts; see Choice.
func (o *Options) EnsureDefaults() {
	if o.Provider == "" {
		o.Provider = ort.CPU
	}
	if o.Kernels == "" {
		o.Kernels = KernelsAuto
	}
	if o.Provider != ort.CPU {
		if len(o.Devices) == 0 {
			o.Devices = []int{0}
		}
		if o.Streams == 0 {
			o.Streams = DefaultStreams
		}
	}
	cores := runtime.GOMAXPROCS(0) // follows the cgroup's CPU quota
	o.Readers = cmp.Or(o.Readers, o.Workers, cores)
	if o.Workers == 0 {
		o.Workers = cores + len(o.Devices)*o.Streams // those that wait for a device leave their core to others
	}
	if o.PartRows == 0 {
		o.PartRows = DefaultPartRows
	}
	if o.IntraOpThreads == 0 {
		o.IntraOpThreads = 1
	}
	if o.Partitions == "" {
		o.Partitions = "auto"
	}
	if o.InputFormat == "" {
		o.InputFormat = "auto"
	}
	o.Lines.EnsureDefaults()
	if o.Layout == "" {
		o.Layout = LayoutAuto
	}
	if o.OnBadRow == "" {
		o.OnBadRow = BadFail
	}
	o.Unique.EnsureDefaults()
	if o.Digest == "" {
		o.Digest = DigestAuto
	}
	if o.IfExists == "" {
		o.IfExists = ledger.IfExistsError
	}
	o.nameDefaults()
}

// ErrUsage says that settings are wrong or contradict each other.
var ErrUsage = errors.New("usage")

// Validate joins every problem; its error wraps ErrUsage.
func (o *Options) Validate() error {
	var problems []error
	bad := func(f string, args ...any) { problems = append(problems, fmt.Errorf(f, args...)) }
	o.validateModels(bad)
	if len(o.Inputs) == 0 {
		bad("--input is missing: a file, a directory or a glob, such as 'data/*.parquet'")
	}
	o.validateLimits(bad)
	o.validateStreams(bad)
	if _, err := dataset.ParsePartitions(o.Partitions); err != nil {
		bad("--%w", err)
	}
	if _, err := o.inputFormat(); err != nil {
		problems = append(problems, err)
	}
	if err := o.Lines.Validate(); err != nil {
		problems = append(problems, err)
	}
	if o.TargetFileBytes < 0 {
		bad("--target-file-size (%d) must be a number of bytes", o.TargetFileBytes)
	}
	if err := o.checkDestination(); err != nil {
		problems = append(problems, err)
	}
	if o.BatchRows < 0 {
		bad("--batch-size (%d) must be >= 1, or auto", o.BatchRows)
	}
	for _, threads := range []struct {
		flag  string
		count int
	}{{"--workers", o.Workers}, {"--readers", o.Readers}, {"--intra-op-threads", o.IntraOpThreads}} {
		if threads.count < 1 || threads.count > MostThreads {
			bad("%s (%d) must be from 1 to %d", threads.flag, threads.count, MostThreads)
		}
	}
	switch {
	case o.Provider == ort.CPU && len(o.Devices) > 0:
		bad("--provider cpu has no devices to choose from")
	case o.Provider == ort.CPU && (o.Streams != 0 || o.TF32 || o.DeviceMemory != 0 || o.AllowCPUNodes):
		bad("--streams, --tf32, --device-memory and --allow-cpu-nodes are for --provider cuda and tensorrt")
	case o.Provider != ort.CPU && (o.Streams < 1 || o.Streams > MostThreads):
		bad("--streams (%d) must be from 1 to %d", o.Streams, MostThreads)
	}
	if o.DeviceMemory < 0 {
		bad("--device-memory (%d) must be a number of bytes", o.DeviceMemory)
	}
	for i, d := range o.Devices {
		if d < 0 || slices.Contains(o.Devices[:i], d) {
			bad("--provider %s: device %d must be >= 0 and named once", o.Provider, d)
		}
	}
	if o.PartRows < 1 {
		bad("--part-rows (%d) must be >= 1", o.PartRows)
	}
	if o.MemoryLimit < NoMemoryLimit {
		bad("--memory-limit (%d) must be a number of bytes, or none", o.MemoryLimit)
	}
	switch o.Layout {
	case LayoutAuto, LayoutList, LayoutColumns:
	default:
		bad("--output-layout (%s) must be auto, list or columns", o.Layout)
	}
	switch o.Kernels {
	case KernelsAuto, KernelsONNXRuntime:
	default:
		bad("--kernels (%s) must be auto or onnxruntime", o.Kernels)
	}
	switch o.OnBadRow {
	case BadFail, BadNull, BadReject:
	default:
		bad("--on-bad-row (%s) must be fail, null or reject", o.OnBadRow)
	}
	if err := o.Unique.Validate(); err != nil {
		problems = append(problems, err)
	}
	if o.MaxRejectPercent < 0 || o.MaxRejectPercent > 100 {
		bad("--max-bad-rows (%v%%) must be between 0%% and 100%%", o.MaxRejectPercent)
	}
	switch o.IfExists {
	case ledger.IfExistsError, ledger.IfExistsReplace:
	case ledger.IfExistsAppend:
		if _, single := FormatOf(o.Output); single {
			bad("--if-exists append needs a directory to add files to, and --output %s is one file", sink.Shown(o.Output))
		}
	case ledger.IfExistsUpsert:
		if !traitsOf(o.Output).Records {
			bad("--if-exists upsert replaces rows of a table, and --output %s is of files", sink.Shown(o.Output))
		}
	default:
		bad("--if-exists (%s) must be error, replace, append or upsert", o.IfExists)
	}
	switch o.Digest {
	case DigestAuto, DigestSHA256, DigestXXH3, DigestSizeMTime:
	default:
		bad("--digest (%s) must be auto, sha256, xxh3 or size-mtime", o.Digest)
	}
	o.validateWriting(bad)
	o.validateSelection(bad)
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrUsage, errors.Join(problems...))
}
