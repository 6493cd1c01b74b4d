package main

import (
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/jobfile"
)

// flagsOfAStart say nothing of a run that is worth writing down: they are of one start,
// or of the process.
var flagsOfAStart = []string{"job", "set", "restart", "head", "dry-run", isolatedFlag, "help"}

// flagsInside say what lies under a key whose own flag is another.
var flagsInside = []string{"on-duplicate", "unique-mode"}

// keysWithoutFlag are what only a job file can say, and what all commands have a flag for.
var keysWithoutFlag = []string{"parameters", "models", "rules", "endpoint"}

// jobKeys are the keys of job files by their flags, from the struct's tags.
func jobKeys(t reflect.Type) map[string]string {
	keys := map[string]string{}
	for field := range t.Fields() {
		key, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case key == "" || key == "-":
		case field.Type == reflect.TypeFor[jobfile.Limits]():
			maps.Copy(keys, jobKeys(field.Type))
		case field.Tag.Get("flag") != "" && field.Tag.Get("flag") != "-":
			keys[field.Tag.Get("flag")] = key
		default:
			keys[strings.ReplaceAll(key, "_", "-")] = key
		}
	}
	return keys
}

func scoreFlags(t *testing.T) *pflag.FlagSet {
	t.Helper()
	var flags *pflag.FlagSet
	root := newRoot(streams{Out: io.Discard, Err: io.Discard}, &commonOptions{})
	for _, c := range root.Commands() {
		if c.Name() == "score" {
			flags = c.LocalFlags()
		}
	}
	return flags
}

// What a flag of score says a job file can say, and the other way round.
func TestFlagsAreKeysOfJobFiles(t *testing.T) {
	keys := jobKeys(reflect.TypeFor[jobfile.Job]())
	flags := scoreFlags(t)
	flags.VisitAll(func(f *pflag.Flag) {
		if _, ok := keys[f.Name]; !ok && !slices.Contains(flagsOfAStart, f.Name) && !slices.Contains(flagsInside, f.Name) {
			t.Errorf("--%s has no key in jobfile.Job", f.Name)
		}
	})
	for flag, key := range keys {
		if flags.Lookup(flag) == nil && !slices.Contains(keysWithoutFlag, key) {
			t.Errorf("key %s: score has no flag --%s", key, flag)
		}
	}
}

// optionsOf are the engine's options by a command line.
func optionsOf(t *testing.T, args ...string) (engine.Options, error) {
	t.Helper()
	o := &runOptions{}
	cmd := &cobra.Command{}
	o.AddFlags(cmd.Flags())
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	return o.options(&commonOptions{})
}

// A job file gives the options that flags give.
func TestJobSaysWhatFlagsSay(t *testing.T) {
	dir := t.TempDir()
	job := filepath.Join(dir, "job.yaml")
	for _, tc := range []struct{ name, text, flags string }{
		{"nothing", "", ""},
		{"what and where", "model: /m\nmodel_sha256: " + strings.Repeat("0a", 32) + "\ninput: [/a, /b]\noutput: /o\nif_exists: append", "--model /m --model-sha256 " + strings.Repeat("0a", 32) + " --input /a --input /b --output /o --if-exists append"},
		{"columns", "ids: [a, b]\nkeep: c\nfeatures: [d, e]\nbind: {x: [d, e], y: f}\nmodel_outputs: y\nfinite: [d]", "--ids a,b --keep c --features d,e --bind x=d,e --bind y=f --model-outputs y --finite d"},
		{"nulls and casts", "nulls: {a: 0.50, b: reject, '*': nan}\nallow_lossy_casts: true\nfinite: all", "--nulls nan --nulls a=0.50 --nulls b=reject --allow-lossy-casts --finite all"},
		{"one null policy", "nulls: nan", "--nulls nan"},
		{"what is written", "output_prefix: p_\noutput_layout: list\noutput_format: arrow\ncompression: lz4\npart_rows: 7\npartition_by: [a]\ntarget_file_size: 256MiB", "--output-prefix p_ --output-layout list --output-format arrow --compression lz4 --part-rows 7 --partition-by a --target-file-size 256MiB"},
		{"text that is written", "output: /o.csv\noutput_delimiter: ;\nspreadsheet_safe: true", "--output /o.csv --output-delimiter ; --spreadsheet-safe"},
		{"which files", "output: /o\nonly_new: true\non_changed: skip\nsince: 2026-11-22T06:00", "--output /o --only-new --on-changed skip --since 2026-11-22T06:00"},
		{"a model whose path has an equals sign", "model: /a=b", "--model /a=b"},
		{
			"several models", "models: [{name: a, model: /a}, {name: b, model: /b, model_sha256: " + strings.Repeat("0a", 32) + "}]\nlimits: {agreement: {max_psi: 0.1, min_rank_correlation: 0.5}}",
			"--model a=/a --model b=/b --model-sha256 b=" + strings.Repeat("0a", 32) + " --agreement-limit max_psi=0.1 --agreement-limit min_rank_correlation=0.5",
		},
		{"what is read", "partitions: {date: date}\nwhere: a>1", "--partitions date=date --where a>1"},
		{"how text is read", "input_format: csv\ntypes: {a: int64, b: 'decimal(10, 2)'}\nnull_values: [NA, '-']\ndelimiter: ;\nheader: none\nnested: dots", "--input-format csv --types a=int64 --types b=decimal(10,2) --null-values NA,- --delimiter ; --header none --nested dots"},
		{"duplicates", "unique: [a, b]", "--unique a,b"},
		{"what becomes of duplicates", "unique: {columns: [a], on: reject, mode: exact}", "--unique a --on-duplicate reject --unique-mode exact"},
		{"bad rows", "on_bad_row: 'null'\nrefuse_nan_output: true\nlimits: {max_bad_rows: 0.1%}", "--on-bad-row null --refuse-nan-output --max-bad-rows 0.1%"},
		{"a number of bad rows", "limits: {max_bad_rows: 0}", "--max-bad-rows 0"},
		{"memory", "limits: {memory: 2GiB, device_memory: 1000000}", "--memory-limit 2GiB --device-memory 1000000"},
		{"no limit of memory", "limits: {memory: none}", "--memory-limit none"},
		{"a device", "provider: cuda:1,0\nstreams: 3\nallow_cpu_nodes: true\ntf32: true\nengine_cache: /e", "--provider cuda:1,0 --streams 3 --allow-cpu-nodes --tf32 --engine-cache /e"},
		{"how it runs", "kernels: onnxruntime\nbatch_size: 512\nworkers: 2\nreaders: 1\nintra_op_threads: 3\ngrace: 5s\nprofile_dir: none\ndigest: xxh3", "--kernels onnxruntime --batch-size 512 --workers 2 --readers 1 --intra-op-threads 3 --grace 5s --profile-dir none --digest xxh3"},
	} {
		if err := os.WriteFile(job, []byte(tc.text), 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := optionsOf(t, "--job", job)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		want, err := optionsOf(t, strings.Fields(tc.flags)...)
		if err != nil {
			t.Fatal(err)
		}
		ignore := cmp.Options{cmpopts.IgnoreFields(engine.Options{}, "JobFile", "ScoreApart", "Stores", "Places"), cmpopts.EquateEmpty()}
		if diff := cmp.Diff(want, got, ignore); diff != "" {
			t.Errorf("%s: options of the job file differ from those of %s (-flags +job):\n%s", tc.name, tc.flags, diff)
		}
		got.EnsureDefaults()
		if tc.name != "nothing" && len(got.Inputs) > 0 && got.Validate() != nil {
			t.Errorf("%s: %v", tc.name, got.Validate())
		}
		// What is given beside the file wins, whatever the file says.
		flags := strings.Fields("--model /n --agreement-limit max_psi=0.5 --input /c --ids z --keep z --features z --bind z=z --nulls z=1 --finite z --batch-size 3 --max-bad-rows 5 --output-prefix z")
		both, err := optionsOf(t, append([]string{"--job", job}, flags...)...)
		if err != nil {
			t.Fatal(err)
		}
		alone, err := optionsOf(t, flags...)
		if err != nil {
			t.Fatal(err)
		}
		overridden := func(o engine.Options) engine.Options {
			return engine.Options{
				Model: o.Model, Models: o.Models, AgreementLimits: o.AgreementLimits, Inputs: o.Inputs, IDs: o.IDs, Keep: o.Keep, Features: o.Features, Bind: o.Bind, Nulls: o.Nulls, Finite: o.Finite,
				BatchRows: o.BatchRows, MaxRejects: o.MaxRejects, MaxRejectPercent: o.MaxRejectPercent, OutputPrefix: o.OutputPrefix,
			}
		}
		if diff := cmp.Diff(overridden(alone), overridden(both), cmpopts.IgnoreFields(engine.Options{}, "Places")); diff != "" {
			t.Errorf("%s: flags beside the job file did not win (-flags +both):\n%s", tc.name, diff)
		}
	}
}

// A value that the file's own checks take and the flag does not is told with its place.
func TestJobProblemOfAFlag(t *testing.T) {
	job := filepath.Join(t.TempDir(), "job.yaml")
	if err := os.WriteFile(job, []byte("workers: 1\nlimits:\n  max_bad_rows: 101%\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := optionsOf(t, "--job", job)
	if err == nil || !strings.Contains(err.Error(), "job.yaml:3:17: limits.max_bad_rows: must be a number of rows >= 0, or a share from 0% to 100%") {
		t.Errorf("options of 101%% = %v; want the place", err)
	}
}
