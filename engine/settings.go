package engine

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/batcher/feature"
	"github.com/millrace/millrace/batcher/filter"
	"github.com/millrace/millrace/engine/agreement"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/engine/unique"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/lines"
)

// settings are a run's settings after defaults, as its manifest has them: what
// was asked for, what was chosen, and what came of it. From them a replay makes
// the same run again, so each option that decides a byte of the output must be
// here; the test of the round trip fails for one that is not.
type settings struct {
	Input         []string            `json:"input"` // as asked for; the manifest lists the files
	OnlyNew       bool                `json:"only_new"`
	OnChanged     OnChanged           `json:"on_changed"`
	Since         string              `json:"since"`      // empty: any time
	Partitions    string              `json:"partitions"` // as found
	InputFormat   string              `json:"input_format"`
	Lines         lines.Options       `json:"lines"` // with the types that were found
	Output        string              `json:"output"`
	OutputFormat  format.Name         `json:"output_format"`
	Compression   string              `json:"compression"`
	Delimiter     string              `json:"output_delimiter"`
	Spreadsheet   bool                `json:"spreadsheet_safe"`
	IDs           []string            `json:"ids"`
	Keep          []string            `json:"keep"`
	Where         string              `json:"where"`
	Rules         []filter.Rule       `json:"rules"`
	FeatureSpecs  []feature.Feature   `json:"feature_specs"`
	Features      []string            `json:"features"`
	Bind          map[string][]string `json:"bind"`
	Nulls         string              `json:"nulls"`
	NullsByColumn map[string]string   `json:"nulls_by_column"`
	LossyCasts    bool                `json:"allow_lossy_casts"`
	ModelOutputs  []string            `json:"model_outputs"`
	OutputPrefix  string              `json:"output_prefix"`
	OutputLayout  Layout              `json:"output_layout"`
	// Models are those of a run of several, without path and digest, which the manifest
	// has.
	Models          []ModelOptions  `json:"models"`
	AgreementLimits AgreementLimits `json:"agreement_limits"`
	// Agreement is how far those models agreed.
	Agreement []agreement.Summary `json:"agreement"`

	PartitionBy     []string `json:"partition_by"`
	TargetFileBytes int64    `json:"target_file_bytes"`

	Provider       ort.Provider `json:"provider"`
	ProviderReason string       `json:"provider_reason"`
	Devices        []int        `json:"devices"`
	Streams        int          `json:"streams"`
	TF32           bool         `json:"tf32"`
	DeviceMemory   int64        `json:"device_memory"`
	AllowCPUNodes  bool         `json:"allow_cpu_nodes"`
	EngineCache    string       `json:"engine_cache"`

	Kernels           Kernels              `json:"kernels"`
	ModelRewrites     []string             `json:"model_rewrites"`
	RewriteCheck      *RewriteCheck        `json:"rewrite_check"`
	BatchSize         int                  `json:"batch_size"`
	Choice            *Choice              `json:"choice"`
	Workers           int                  `json:"workers"`
	Readers           int                  `json:"readers"`
	PartRows          int64                `json:"part_rows"`
	IntraOpThreads    int                  `json:"intra_op_threads"`
	MemoryLimit       int64                `json:"memory_limit"` // 0: none
	MemoryLimitFrom   LimitSource          `json:"memory_limit_from"`
	MemoryLowered     []Lowered            `json:"memory_lowered"`
	IfExists          ledger.IfExists      `json:"if_exists"`
	MaxBadRows        int64                `json:"max_bad_rows"`
	MaxBadRowsPercent float64              `json:"max_bad_rows_percent"`
	OnBadRow          OnBadRow             `json:"on_bad_row"`
	Finite            batcher.FinitePolicy `json:"finite"`
	RefuseNaN         bool                 `json:"refuse_nan_output"`
	Digest            *DigestChoice        `json:"digest"`
	Unique            unique.Spec          `json:"unique"`
	Duplicates        *DuplicatesFound     `json:"duplicates"`
	JobFile           JobFile              `json:"job_file"`
}

// Settings are the run's settings after defaults, for the manifest.
func (p *Plan) Settings() map[string]any {
	o := &p.Options
	nulls := map[string]string{}
	for column, policy := range o.Nulls.ByColumn {
		nulls[column] = policy.String()
	}
	s := settings{
		Input: dataset.RedactAll(o.Inputs), OnlyNew: o.OnlyNew, OnChanged: o.OnChanged, Since: o.sinceText(),
		Partitions: p.partitions(), InputFormat: o.InputFormat, Lines: p.withTypes(), Output: sink.Shown(o.Output), OutputFormat: o.Format, Compression: o.Compression, Delimiter: o.Delimiter, Spreadsheet: o.SpreadsheetSafe,
		IDs: o.IDs, Keep: o.Keep, Where: o.Where, Rules: append([]filter.Rule{}, o.Rules...), FeatureSpecs: append([]feature.Feature{}, o.FeatureSpecs...), Features: o.Features, Bind: o.Bind,
		Nulls: o.Nulls.Default.String(), NullsByColumn: nulls, LossyCasts: o.Lossy == batcher.AllowLossy,
		ModelOutputs: o.ModelOutputs, OutputPrefix: o.OutputPrefix, OutputLayout: o.Layout,
		Models: o.unplaced(), AgreementLimits: o.AgreementLimits, Agreement: p.agreement,
		PartitionBy: o.PartitionBy, TargetFileBytes: o.TargetFileBytes,
		Provider: o.Provider, ProviderReason: o.ProviderReason, Devices: append([]int{}, o.Devices...), Streams: o.Streams,
		TF32: o.TF32, DeviceMemory: o.DeviceMemory, AllowCPUNodes: o.AllowCPUNodes, EngineCache: o.EngineCache,
		Kernels: o.Kernels, ModelRewrites: p.Rewrites(), RewriteCheck: p.rewriteCheck,
		BatchSize: o.BatchRows, Choice: p.choice, Workers: o.Workers, Readers: o.Readers, PartRows: o.PartRows, IntraOpThreads: o.IntraOpThreads,
		MemoryLimit: p.limit, MemoryLimitFrom: p.limitSource, MemoryLowered: append([]Lowered{}, p.lowered...),
		IfExists: o.IfExists, MaxBadRows: o.MaxRejects, MaxBadRowsPercent: o.MaxRejectPercent, OnBadRow: o.OnBadRow, Finite: o.Finite, RefuseNaN: o.RefuseNaN, Digest: p.digested, JobFile: o.JobFile,
		Unique: o.Unique, Duplicates: p.duplicates,
	}
	byName := map[string]any{}
	v := reflect.ValueOf(s)
	for i := range v.NumField() {
		byName[v.Type().Field(i).Tag.Get("json")] = v.Field(i).Interface()
	}
	return byName
}

// OptionsOf gives the options of the run that a manifest is of: those that make
// the same predictions of the same input. Library, Build and ProfileDir are the
// caller's. Its error wraps ledger.ErrManifest.
func OptionsOf(m *ledger.Manifest) (Options, error) {
	data, err := json.Marshal(m.Settings)
	if err != nil {
		return Options{}, fmt.Errorf("%w: settings: %w", ledger.ErrManifest, err)
	}
	var s settings
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields() // a setting that is not known may decide anything
	if err := dec.Decode(&s); err != nil {
		return Options{}, fmt.Errorf("%w: settings of run %s, which millrace %s made: %w", ledger.ErrManifest, m.Run, m.Versions.Millrace, err)
	}
	o := Options{
		Inputs: s.Input, OnlyNew: s.OnlyNew, OnChanged: s.OnChanged,
		Partitions: cmp.Or(s.Partitions, "none"), InputFormat: s.InputFormat, Lines: s.Lines, Output: s.Output, Format: s.OutputFormat, Compression: s.Compression, Delimiter: s.Delimiter, SpreadsheetSafe: s.Spreadsheet,
		IDs: s.IDs, Keep: s.Keep, Where: s.Where, Rules: s.Rules, FeatureSpecs: s.FeatureSpecs, Features: s.Features, Bind: s.Bind,
		ModelOutputs: s.ModelOutputs, OutputPrefix: s.OutputPrefix, Layout: s.OutputLayout, AgreementLimits: s.AgreementLimits,
		PartitionBy: s.PartitionBy, TargetFileBytes: s.TargetFileBytes,
		Provider: s.Provider, ProviderReason: s.ProviderReason, Devices: s.Devices, Streams: s.Streams,
		TF32: s.TF32, DeviceMemory: s.DeviceMemory, AllowCPUNodes: s.AllowCPUNodes, EngineCache: s.EngineCache,
		Kernels: s.Kernels, BatchRows: s.BatchSize, Workers: s.Workers, Readers: s.Readers, PartRows: s.PartRows, IntraOpThreads: s.IntraOpThreads,
		MemoryLimit: s.MemoryLimit, IfExists: s.IfExists, MaxRejects: s.MaxBadRows, MaxRejectPercent: s.MaxBadRowsPercent, OnBadRow: s.OnBadRow, Finite: s.Finite, RefuseNaN: s.RefuseNaN, JobFile: s.JobFile,
		Unique: s.Unique,
	}
	if o.Model, o.ModelSHA256 = m.Model.Path, m.Model.SHA256; len(s.Models) > 0 {
		o.Model, o.ModelSHA256 = "", ""
		if o.Models, err = placedModels(s.Models, m.Models); err != nil {
			return Options{}, fmt.Errorf("%w: settings of run %s: %w", ledger.ErrManifest, m.Run, err)
		}
	}
	if s.Since != "" {
		if o.Since, err = time.Parse(time.RFC3339Nano, s.Since); err != nil {
			return Options{}, fmt.Errorf("%w: settings of run %s: since: %w", ledger.ErrManifest, m.Run, err)
		}
	}
	if s.Digest != nil {
		o.Digest = s.Digest.Asked
	}
	if s.MemoryLimit == 0 {
		o.MemoryLimit = NoMemoryLimit
	}
	if s.LossyCasts {
		o.Lossy = batcher.AllowLossy
	}
	o.Nulls.Default = batcher.ParseNullPolicy(s.Nulls)
	o.Nulls.ByColumn = map[string]batcher.NullPolicy{}
	for column, policy := range s.NullsByColumn {
		o.Nulls.ByColumn[column] = batcher.ParseNullPolicy(policy)
	}
	return o, nil
}

// recordedSetting reads one of the settings that a manifest has; it is the zero value where
// that has none of the name.
func recordedSetting[T any](m *ledger.Manifest, name string) (T, error) {
	var value, none T
	text, err := json.Marshal(m.Settings[name])
	if err == nil {
		err = json.Unmarshal(text, &value)
	}
	if err != nil {
		return none, fmt.Errorf("%w: %s of run %s: %w", ledger.ErrManifest, name, m.Run, err)
	}
	return value, nil
}
