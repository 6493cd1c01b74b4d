package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/jobfile"
	"github.com/millrace/millrace/engine/unique"
)

// jobOptions are the flags that say which job file a run is made from.
type jobOptions struct {
	path string
	set  []string

	flags   *pflag.FlagSet // of the command: what is given there overrides the file
	ignored []string       // flags that the file does not set

	settings *settings // that the file made; nil before it is read
}

// addJobFlags adds the flags of a job file; those named do not take its values.
func (o *runOptions) addJobFlags(fs *pflag.FlagSet, ignored ...string) {
	o.job.flags, o.job.ignored = fs, ignored
	fs.StringVar(&o.job.path, "job", "", "YAML `FILE` that says what the flags do, and features; flags and variables override it, and paths in it are relative to its folder (docs/jobs.md)")
	fs.StringArrayVar(&o.job.set, "set", nil, "`NAME=VALUE` of one of the job file's parameters; repeatable")
}

// read reads the job file, and sets the flags that were not given from it. The job is
// nil where there is none.
func (o *jobOptions) read() (*jobfile.Job, error) {
	if o.path == "" {
		if len(o.set) > 0 {
			return nil, fmt.Errorf("%w: --set gives parameters of a job file; --job is missing", engine.ErrUsage)
		}
		return nil, nil
	}
	parameters, err := parseParameters(o.set)
	if err != nil {
		return nil, err
	}
	job, err := jobfile.Read(o.path, parameters)
	if err != nil {
		return nil, err
	}
	o.settings = settingsOf(job, func(flag string) bool { return o.given(flag) || slices.Contains(o.ignored, flag) })
	var problems []jobfile.Problem
	for _, s := range job.FlagSettings() {
		f := o.flags.Lookup(s.Flag)
		if f == nil || f.Changed || slices.Contains(o.ignored, s.Flag) {
			continue
		}
		if err := o.flags.Set(s.Flag, s.Text); err != nil {
			if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
				err = invalid.Unwrap()
			}
			problems = append(problems, jobfile.Problem{Path: s.Path, Err: err})
		}
	}
	return job, job.Problems(problems)
}

// given says whether a flag was given, on the command line or by its variable.
func (o *jobOptions) given(flag string) bool {
	f := o.flags.Lookup(flag)
	return f != nil && f.Changed
}

// apply takes over from the job what no flag said and flags cannot set.
func (o *jobOptions) apply(job *jobfile.Job, opts *engine.Options) {
	lists := []struct {
		flag string
		from []string
		to   *[]string
	}{
		{"input", job.Input, &opts.Inputs},
		{"ids", job.IDs, &opts.IDs},
		{"keep", job.Keep, &opts.Keep},
		{"features", job.Names, &opts.Features},
		{"model-outputs", job.ModelOutputs, &opts.ModelOutputs},
		{"partition-by", job.PartitionBy, &opts.PartitionBy},
	}
	for _, l := range lists {
		if !o.given(l.flag) {
			*l.to = l.from
		}
	}
	opts.FeatureSpecs, opts.Rules = job.Specs, job.Rules
	if !o.given("model") {
		opts.Model, opts.Models = job.Model, job.ModelOptions()
	}
	if !o.given("model-sha256") {
		opts.ModelSHA256 = job.ModelSHA256
	}
	if !o.given("agreement-limit") {
		opts.AgreementLimits = job.Limits.Agreement
	}
	if !o.given("finite") {
		opts.Finite = finitePolicy(job.Finite)
	}
	if !o.given("bind") {
		for input, names := range job.Bind {
			opts.Bind[input] = names
		}
	}
	if !o.given("nulls") {
		if job.Nulls.All != nil {
			opts.Nulls.Default = batcher.ParseNullPolicy(*job.Nulls.All)
		}
		for column, policy := range job.Nulls.Columns {
			opts.Nulls.ByColumn[column] = batcher.ParseNullPolicy(policy)
		}
	}
	o.unique(&job.Unique.Spec, &opts.Unique)
	opts.JobFile = job.Record
}

// unique takes over what the job says of duplicates and no flag does.
func (o *jobOptions) unique(from, to *unique.Spec) {
	if !o.given("unique") {
		to.Columns = from.Columns
	}
	if !o.given("on-duplicate") && from.On != "" {
		to.On = from.On
	}
	if !o.given("unique-mode") && from.Mode != "" {
		to.Mode = from.Mode
	}
}

// parseParameters reads the entries of --set.
func parseParameters(entries []string) (map[string]string, error) {
	parameters := map[string]string{}
	for _, entry := range entries {
		name, value, ok := strings.Cut(entry, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("%w: --set (%s) must be NAME=VALUE", engine.ErrUsage, entry)
		}
		if _, twice := parameters[name]; twice {
			return nil, fmt.Errorf("%w: --set gives parameter %q twice", engine.ErrUsage, name)
		}
		parameters[name] = value
	}
	return parameters, nil
}

// jobText says which files a plan is from, and with which parameters.
func jobText(b *strings.Builder, j *engine.JobFile) {
	if j.Path == "" {
		return
	}
	fmt.Fprintf(b, "job      %s (sha256 %.12s…)\n", j.Path, j.SHA256)
	for _, name := range slices.Sorted(maps.Keys(j.Parameters)) {
		fmt.Fprintf(b, "         with %s = %s\n", name, j.Parameters[name])
	}
	for _, f := range j.Fitted {
		fmt.Fprintf(b, "         features of %s (sha256 %.12s…)\n", f.Path, f.SHA256)
	}
}
