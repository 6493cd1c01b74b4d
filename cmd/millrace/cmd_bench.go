package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/millrace/millrace/bench"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/io/format"
)

type benchOptions struct {
	runOptions
	bench.Options

	rows       int64
	nullShare  float64
	madeFormat string
	seed       uint64

	results     string
	from        []string
	report      string
	benchfmt    string
	compare     []string
	saveProfile bool
	providers   []string
}

func newBench(s streams, common *commonOptions) *cobra.Command {
	opts := &benchOptions{}
	cmd := &cobra.Command{
		Use:   "bench --model M.onnx --input DATA [flags]",
		Short: "Measure what a model costs on this machine: each stage alone, batch sizes and workers, and the whole run.",
		Long: `Measure what a model costs on this machine: each stage alone, batch sizes and workers, and the whole run.

Every repeat goes to --results as one line of JSON at once (docs/records.md says
what is in it), so that a measurement that is interrupted keeps what it has. The
table, --report, --benchfmt and --compare are made from such records, of this
measurement or, with --from, of earlier ones: of another commit, or of another
machine.`,
		Example: `  millrace bench --model models/reference/flights_gbdt.onnx --input testdata/flights-sample.parquet --nulls nan --report gbdt.html
  millrace bench --model models/reference/flights_mlp.onnx --rows 500000 --save-profile
  millrace bench --from here.jsonl --from there.jsonl --report machines.html
  millrace bench --from monday.jsonl --compare friday.jsonl`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runBench(cmd.Context(), opts, common, s)
		},
	}
	opts.AddFlags(cmd.Flags())
	return cmd
}

// AddFlags hides the flags of runOptions: bench has no output of its own, and
// sweeps what score is told.
func (o *benchOptions) AddFlags(fs *pflag.FlagSet) {
	fs.SortFlags = false
	o.addJobFlags(fs, "batch-size", "workers", "intra-op-threads", "report") // which are swept, or another page
	fs.StringVarP(&o.Model, "model", "m", "", "the model: path or URI of an .onnx `FILE`")
	fs.StringArrayVarP(&o.Inputs, "input", "i", nil, "input `FILE`, directory or quoted glob of Parquet or Arrow files, as for score; repeatable")
	fs.Int64Var(&o.rows, "rows", 0, "without --input: how many `ROWS` of data to make, shaped like the model's signature")
	fs.Float64Var(&o.nullShare, "null-share", 0.05, "`SHARE` of nulls in made columns of floats")
	fs.StringVar(&o.madeFormat, "made-format", "parquet", "`FORMAT` of made data: parquet (zstd) or arrow")
	fs.Uint64Var(&o.seed, "seed", 1, "`NUMBER` that made data are drawn from")
	o.addFitFlags(fs)
	o.addEngineFlag(fs)
	o.addWriteFlags(fs)
	fs.StringSliceVar(&o.providers, "providers", []string{"cpu"}, "comma separated execution `PROVIDERS` to try: cpu, cuda, tensorrt; one that is not available is recorded as such, and the others are measured")
	fs.Lookup("providers").DefValue = "cpu"
	fs.IntSliceVar(&o.BatchRows, "batch-sizes", nil, "comma separated `ROWS` of one Run to try (default 256,1024,4096,16384,65536)")
	fs.IntSliceVar(&o.Workers, "workers", nil, "comma separated `COUNTS` of concurrent Runs to try (default 1, 2, 4 ... up to the cores that the cgroup grants)")
	fs.IntSliceVar(&o.IntraOpThreads, "intra-op-threads", nil, "comma separated `COUNTS` of threads within one Run to try (default 1)")
	fs.IntVar(&o.Repeats, "repeats", 10, "`COUNT` of measurements of everything, warm-ups not counted")
	fs.DurationVar(&o.Target, "time", 250*time.Millisecond, "`DURATION` of one measurement of a stage alone")
	fs.BoolVar(&o.SweepOnly, "sweep-only", false, "measure Runs on tensors in memory only")
	fs.BoolVar(&o.AutoOnly, "auto-only", false, "measure whole runs with the batch size that --batch-size auto chooses only, not with each fixed one")
	fs.StringVar(&o.Dir, "dir", "", "`FOLDER` for made data and outputs, which are removed again (default: the system's for temporary files)")
	fs.StringVar(&o.results, "results", "results.jsonl", "`FILE` that raw records are added to")
	fs.StringArrayVar(&o.from, "from", nil, "measure nothing: take the records of this `FILE`; repeatable, to lay machines or commits side by side")
	fs.StringVar(&o.report, "report", "", "write a page with pictures to this .html `FILE`; it needs nothing else to be looked at")
	fs.StringVar(&o.benchfmt, "benchfmt", "", "write the repeats in Go's benchmark format, for benchstat, to this `FILE`")
	fs.StringArrayVar(&o.compare, "compare", nil, "compare with the records of this older `FILE`; exit 3 when something is slower beyond noise")
	fs.BoolVar(&o.saveProfile, "save-profile", false, "keep the best settings for score on this machine, in --profile-dir")
	fs.StringVar(&o.profileDir, "profile-dir", defaultProfileDir(), "`FOLDER` of tuned profiles")
	fs.StringVar(&o.Name, "name", "", "what to call this machine in reports: any `TEXT`")
	fs.Float64Var(&o.PricePerHour, "price-per-hour", 0, "what this machine costs an hour, an `AMOUNT` in any one currency; gives rows per unit of money")
	wordDefaults(fs)
}

func runBench(ctx context.Context, o *benchOptions, common *commonOptions, s streams) error {
	var all []*bench.Bench
	if len(o.from) > 0 {
		if o.Model != "" || len(o.Inputs) > 0 || o.rows > 0 || o.saveProfile || o.PricePerHour != 0 || o.Name != "" {
			return fmt.Errorf("%w: --from takes records that are there; --model, --input, --rows, --save-profile, --price-per-hour and --name are for measuring", engine.ErrUsage)
		}
		var err error
		if all, err = readRecordFiles(o.from); err != nil {
			return err
		}
	}
	if err := o.check(); err != nil {
		return err
	}
	old, err := readRecordFiles(o.compare)
	if err != nil {
		return err
	}
	if len(o.from) == 0 {
		measured, err := o.measure(ctx, common, s)
		if err != nil {
			return err
		}
		all = []*bench.Bench{measured}
	}
	return o.show(all, old, common, s)
}

// check finds, before minutes are spent on measuring, what could not be written
// after them.
func (o *benchOptions) check() error {
	switch {
	case o.Repeats < 1:
		return fmt.Errorf("%w: --repeats (%d) must be >= 1", engine.ErrUsage, o.Repeats)
	case o.Target <= 0:
		return fmt.Errorf("%w: --time (%s) must be > 0", engine.ErrUsage, o.Target)
	case o.saveProfile && o.profileDir == "none":
		return fmt.Errorf("%w: --save-profile has no folder to save to: give --profile-dir", engine.ErrUsage)
	case o.saveProfile && o.SweepOnly:
		return fmt.Errorf("%w: --save-profile keeps what is best end to end, which --sweep-only does not measure", engine.ErrUsage)
	case o.saveProfile && o.AutoOnly:
		return fmt.Errorf("%w: --save-profile keeps the best of fixed settings end to end, which --auto-only does not measure", engine.ErrUsage)
	}
	for flag, path := range map[string]string{"report": o.report, "benchfmt": o.benchfmt} {
		if path == "" {
			continue
		}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			return fmt.Errorf("%w: --%s: %s is a folder", ledger.ErrOutput, flag, path)
		}
		if err := ledger.Replaceable(path); err != nil {
			return fmt.Errorf("--%s: %w", flag, err)
		}
		if err := canMake(filepath.Dir(path)); err != nil {
			return fmt.Errorf("%w: --%s: %w", ledger.ErrOutput, flag, err)
		}
	}
	if err := o.checkApart(); err != nil {
		return err
	}
	if !o.saveProfile {
		return nil
	}
	err := os.MkdirAll(o.profileDir, 0o755)
	if err == nil {
		err = canMake(o.profileDir)
	}
	if err != nil {
		return fmt.Errorf("%w: --profile-dir: %w", ledger.ErrOutput, err)
	}
	return nil
}

// checkApart refuses to write a page or benchfmt over what another flag names: what is
// read would be gone, and of two that are written one.
func (o *benchOptions) checkApart() error {
	type named struct{ flag, path string }
	others := []named{{"results", o.results}, {"model", o.Model}, {"job", o.job.path}}
	for flag, paths := range map[string][]string{"from": o.from, "compare": o.compare, "input": o.Inputs} {
		for _, path := range paths {
			files, _ := filepath.Glob(path) // a URI, or nothing: it is found out later
			for _, file := range files {
				others = append(others, named{flag, file})
			}
		}
	}
	for _, w := range []named{{"report", o.report}, {"benchfmt", o.benchfmt}} {
		for _, other := range others {
			if w.path != "" && sameFile(w.path, other.path) {
				return fmt.Errorf("%w: --%s %s is the file of --%s; name another file", engine.ErrUsage, w.flag, w.path, other.flag)
			}
		}
		others = append(others, w)
	}
	return nil
}

// sameFile says whether two paths are, or would be, the same file's.
func sameFile(a, b string) bool {
	one, err := os.Stat(a)
	if err != nil {
		return filepath.Clean(a) == filepath.Clean(b)
	}
	two, err := os.Stat(b)
	return err == nil && os.SameFile(one, two)
}

// canMake reports whether files can be made in a folder.
func canMake(dir string) error {
	probe, err := os.CreateTemp(dir, ".millrace-probe-")
	if err != nil {
		if path, ok := errors.AsType[*os.PathError](err); ok { // without the probe's name
			err = path.Err
		}
		return fmt.Errorf("folder %s: %w", dir, err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// readRecordFiles reads files of records.
func readRecordFiles(paths []string) ([]*bench.Bench, error) {
	var all []*bench.Bench
	for _, path := range paths {
		file, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("%w: records: %w", engine.ErrUsage, err)
		}
		benches, err := bench.ReadRecords(file)
		err = errors.Join(err, file.Close())
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", engine.ErrUsage, path, err)
		}
		all = append(all, benches...)
	}
	return all, nil
}

// measure runs the bench and reads back the records that it wrote.
func (o *benchOptions) measure(ctx context.Context, common *commonOptions, s streams) (_ *bench.Bench, err error) {
	opts := o.Options
	if opts.Engine, err = o.options(common); err != nil {
		return nil, err
	}
	if len(opts.Engine.Models) > 0 {
		return nil, fmt.Errorf("%w: bench measures one model, and the job file has several: give one by --model FILE", engine.ErrUsage)
	}
	opts.Engine.ProfileDir = ""
	switch inputs := len(opts.Engine.Inputs) > 0; {
	case o.rows < 0:
		return nil, fmt.Errorf("%w: --rows (%d) must be >= 1", engine.ErrUsage, o.rows)
	case o.rows > 0 && inputs:
		return nil, fmt.Errorf("%w: --rows (%d) is how many rows to make, and --input says which to read, all of them: leave one of the two out", engine.ErrUsage, o.rows)
	case o.rows > 0:
		opts.Made = &bench.Made{Rows: o.rows, NullShare: o.nullShare, Seed: o.seed}
		switch o.madeFormat {
		case "parquet":
			opts.Made.Format = format.Parquet
		case "arrow":
			opts.Made.Format = format.ArrowFile
		default:
			return nil, fmt.Errorf("%w: --made-format (%s) must be parquet or arrow", engine.ErrUsage, o.madeFormat)
		}
	case !inputs:
		return nil, fmt.Errorf("%w: no data: give --input, or --rows to have data made", engine.ErrUsage)
	}
	for _, p := range o.providers {
		opts.Providers = append(opts.Providers, ort.Provider(strings.ToLower(strings.TrimSpace(p))))
	}
	for _, p := range opts.Providers {
		if p != ort.CPU { // whose library runs on the CPU as well
			opts.Engine.Library.Provider = p
		}
	}
	built := buildReport()
	opts.Engine.Build.Commit, opts.Dirty = built.Commit, built.Dirty
	opts.Command = append([]string{filepath.Base(os.Args[0])}, os.Args[1:]...)
	lib, err := ort.Load(opts.Engine.Library)
	if err != nil {
		return nil, err
	}
	file, err := openResults(o.results, common.logger(s))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.close()) }()
	id := bench.NewID()
	finish := showBenchProgress(s, common, &opts)
	err = bench.Run(ctx, opts, lib, id, file)
	finish(err == nil)
	if err != nil {
		if errors.Is(err, engine.ErrInterrupted) {
			err = fmt.Errorf("%w: %s", err, file.kept())
		}
		return nil, err
	}
	measured, err := file.read(id)
	if err != nil {
		return nil, err
	}
	if o.saveProfile {
		path, err := bench.SaveProfile(measured, o.profileDir)
		if err != nil {
			return nil, err
		}
		log := common.logger(s)
		log.Info("profile saved", "file", path)
		best, _, _ := bench.Best(measured)
		few := measured.Head.Data.Rows < int64(leastBatches*best.BatchRows*best.Workers)
		if few || bench.Summarize(measured).Brief != nil {
			log.Warn("the profile is of few rows, and may not suit runs of many; measure with more",
				"rows", measured.Head.Data.Rows, "batch_rows", best.BatchRows, "workers", best.Workers)
		}
	}
	return measured, nil
}

// leastBatches is how many batches a worker should have had, for a profile to
// say something.
const leastBatches = 8

// errRegression says that something is slower than before, beyond noise.
var errRegression = errors.New("slower than before")

// show writes what was asked for: files first, then the table or the summaries
// on stdout, then the comparison.
func (o *benchOptions) show(all, old []*bench.Bench, common *commonOptions, s streams) error {
	var comparison *bench.Comparison
	if len(o.compare) > 0 {
		var err error
		if comparison, err = bench.Compare(old, all); err != nil {
			return err
		}
	}
	for _, file := range []struct {
		path  string
		write func(w io.Writer) error
	}{
		{o.report, func(w io.Writer) error { return bench.WriteReport(w, all, comparison) }},
		{o.benchfmt, func(w io.Writer) error { return bench.WriteBenchfmt(w, all) }},
	} {
		if file.path == "" {
			continue
		}
		if err := writeWhole(file.path, file.write); err != nil {
			return err
		}
	}
	if err := common.print(s, &benchReport{benches: all, Comparison: comparison}); err != nil {
		return err
	}
	switch {
	case comparison == nil:
		return nil
	case comparison.Regressed():
		return errRegression
	case comparison.Verdict == bench.Unjudged:
		common.logger(s).Warn("the comparison has no verdict; see above")
	}
	return nil
}

// writeWhole writes a file that is there as a whole or not at all.
func writeWhole(path string, write func(io.Writer) error) error {
	if err := ledger.Replaceable(path); err != nil {
		return err
	}
	file, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o644), renameio.WithExistingPermissions())
	if err != nil {
		return fmt.Errorf("%w: %w", ledger.ErrOutput, err)
	}
	defer func() { _ = file.Cleanup() }() // nothing, once replaced
	if err := write(file); err != nil {
		return fmt.Errorf("%w: %s: %w", ledger.ErrOutput, path, err)
	}
	if err := file.CloseAtomicallyReplace(); err != nil {
		return fmt.Errorf("%w: %w", ledger.ErrOutput, err)
	}
	return nil
}

// benchReport is the answer of bench.
type benchReport struct {
	benches    []*bench.Bench
	Summaries  []*bench.Summary  `json:"measurements"`
	Comparison *bench.Comparison `json:"comparison,omitempty"`
}

// MarshalJSON derives the summaries, which only JSON shows.
func (r *benchReport) MarshalJSON() ([]byte, error) {
	type plain benchReport
	out := plain(*r)
	for _, b := range r.benches {
		out.Summaries = append(out.Summaries, bench.Summarize(b))
	}
	return json.Marshal(&out)
}

// Text writes tables, and what changed.
func (r *benchReport) Text(w io.Writer) error {
	if err := bench.WriteTable(w, r.benches); err != nil {
		return err
	}
	if r.Comparison == nil {
		return nil
	}
	if _, err := io.WriteString(w, "\n"); err != nil {
		return err
	}
	return r.Comparison.Text(w)
}
