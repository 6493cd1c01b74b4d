package engine

import (
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/io/arrowfile"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/parquetfile"
)

// ExplainedMemory is the resident memory that the run is estimated to take, in
// bytes, and the limit that it was fitted into.
type ExplainedMemory struct {
	Program     int64 `json:"program"`     // millrace and ONNX Runtime themselves
	Model       int64 `json:"model"`       // the files, and their weights in the sessions
	Tensors     int64 `json:"tensors"`     // of all workers
	Activations int64 `json:"activations"` // what ONNX Runtime holds between nodes, of all workers
	Agreement   int64 `json:"agreement"`   // what models are compared by
	Decoded     int64 `json:"decoded"`     // record batches on their way, mapped ones too
	Ahead       int64 `json:"ahead"`       // what is fetched from object stores before it is read
	Written     int64 `json:"written"`     // results that wait, and row groups that are being filled and compressed
	Rejects     int64 `json:"rejects"`     // rows with all their columns that wait to be written, should all be bad
	Slack       int64 `json:"slack"`       // what the collector of garbage lets lie
	// Unique is what finding duplicates takes, before a session is open and anything is
	// written: of the total only where that is more.
	Unique int64 `json:"unique"`
	// Parsed is what opening the largest model takes besides it, before there are tensors: of
	// the total only where that is more.
	Parsed int64 `json:"parsed"`
	Total  int64 `json:"total"`

	Limit   int64       `json:"limit"` // 0: none
	Source  LimitSource `json:"limit_from"`
	Lowered []Lowered   `json:"lowered"` // to keep within it
}

// memoryPart is one part of an estimate, with a name for people.
type memoryPart struct {
	name  string
	bytes int64
}

func (m *ExplainedMemory) parts() []memoryPart {
	return []memoryPart{
		{"program", m.Program},
		{"model", m.Model},
		{"model while it is parsed", m.Parsed},
		{"tensors", m.Tensors + m.Activations},
		{"comparison of models", m.Agreement},
		{"columns", m.Decoded},
		{"fetched ahead", m.Ahead},
		{"results and row group written", m.Written},
		{"rejected rows", m.Rejects},
		{"garbage", m.Slack},
	}
}

// Constants of the estimate, all measured; see bench/results/memory.md.
const (
	// programBytes is the resident set of a run over few rows with a model of a
	// few bytes: Go's runtime, this program and ONNX Runtime.
	programBytes = 80 << 20
	// deviceBytes comes to that where a model runs on CUDA: the driver's context,
	// and its libraries.
	deviceBytes = 400 << 20
	// goBytes of it are Go's own.
	goBytes = 24 << 20
	// columnPageBytes is a decompressed page of a Parquet column: the size that
	// most writers use, and a dictionary has at most.
	columnPageBytes = 1 << 20
	// lineBytes is the text that is read of a span at a time, and where its fields lie;
	// see io/lines.
	lineBytes = 1 << 20
	// columnAheadBytes is what is read of a column at a time; see
	// io/parquetfile.
	columnAheadBytes = 256 << 10
)

// reasonBytes is what says why a row was rejected: a path, a column, a stage and a reason,
// and what holds them.
const reasonBytes = 120

// mostRejects is how many rows may be rejected before the run fails; 0 where bad rows
// make it fail at once and nothing asks for any to be left out.
func (p *Plan) mostRejects() int64 {
	o := &p.Options
	asked := o.OnBadRow != BadFail || o.rejectsDuplicates() || o.Nulls.Default.Action == batcher.NullReject || len(o.FeatureSpecs) > 0
	for _, policy := range o.Nulls.ByColumn {
		asked = asked || policy.Action == batcher.NullReject
	}
	if !asked {
		return 0
	}
	if limit, _ := p.mostBadRows(); limit >= 0 {
		return min(limit, p.Dataset.Rows())
	}
	return p.Dataset.Rows()
}

// footprint is all that a run's memory depends on and no setting changes. Its
// numbers are bytes and rows.
type footprint struct {
	model     int64
	parsed    int64 // comes to it while it is opened
	device    bool
	mapped    bool  // spans are views of a mapped file
	filtered  bool  // rows that pass are copied out of what is read
	parquet   bool  // columns are decoded from pages
	text      bool  // they are made of text
	spanRows  int64 // of the largest span
	rows      int64 // of the whole input
	parts     int
	spanBytes int64 // stored, of the largest span, all columns
	columns   []int64
	texts     []int64 // of columns, those without a fixed width
	metadata  int64   // of columns and column chunks
	cut       bool    // mapped: large spans are read in pieces
	nested    int64   // of row, what lies in lists
	row       int64   // of the columns that are read: the sum of columns
	stored    int64   // mapped: a row of a span with all its columns
	tensor    int64   // a row of inputs and outputs
	held      int64   // what models hold of a row while it is scored; 0 before a session is open
	result    int64   // a row of the output
	group     int64   // bytes of it that a row group has at most
	pages     int64   // of an output file, that are being filled
	rejects   int64   // the most rows that may be rejected
	unique    int64   // of the keys of rows that are to be unique, while they are gathered
	found     int64   // of those that are not, while the run goes on
	sorted    int64   // what a part of a partitioned output gathers and sorts
	agreement int64   // of all rows, and of a part
	received  int64   // of a stream, record batches that wait
	ahead     int64   // of objects in stores
	file      int64   // that an output file holds of itself, as an upload does
}

func (p *Plan) footprint() *footprint {
	f := &footprint{model: p.modelBytes(), parsed: p.ParsedBytes(), device: p.Options.Provider != ort.CPU, filtered: p.where != nil, rows: p.Dataset.Rows(), parts: len(p.Parts), tensor: p.rowBytes(), held: p.held, result: p.resultBytes()}
	if len(p.Options.PartitionBy) > 0 {
		f.sorted = 3 * spillBytes // as gathered, joined and in order
	}
	for _, part := range p.Parts {
		for _, s := range part.Spans {
			f.spanRows = max(f.spanRows, s.Rows)
			f.spanBytes = max(f.spanBytes, p.Dataset.Spans(s.File)[s.Span].Bytes)
		}
	}
	f.unique, f.found = p.uniqueBytes()
	f.rejects = p.mostRejects()
	f.agreement, f.ahead = p.agreementBytes(), p.aheadBytes()
	f.file = traitsOf(p.Options.Output).FileBytes
	f.group = parquetfile.RowGroupBytes
	if p.Options.Format == format.Parquet {
		fields := append(slices.Clone(p.Passed), p.knownFields()...)
		f.group, f.pages = parquetfile.GroupBytes(f.result, fields), parquetfile.PageBytes(f.result, fields)
	}
	if p.live() {
		f.rows, f.received = math.MaxInt32, heldBytes
	}
	schema := p.Dataset.Schema()
	f.cut = true
	for _, name := range p.Columns {
		for _, at := range schema.FieldIndices(name) {
			width := p.valueBytes(name, schema.Field(at).Type)
			f.columns = append(f.columns, width)
			if _, fixed := arrowfile.FlatBits(schema.Field(at).Type); !fixed {
				f.texts = append(f.texts, width)
			}
			f.cut = f.cut && !p.Dataset.ReadWhole(name)
			f.row += width
			if arrow.IsNested(schema.Field(at).Type.ID()) {
				f.nested += width
			}
		}
	}
	f.metadata = int64(len(f.columns)) * columnMetadataBytes
	for _, file := range p.Dataset.Files() {
		switch file.Format {
		case format.Parquet:
			f.parquet = true
			f.metadata += int64(file.Spans) * int64(len(schema.Fields())) * chunkMetadataBytes
		case format.ArrowFile, format.ArrowStream:
			f.mapped = true
			f.stored = max(f.stored, file.Bytes/max(file.Rows, 1))
		case format.CSV, format.JSONLines:
			f.text = true
		}
	}
	return f
}

// estimate adds up what the pipeline can hold at a time: its queues are bounded,
// so that this does not depend on the input's size.
func (f *footprint) estimate(a allotment) ExplainedMemory {
	workers, readers := int64(a.Workers), int64(a.Readers)
	m := ExplainedMemory{Program: programBytes, Model: f.model, Parsed: f.parsed, Ahead: f.ahead}
	if f.device {
		m.Program += deviceBytes
	}
	m.Tensors = f.tensor * int64(a.BatchRows) * workers
	if !f.device { // whose own memory they lie in
		// As much as the tensors, until it is known: of models with hidden layers more.
		m.Activations = max(m.Tensors, f.held*int64(a.BatchRows)*workers)
	}
	var heap, garbage int64
	if f.parquet || !f.mapped {
		chunk := min(int64(a.ChunkRows), f.spanRows, max(format.DefaultChunkBytes/max(f.row, 1), 1))
		// Of each worker one in the making and one whose batches are scored;
		// and those of open spans that wait for the spans before.
		chunks := 2*workers + readers*chunkQueue
		rows := f.row * min(chunks*chunk+workers*int64(a.BatchRows), f.rows)
		heap, garbage = rows, rows
		if f.parquet {
			// Pages, what is read ahead, and the levels and values that lists are
			// made of; the readers use that memory again and again.
			pages := min(f.spanBytes, int64(len(f.columns))*columnAheadBytes) + 2*f.nested*chunk
			for _, width := range slices.Concat(f.columns, f.texts) { // these have dictionaries, too
				pages += min(columnPageBytes, f.spanRows*width)
			}
			heap += readers * min(pages, format.DefaultHeldBytes)
		}
		if f.text { // of each reader, with a copy of the column that is being made
			heap += readers * (lineBytes + f.row*chunk)
		}
		m.Decoded = heap
	}
	if f.filtered { // of each reader, of a record batch that is being sifted
		copied := min(int64(a.ChunkRows), f.spanRows)
		if f.mapped { // which are spans or pieces of them, and of each those that wait
			copied = f.mappedRows() * (1 + chunkQueue)
		}
		m.Decoded += f.row * min(copied*readers, f.rows)
		garbage += f.row * min(copied*readers, f.rows)
	}
	if f.mapped { // whole spans, of the page cache: read, waiting, being cut, and being scored
		m.Decoded += f.mappedBytes(workers, readers)
	}
	m.Decoded += f.received + f.metadata
	// Results that wait, and for each part that is written the row group that is
	// being filled.
	waiting := waitingRows(a.WaitingRows, f.result, a.Workers, a.BatchRows)
	group := min(rowGroupRows, f.group/max(f.result, 1)+1)
	m.Written = f.result * min(waiting+group*int64(writersFor(a.Workers, f.parts)), f.rows)
	m.Written += f.sorted * int64(writersFor(a.Workers, f.parts))
	// Of a sink, those and the one that is being closed: no more than there is to write.
	m.Written += min(f.file*int64(writersFor(a.Workers, f.parts)+1), f.result*f.rows)
	m.Agreement = f.agreement * (1 + int64(writersFor(a.Workers, f.parts)))
	m.Rejects = (f.row + reasonBytes) * min(waiting, f.rejects)
	m.Slack = (garbage + m.Written + m.Rejects) / 2                                    // see cmd/millrace: the heap grows by half before it is collected
	m.Written += min(f.pages, f.result*f.rows) * int64(writersFor(a.Workers, f.parts)) // used again and again
	m.Unique = f.unique + f.unique/2                                                   // and garbage
	m.Total = m.Program + m.Model + m.Tensors + m.Activations + m.Agreement + m.Decoded + m.Ahead + m.Written + m.Rejects + m.Slack + f.found
	// Before the session is open, and after the last row: a row group of rejects is
	// gathered then, and encoded.
	merging := 2 * (f.row + reasonBytes) * min(rejectGroupRows, f.rejects)
	m.Total = max(m.Total, m.Program+m.Model+m.Decoded+m.Ahead+m.Unique, m.Program+m.Model+m.Parsed+f.found, m.Program+m.Model+merging)
	return m
}

// estimateMemory is the plan's estimate, with its limit.
func (p *Plan) estimateMemory() ExplainedMemory {
	m := p.footprint().estimate(p.allotment())
	m.Limit, m.Source, m.Lowered = p.limit, p.limitSource, append([]Lowered{}, p.lowered...)
	return m
}
