package engine

import (
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/io/format"
)

// manyColumns are enough of them for all workers to decode one span: two of such spans
// at a time would be twice the pages, and no faster.
const manyColumns = 256

// usualBytes is what a run is to take beside its model at most, unless a limit is asked
// for, or its settings need more, and sparedBytes of it what estimates and Go's soft
// limit are wrong by.
const (
	usualBytes  = 300 << 20
	sparedBytes = 56 << 20
	// moreWorkerBytes come to it for each worker beyond the first few.
	moreWorkerBytes = 32 << 20
)

// fitWide has wide spans read one after the other, unless the user says how many.
func (p *Plan) fitWide() {
	if len(p.Columns) >= manyColumns && !p.asked.readers && !p.Mapped() {
		p.Options.Readers = 1
	}
}

// usualBatchRows is the default on the CPU, where every worker has a batch: for wide
// rows a power of two, as the rows of a decoded record batch are then, so that batches
// are not joined. Four batches wait with what passes through, at least. Where columns
// are taken as they lie it is more, as long as all workers have several.
func (p *Plan) usualBatchRows() int {
	rows := DefaultBatchRows
	if columns := p.columnar(); columns != nil && !slices.Contains(columns, false) {
		rows = DefaultColumnRows
	}
	for rows > DefaultBatchRows && p.Dataset.Rows() < int64(rows)*int64(p.Options.Workers)*batchesEach {
		rows /= 2
	}
	for rows > 1 && int64(rows)*max(p.rowBytes(), p.ColumnBytes()/2, 2*p.resultBytes()) > usualTensorBytes {
		rows /= 2
	}
	return rows
}

// batchesEach are batches of each worker that are enough for all to end at about the same time.
const batchesEach = 8

// passedBytes is the size of what of a row passes through to the output.
func (p *Plan) passedBytes() (n int64) {
	for _, f := range p.Passed {
		n += p.valueBytes(f.Name, f.Type)
	}
	return n
}

// valueBytes is about the size of a value of a column: of texts and lists as the files
// tell it, where they do.
func (p *Plan) valueBytes(column string, t arrow.DataType) int64 {
	return max(typeBytes(t), p.Dataset.ValueBytes(column))
}

// wideRowBytes are what a row that is read or written has where a run without a memory
// limit is made smaller all the same.
const wideRowBytes = 512

// fitUsual lowers what costs least of a run over wide rows, until it takes no more than is
// usual, or what it can.
func (p *Plan) fitUsual() error {
	f := p.footprint()
	if max(f.row, f.result) < wideRowBytes {
		return nil
	}
	a, _, _ := f.fitInto(p.allotment(), p.usualLimit(f.model), p.usualLowerings())
	return p.allot(a)
}

// usualLowerings are those that nobody notices, but for what the user asked for.
func (p *Plan) usualLowerings() (order []lowering) {
	for _, l := range lowerings(false) {
		if l.setting != "workers" && (l.setting != "readers" || !p.asked.readers) {
			order = append(order, l)
		}
	}
	return order
}

// usualLimit is what a run is to take, with a model of so many bytes.
func (p *Plan) usualLimit(model int64) int64 {
	const workers = 4 // and their rows
	return usualBytes + model + int64(max(p.Options.Workers-workers, 0))*moreWorkerBytes
}

// softLimit is the memory limit, or what a run without one is kept within by collecting
// garbage sooner: what it is to take as a rule, or what it has in use.
func (p *Plan) softLimit(m ExplainedMemory) int64 {
	if p.limit > 0 {
		return p.limit - min(p.limit/6, sparedBytes)
	}
	return max(p.usualLimit(m.Model)-sparedBytes, m.Total-m.Slack)
}

// metadataBytes are what the program holds of each column that is read, and of each of a
// file's column chunks, measured.
const (
	columnMetadataBytes = 6 << 10
	chunkMetadataBytes  = 400
)

// Of Arrow files in pieces: bytes that are touched before they are given back, and blocks
// of the mapping that rows and offsets of each column are in where there are few columns.
const (
	touchedBytes = 16 << 20
	blockBytes   = 2 << 20
	mostBlocks   = 40
)

// mappedBytes are what record batches of Arrow files take, of the page cache or
// decompressed: whole spans, that are read, wait, are cut and scored; or pieces of them.
func (f *footprint) mappedBytes(workers, readers int64) int64 {
	if f.mappedRows() < f.spanRows {
		blocks := blockBytes * min(int64(len(f.columns)+len(f.texts)), mostBlocks)
		return min(format.DefaultChunkBytes*(2*workers+readers*chunkQueue)+readers*touchedBytes+blocks, f.row*f.rows)
	}
	return f.stored * min(f.spanRows*(2*readers+2), f.rows)
}

// mappedRows is about how many rows of a span of Arrow files are given at a time.
func (f *footprint) mappedRows() int64 {
	if f.cut && f.row*f.spanRows > format.DefaultHeldBytes {
		return min(max(format.DefaultChunkBytes/f.row, 1), f.spanRows)
	}
	return f.spanRows
}
