package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/internal/nearest"
	"github.com/millrace/millrace/io/format"
)

// runOptions are the flags that say what a run is; score and plan share them.
type runOptions struct {
	engine.Options

	ids, keep, nulls, modelOutputs, partitionBy []string
	columns                                     inputColumns
	lines                                       lineOptions
	fileSize                                    byteSize
	outputFormat, layout, ifExists, profileDir  string
	kernels, provider, engineCache, digest      string
	lossy                                       bool
	batch                                       batchSize
	memory                                      memoryLimit
	deviceMemory                                byteSize
	grace                                       time.Duration
	badRows                                     badRowOptions
	unique                                      uniqueOptions
	models                                      modelFlags
	selection                                   selectionFlags
	query                                       queryOptions
	job                                         jobOptions
	page                                        pageOptions
}

// defaultGrace is how long a run that is asked to stop may go on to finish its parts:
// less than the 30 s that Kubernetes gives before it kills.
const defaultGrace = 20 * time.Second

func (o *runOptions) AddFlags(fs *pflag.FlagSet) {
	fs.SortFlags = false
	o.addJobFlags(fs)
	o.models.AddFlags(fs)
	fs.StringArrayVarP(&o.Inputs, "input", "i", nil, "input `FILE`, directory or quoted glob (** too) of Parquet, Arrow, CSV or JSON Lines files; or a database, such as sqlite:PATH?table=NAME (docs/queries.md); repeatable, read in the given order; - reads an Arrow IPC stream from standard input")
	o.query.AddFlags(fs)
	o.selection.AddFlags(fs, &o.Options)
	fs.StringVarP(&o.Output, "output", "o", "", "where predictions go: a directory `PATH`, or one file that ends in "+engine.OneFileEndings+"; - writes an Arrow IPC stream to standard output")
	o.addPipeFlags(fs)
	o.addFitFlags(fs)
	o.addDeviceFlags(fs)
	o.addWriteFlags(fs)
	o.models.addLimitFlag(fs)
	fs.StringVar(&o.ifExists, "if-exists", "error", "`WHAT` to do when the output exists: error; replace it in one step when the new one is whole; or append, in one step, files to a directory that a run published")
	fs.BoolVar(&o.Restart, "restart", false, "drop the progress of an earlier start instead of continuing it, and score again what an equal run published")
	fs.DurationVar(&o.grace, "grace", defaultGrace, "most `TIME` to finish parts that are begun after SIGTERM or SIGINT, such as 20s; a run that cannot finish them in it stops at once")
	fs.Var(&o.batch, "batch-size", "`ROWS` of one Run, or auto: what the model fixes, else the tuned profile of this model on this machine (see millrace bench --save-profile), else what is fastest on the first rows if the run is long enough to measure, else 4096 (32768 where columns are taken as they lie; 65536 on a device)")
	fs.IntVar(&o.Workers, "workers", 0, "`COUNT` of goroutines that read, assemble and score (default: the cores that the cgroup grants, and one more for each of --streams)")
	fs.IntVar(&o.Readers, "readers", 0, "`COUNT` of spans decoded at a time (default: like --workers)")
	fs.Int64Var(&o.PartRows, "part-rows", 0, "least `ROWS` of an output part file (default 1048576)")
	fs.IntVar(&o.IntraOpThreads, "intra-op-threads", 0, "`COUNT` of threads within one Run (default 1)")
	fs.Var(&o.memory, "memory-limit", "most memory that the run may take, as a `SIZE` in bytes or with a unit (512MiB, 2GiB, 1.5G = 1.5 x 10^9), or none, or auto: the cgroup's limit less 10%, if it has one; what it lowers does not change predictions or their order")
	fs.StringVar(&o.profileDir, "profile-dir", defaultProfileDir(), "`FOLDER` of tuned profiles; none: do not look for any")
	o.page.AddFlags(fs)
	wordDefaults(fs)
}

// wordDefaults says in words the default that differs between users.
func wordDefaults(fs *pflag.FlagSet) {
	fs.Lookup("profile-dir").DefValue = "~/.config/millrace/profiles"
}

// addFitFlags are those that fit the data to the model.
func (o *runOptions) addFitFlags(fs *pflag.FlagSet) {
	addPartitionsFlag(fs, &o.Partitions)
	o.lines.AddFlags(fs)
	fs.StringArrayVar(&o.ids, "ids", nil, "comma separated `COLUMNS` that identify a row; they come first in the output, and in rejects; in this list as in others, a name with a comma or with blanks at its ends stands in double quotes")
	fs.StringArrayVar(&o.keep, "keep", nil, "comma separated `COLUMNS` to pass through to the output")
	fs.StringVar(&o.Where, "where", "", "`EXPRESSION` on the input's columns, such as 'dep_delay != nil && distance > 0'; rows for which it is not true are left out and counted as filtered, and files and row groups that cannot hold others are not read (see docs/filters.md)")
	o.columns.AddFlags(fs)
	fs.StringArrayVar(&o.nulls, "nulls", nil, "`[COLUMN=]POLICY`: what a null becomes: error, nan, reject, or a constant; repeatable (default error)")
	fs.BoolVar(&o.lossy, "allow-lossy-casts", false, "let casts round, such as float64 to float32, and count rounded values")
	fs.StringArrayVar(&o.modelOutputs, "model-outputs", nil, "comma separated model `OUTPUTS` to write (default all)")
	fs.StringVar(&o.kernels, "kernels", "auto", "`WHOSE` kernels compute: auto (millrace's for tree ensembles, imputers, scalers, linear regressors and chains of dense layers where they apply, else ONNX Runtime's), or onnxruntime (its own alone)")
	o.models.addSumFlag(fs)
}

// inputColumns are the flags that say which columns the model's inputs are made of.
type inputColumns struct{ features, bind []string }

func (o *inputColumns) AddFlags(fs *pflag.FlagSet) {
	fs.StringArrayVar(&o.features, "features", nil, "comma separated `COLUMNS`, or @FILE with one a line, of the model's one [N,F] input, in order (default: the model's metadata key feature_names)")
	fs.StringArrayVar(&o.bind, "bind", nil, "`INPUT=COLUMN[,COLUMN...]`: columns of one model input (default: the column of the input's name); repeatable")
}

// set puts the flags into the engine's options.
func (o *inputColumns) set(opts *engine.Options) (err error) {
	if opts.Features, err = readList("features", o.features); err != nil {
		return err
	}
	opts.Bind, err = parseBind(o.bind)
	return err
}

// addPartitionsFlag is for commands that read data.
func addPartitionsFlag(fs *pflag.FlagSet, partitions *string) {
	fs.StringVar(partitions, "partitions", "auto", "`COLUMNS` made of the KEY=VALUE folders in the inputs' paths: auto (all, with types found: int64, date, else string), none, or these alone: COLUMN=TYPE,... such as date=date,region=string")
}

// addDeviceFlags are those that say where the model runs.
func (o *runOptions) addDeviceFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.provider, "provider", "cpu", "execution `PROVIDER`: cpu, cuda[:DEVICE,...] for NVIDIA devices (device 0 unless named), tensorrt[:DEVICE,...] for the same compiled by TensorRT, or auto: cuda where there is a device and all that it needs, else cpu")
	fs.IntVar(&o.Streams, "streams", 0, "`COUNT` of Runs in flight on each device, whose copies and arithmetic overlap (default 4, or fewer where a profile or the first rows of a long run show that to be faster)")
	fs.BoolVar(&o.AllowCPUNodes, "allow-cpu-nodes", false, "let nodes that the device has no kernel for run on the CPU, with copies to and fro")
	fs.BoolVar(&o.TF32, "tf32", false, "let matrix products on devices round to TF32: faster, and no longer float32")
	fs.Var(&o.deviceMemory, "device-memory", "most memory that the run may take of each device, as a `SIZE` (512MiB, 2GiB)")
	o.addEngineFlag(fs)
}

// addEngineFlag is for commands that run a model on any provider.
func (o *runOptions) addEngineFlag(fs *pflag.FlagSet) {
	fs.StringVar(&o.engineCache, "engine-cache", defaultEngineCache(), "`FOLDER`, yours alone, in which the provider tensorrt keeps what it has compiled; none: compile in every run")
	fs.Lookup("engine-cache").DefValue = "~/.cache/millrace/engines"
}

// addWriteFlags are those that say which predictions are written, and how.
func (o *runOptions) addWriteFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.OutputPrefix, "output-prefix", "", "`TEXT` put before the name of each prediction column")
	fs.StringVar(&o.layout, "output-layout", "auto", "`LAYOUT` of several values a row: list (one FixedSizeList column), columns (one column each), or auto (columns for class scores)")
	fs.StringArrayVar(&o.partitionBy, "partition-by", nil, "comma separated `COLUMNS` of --ids or --keep whose values name the output's folders, such as date=2026-11-22/, in place of standing in the files")
	fs.Var(&o.fileSize, "target-file-size", "about how large an output file becomes at most, as a `SIZE` (256MiB, 1GiB), before its part has another (default: one file for each part, and for each folder of it)")
	fs.StringVar(&o.outputFormat, "output-format", "", "`FORMAT`: parquet, arrow, csv or jsonl (default: by --output's ending, else parquet)")
	fs.StringVar(&o.Compression, "compression", "", "`CODEC`: zstd, snappy, gzip, lz4 or none; CSV and JSON Lines have gzip and zstd, and their files end in .gz or .zst then (default: by --output's ending, else zstd for Parquet, where it pays, and none for others)")
	fs.StringVar(&o.Delimiter, "output-delimiter", "", "`CHARACTER` between fields of CSV output: , ; | or tab (default: a comma, and a tab where --output ends in .tsv)")
	fs.BoolVar(&o.SpreadsheetSafe, "spreadsheet-safe", false, "put an apostrophe before texts in CSV output that a spreadsheet would take for a formula (they begin with = + - @, a tab or a line end); numbers stay numbers")
	fs.StringVar(&o.digest, "digest", "auto", "`WHAT` the manifest proves inputs by: sha256 or xxh3 (XXH3-128) of every file's bytes; size-mtime (size and time of change, nothing is digested); or auto: the strongest of them that takes at most 3% of the run")
	o.badRows.AddFlags(fs, &o.Options)
	o.unique.AddFlags(fs)
}

// options turns the flags, and the job file, into the engine's options.
func (o *runOptions) options(common *commonOptions) (engine.Options, error) {
	job, err := o.job.read()
	common.settings = o.job.settings
	if err != nil {
		return engine.Options{}, err
	}
	opts := o.Options
	if o.grace < 0 {
		return opts, fmt.Errorf("%w: --grace (%s) must not be negative", engine.ErrUsage, o.grace)
	}
	opts.IDs = joinColumns(o.ids)
	opts.Keep = joinColumns(o.keep)
	opts.PartitionBy = joinColumns(o.partitionBy)
	opts.TargetFileBytes = int64(o.fileSize)
	opts.ModelOutputs = joinColumns(o.modelOutputs)
	o.badRows.set(&opts)
	o.unique.set(&opts)
	o.selection.set(&opts)
	opts.Layout = engine.Layout(o.layout)
	opts.Kernels = engine.Kernels(o.kernels)
	opts.Digest = engine.DigestMode(o.digest)
	opts.IfExists = ledger.IfExists(o.ifExists)
	opts.Format = format.Name(o.outputFormat)
	opts.BatchRows = int(o.batch)
	opts.MemoryLimit = int64(o.memory)
	if o.profileDir != "none" {
		opts.ProfileDir = o.profileDir
	}
	opts.Library, opts.Stores, opts.Places = common.library(), common.stores(), common.places()
	opts.Build = engine.Build{Version: version, Commit: commit}
	if o.lossy {
		opts.Lossy = batcher.AllowLossy
	}
	opts.DeviceMemory = int64(o.deviceMemory)
	if o.engineCache != "none" {
		opts.EngineCache = o.engineCache
	}
	if err = chooseProvider(o.provider, &opts); err != nil {
		return opts, err
	}
	if err = o.columns.set(&opts); err != nil {
		return opts, err
	}
	if err = o.lines.set(&opts); err != nil {
		return opts, err
	}
	if opts.Nulls, err = parseNulls(o.nulls); err != nil {
		return opts, err
	}
	if job != nil {
		o.job.apply(job, &opts)
		if err = o.job.lines(job, &opts.Lines); err != nil {
			return opts, err
		}
	}
	if err := errors.Join(namedTwice("ids", opts.IDs), namedTwice("keep", opts.Keep)); err != nil {
		return opts, fmt.Errorf("%w: %w", engine.ErrUsage, err)
	}
	if err := o.query.set(&opts); err != nil {
		return opts, err
	}
	return opts, o.models.set(&opts)
}

// namedTwice is an error where a list of columns has one again: most likely another was
// meant.
func namedTwice(flag string, columns []string) error {
	for i, c := range columns {
		if slices.Contains(columns[:i], c) {
			return fmt.Errorf("--%s names column %q twice", flag, c)
		}
	}
	return nil
}

// autoProvider leaves the choice to engine.AutoProvider.
const autoProvider = "auto"

// chooseProvider fills in what --provider says.
func chooseProvider(text string, opts *engine.Options) (err error) {
	if text == autoProvider {
		opts.Provider, opts.ProviderReason = engine.AutoProvider(opts.Library)
	} else {
		opts.Provider, opts.Devices, err = parseProvider(text)
	}
	opts.Library.Provider = opts.Provider
	return err
}

// parseProvider reads PROVIDER[:DEVICE,...].
func parseProvider(text string) (provider ort.Provider, devices []int, err error) {
	if text == "" { // of commands without the flag
		return ort.CPU, nil, nil
	}
	name, list, named := strings.Cut(strings.ToLower(strings.TrimSpace(text)), ":")
	provider = ort.Provider(name)
	if provider != ort.CPU && provider != ort.CUDA && provider != ort.TensorRT {
		return "", nil, fmt.Errorf("%w: --provider (%s) must be cpu, auto, cuda or tensorrt, the last two with :DEVICE,... if need be%s",
			engine.ErrUsage, text, nearest.DidYouMean(name, []string{string(ort.CPU), string(ort.CUDA), string(ort.TensorRT), autoProvider}))
	}
	if !named {
		return provider, nil, nil
	}
	for field := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil || n < 0 {
			return "", nil, fmt.Errorf("%w: --provider (%s): device %q must be a number >= 0, such as cuda:0,1", engine.ErrUsage, text, field)
		}
		devices = append(devices, n)
	}
	return provider, devices, nil
}

// batchSize is the value of --batch-size; 0 is auto.
type batchSize int

// String writes the flag's value.
func (b *batchSize) String() string {
	if *b == 0 {
		return "auto"
	}
	return strconv.Itoa(int(*b))
}

// Set reads the flag's value.
func (b *batchSize) Set(text string) error {
	if text == "auto" {
		*b = 0
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return errors.New("must be a number of rows >= 1, or auto")
	}
	*b = batchSize(n)
	return nil
}

// Type names the value in help.
func (*batchSize) Type() string { return "ROWS" }

// defaultProfileDir is millrace/profiles in the user's configuration folder;
// none where there is no such folder, as under some schedulers.
func defaultProfileDir() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "none"
	}
	return filepath.Join(dir, "millrace", "profiles")
}

// defaultEngineCache is millrace/engines in the user's folder for what can be made
// again; none where there is no such folder.
func defaultEngineCache() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "none"
	}
	return filepath.Join(dir, "millrace", "engines")
}

func parseBind(entries []string) (map[string][]string, error) {
	bind := map[string][]string{}
	for _, entry := range entries {
		input, columns, ok := strings.Cut(entry, "=")
		names := joinColumns([]string{columns})
		if !ok || input == "" || len(names) == 0 {
			return nil, fmt.Errorf("%w: --bind (%s) must be INPUT=COLUMN[,COLUMN...]", engine.ErrUsage, entry)
		}
		if _, twice := bind[input]; twice {
			return nil, fmt.Errorf("%w: --bind names input %q twice", engine.ErrUsage, input)
		}
		bind[input] = names
	}
	return bind, nil
}

func parseNulls(entries []string) (batcher.NullPolicies, error) {
	p := batcher.NullPolicies{ByColumn: map[string]batcher.NullPolicy{}}
	for _, entry := range entries {
		column, policy, named := strings.Cut(entry, "=")
		if !named || column == "" {
			p.Default = batcher.ParseNullPolicy(entry)
			continue
		}
		if _, twice := p.ByColumn[column]; twice {
			return p, fmt.Errorf("%w: --nulls names column %q twice", engine.ErrUsage, column)
		}
		p.ByColumn[column] = batcher.ParseNullPolicy(policy)
	}
	return p, nil
}
