package engine

import (
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine/agreement"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/engine/unique"
	"github.com/millrace/millrace/models"
)

// Explanation is a plan in words and numbers, for people and for JSON.
type Explanation struct {
	Model    string              `json:"model"` // of several the first
	SHA256   string              `json:"model_sha256"`
	Rewrites []string            `json:"model_rewrites"`
	Models   []ledger.NamedModel `json:"models,omitempty"` // of a run of several

	Files []ExplainedFile `json:"files"`
	// Differences are where files differ from the first, in columns that the run does
	// not need.
	Differences []string `json:"differences"`
	// Filter is nil without one.
	Filter *ExplainedFilter `json:"filter,omitempty"`
	Rules  []string         `json:"rules"`

	Rows  int64 `json:"rows"`
	Spans int   `json:"spans"`
	Bytes int64 `json:"bytes"` // stored, of all columns
	// Partitions are the columns made of folders in the files' paths.
	Partitions []ExplainedPartition `json:"partitions"`
	// Lines is how files of lines are read; nil where there are none.
	Lines *ExplainedLines `json:"lines,omitempty"`

	Inputs  []ExplainedInput  `json:"inputs"`
	Outputs []ExplainedColumn `json:"outputs"` // ids and kept columns first

	// Compared are the predictions of other models that are compared with those of the
	// first, and NotCompared those that nothing is compared with, as far as the models'
	// signatures tell.
	Compared    []agreement.Pair `json:"compared,omitempty"`
	NotCompared []string         `json:"not_compared,omitempty"`

	Parts     int    `json:"parts"`
	PartRows  int64  `json:"part_rows"`
	Batches   int64  `json:"batches"`
	BatchRows int    `json:"batch_rows"`
	BatchAuto bool   `json:"batch_rows_auto"` // a tuned profile or a trial may choose another size when the run starts
	Workers   int    `json:"workers"`
	Readers   int    `json:"readers"`
	Output    string `json:"output,omitempty"`
	Format    string `json:"output_format"`

	PartitionBy     []string `json:"partition_by"`
	TargetFileBytes int64    `json:"target_file_bytes"` // 0: none

	Provider       ort.Provider      `json:"provider"`
	ProviderReason string            `json:"provider_reason,omitempty"` // where --provider auto chose it
	Devices        *ExplainedDevices `json:"devices,omitempty"`         // nil on the CPU

	// Unique is how duplicates will be looked for; nil where nobody asks.
	Unique *ExplainedUnique `json:"unique,omitempty"`

	Memory ExplainedMemory `json:"memory"`
}

// ExplainedUnique is the pass that finds duplicates before the first row is scored.
type ExplainedUnique struct {
	Columns []string  `json:"columns"`
	On      unique.On `json:"on"`           // what becomes of them; never auto
	Exact   bool      `json:"exact"`        // no two keys can be mistaken for each other
	Bytes   int64     `json:"bytes"`        // of the columns' values, which are read for it
	Budget  int64     `json:"budget_bytes"` // of memory, beyond which rows are written to disk
}

// ExplainedDevices is how the devices of a provider are used.
type ExplainedDevices struct {
	Numbers []int `json:"numbers"`
	Streams int   `json:"streams"` // Runs in flight on each
	TF32    bool  `json:"tf32"`
	Memory  int64 `json:"memory_limit"` // bytes of each; 0: no limit
	// Padded says that every Run has as many rows as the first, for which the graph
	// is compiled; what comes of that stays in the folder EngineCache, if one is named.
	Padded      bool   `json:"padded"`
	EngineCache string `json:"engine_cache,omitempty"`
	// OnCPU are the nodes that would run on the CPU, as far as the graph tells, which
	// is no placement; see PlaceNodes.
	OnCPU         []CPUNode `json:"on_cpu_expected"`
	AllowCPUNodes bool      `json:"allow_cpu_nodes"`
}

// ExplainedFile is one input file.
type ExplainedFile struct {
	Path   string `json:"path"`
	Format string `json:"format"`
	Rows   int64  `json:"rows"`
	Spans  int    `json:"spans"`
	Bytes  int64  `json:"bytes"`
}

// ExplainedInput is how one model input is made.
type ExplainedInput struct {
	Models      []string           `json:"models,omitempty"` // of several, those that take it
	Input       string             `json:"input"`
	Type        string             `json:"type"` // such as float32[N,32]
	Form        batcher.Form       `json:"form"`
	Way         string             `json:"way"` // view or copy
	Note        string             `json:"note"`
	BytesPerRow int64              `json:"bytes_copied_per_row"`
	Features    []ExplainedFeature `json:"features"`
}

// ExplainedFeature is one column, or computed feature, on its way into an input.
type ExplainedFeature struct {
	Column string       `json:"column"` // of what is computed the feature's name
	Type   string       `json:"type"`
	Cast   batcher.Cast `json:"cast"`
	Policy string       `json:"null_policy"`
	// Nulls is what the files' statistics say; nil where they do not.
	Nulls *int64 `json:"nulls_expected"`
	// Of what is computed: its columns or earlier features, its transforms, and how
	// many values of a row it gives.
	From       []string `json:"from,omitempty"`
	Transforms []string `json:"transforms,omitempty"`
	Values     int      `json:"values,omitempty"`
}

// ExplainedColumn is one column of the output.
type ExplainedColumn struct {
	Column string `json:"column"`
	Type   string `json:"type"`
	From   string `json:"from"`            // id, kept, or the model output
	Model  string `json:"model,omitempty"` // of several, whose output
}

// Explain describes the plan.
func (p *Plan) Explain() *Explanation {
	e := &Explanation{
		Model: p.Model.Path, SHA256: p.Model.SHA256, Rewrites: p.Rewrites(), Models: p.modelFiles(),
		Rows: p.Dataset.Rows(), Parts: len(p.Parts), PartRows: p.Options.PartRows, Batches: p.Batches(),
		BatchRows: p.Options.BatchRows, BatchAuto: p.autoBatch(), Workers: p.Options.Workers, Readers: p.Options.Readers,
		Partitions: p.explainPartitions(), PartitionBy: append([]string{}, p.Options.PartitionBy...), TargetFileBytes: p.Options.TargetFileBytes,
		Output: sink.Shown(p.Options.Output), Format: string(p.Options.Format), Provider: p.Options.Provider, ProviderReason: p.Options.ProviderReason,
	}

	e.Lines = p.explainLines()
	e.Differences, e.Filter, e.Rules = p.drifted(), p.explainFilter(), p.explainRules()
	for _, f := range p.Dataset.Files() {
		e.Files = append(e.Files, ExplainedFile{Path: f.Path, Format: string(f.Format), Rows: f.Rows, Spans: f.Spans, Bytes: f.Bytes})
		e.Spans += f.Spans
		e.Bytes += f.Bytes
	}
	columnar := p.columnar()
	for i := range p.Binding.Bindings {
		in := p.explainInput(&p.Binding.Bindings[i], p.Mapped(), i < len(columnar) && columnar[i])
		in.Models = p.takers(i)
		e.Inputs = append(e.Inputs, in)
	}
	for i, f := range p.Passed {
		from := "kept"
		if i < p.ids {
			from = "id"
		}
		if slices.Contains(p.Options.PartitionBy, f.Name) {
			from += ", in the folders' names"
		}
		e.Outputs = append(e.Outputs, ExplainedColumn{Column: f.Name, Type: f.Type.String(), From: from})
	}
	for i := range p.models {
		m := &p.models[i]
		for k := m.from; k < m.to; k++ {
			for _, c := range p.outputs[k].explain() {
				c.Model = m.name
				e.Outputs = append(e.Outputs, c)
			}
		}
	}
	pairs, left, _ := p.knownPairs() // it was without error when the plan was made
	e.Compared, e.NotCompared = compared(pairs), left
	e.Memory, e.Unique = p.estimateMemory(), p.explainUnique()
	if p.Options.Provider != ort.CPU {
		e.Devices = p.explainDevices()
	}
	return e
}

func (p *Plan) explainUnique() *ExplainedUnique {
	if p.keys == nil {
		return nil
	}
	return &ExplainedUnique{
		Columns: p.Options.Unique.Columns, On: p.Options.onDuplicate(), Exact: p.keys.Exact(),
		Bytes: p.keyBytes() * p.Dataset.Rows(), Budget: p.uniqueBudget(),
	}
}

func (p *Plan) explainDevices() *ExplainedDevices {
	o := &p.Options
	var expected []models.HostNode
	for i := range p.models {
		nodes, _ := models.HostNodes(p.models[i].Model) // its bytes are those that a rewrite wrote or Open read
		expected = append(expected, nodes...)
	}
	e := &ExplainedDevices{
		Numbers: o.Devices, Streams: o.Streams, TF32: o.TF32, Memory: o.DeviceMemory, OnCPU: expectedNodes(expected), AllowCPUNodes: o.AllowCPUNodes,
	}
	if o.Provider == ort.TensorRT {
		e.Padded, e.EngineCache = true, o.EngineCache
	}
	return e
}

func (p *Plan) explainInput(b *batcher.Binding, mapped, columnar bool) ExplainedInput {
	typed := b.Input.Elem.String()
	if b.Input.HasShape {
		typed += b.Input.Shape.String()
	}
	in := ExplainedInput{Input: b.Input.Name, Type: typed, Form: b.Form}
	nulls := false
	for i := range b.Features {
		f := &b.Features[i]
		x := ExplainedFeature{Column: f.Column, Type: f.Type.String(), Cast: f.Cast, Policy: f.Nulls.String()}
		if f.Program != nil {
			x.From, x.Transforms, x.Values = f.Program.Sources(), f.Program.Describe(), f.Width
		} else if n, ok := p.Dataset.NullCount(f.Column); ok {
			x.Nulls = &n
			nulls = nulls || n > 0
		}
		in.Features = append(in.Features, x)
	}
	in.Way, in.BytesPerRow = "copy", int64(b.Width)*elementBytes(b.Input.Elem)
	switch {
	case columnar:
		in.Way, in.BytesPerRow = "view", 0
		in.Note = "of the columns where they lie: millrace's kernels take them so"
		nulls = false
	case slices.ContainsFunc(b.Features, func(f batcher.Feature) bool { return f.Program != nil }):
		in.Note = "features are computed as rows are made"
	case len(b.Features) > 1:
		in.Note = "columns become rows of one matrix"
	case b.Input.Elem == models.String:
		in.Note = "text becomes ONNX Runtime's own strings"
	case !b.Viewable():
		in.Note = "values are cast"
	case mapped:
		in.Way, in.BytesPerRow = "view", 0
		in.Note = "of the mapped file, where it is not compressed"
	default:
		in.Way, in.BytesPerRow = "view", 0
		in.Note = "of the decoded column"
	}
	if in.Way == "view" && nulls {
		in.Note += "; batches with nulls are copied to fill them"
	}
	return in
}

func (s *outputSpec) explain() []ExplainedColumn {
	if s.item == nil {
		return []ExplainedColumn{{Column: s.prefix + s.value.Name, Type: s.value.Elem.String() + ", its shape is known when it runs", From: s.value.Name}}
	}
	var columns []ExplainedColumn
	for _, f := range s.fields() {
		columns = append(columns, ExplainedColumn{Column: f.Name, Type: f.Type.String(), From: s.value.Name})
	}
	return columns
}

// resultBytes is the size of one row of the output, in bytes.
func (p *Plan) resultBytes() int64 {
	out := p.passedBytes()
	for i := range p.outputs {
		out += int64(p.outputs[i].width()) * elementBytes(p.outputs[i].value.Elem)
	}
	return out
}

// typeBytes is the size of one value; text counts 24.
func typeBytes(t arrow.DataType) int64 {
	switch t := t.(type) {
	case *arrow.FixedSizeListType:
		return int64(t.Len()) * typeBytes(t.Elem())
	case arrow.FixedWidthDataType:
		return int64(t.BitWidth()+7) / 8
	default:
		return 24
	}
}
