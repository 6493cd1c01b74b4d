package engine

import (
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
)

// fitWide has wide spans read one after the other, unless the user says how many.
func (p *Plan) fitWide() {
	if len(p.Columns) >= manyColumns && !p.asked.readers && !p.Mapped() {
		p.Options.Readers = 1
	}
}

// usualBatchRows is the default on the CPU, where every worker has a batch: for wide
// rows a power of two, as the rows of a decoded record batch are then, so that batches
// are not joined.
func (p *Plan) usualBatchRows() int {
	rows := DefaultBatchRows
	for rows > 1 && int64(rows)*max(p.rowBytes(), p.ColumnBytes()/2) > usualTensorBytes {
		rows /= 2
	}
	return rows
}

// valueBytes is about the size of a value of a column: of texts and lists as the files
// tell it, where they do.
func (p *Plan) valueBytes(column string, t arrow.DataType) int64 {
	return max(typeBytes(t), p.Dataset.ValueBytes(column))
}

// softLimit is the memory limit, or what a run without one is kept within by collecting
// garbage sooner; 0 where it takes more than that in any case.
func (p *Plan) softLimit(m ExplainedMemory) int64 {
	if p.limit > 0 {
		return p.limit - min(p.limit/6, sparedBytes)
	}
	if limit := usualBytes + m.Model; m.Total <= limit {
		return limit - sparedBytes
	}
	return 0
}

// metadataBytes are what the program holds of each column that is read, and of each of a
// file's column chunks, measured.
const (
	columnMetadataBytes = 6 << 10
	chunkMetadataBytes  = 400
)

// Of Arrow files in pieces: bytes that are touched before they are given back, and blocks
// of the mapping that rows of each column are in where there are few columns.
const (
	touchedBytes = 16 << 20
	blockBytes   = 2 << 20
	mostBlocks   = 40
)

// mappedBytes are what record batches of Arrow files take, of the page cache or
// decompressed: whole spans, that are read, wait, are cut and scored; or pieces of them.
func (f *footprint) mappedBytes(workers, readers int64) int64 {
	if f.flat && f.row*f.spanRows > format.DefaultHeldBytes {
		blocks := blockBytes * min(int64(len(f.columns)), mostBlocks)
		return min(format.DefaultChunkBytes*(2*workers+readers*chunkQueue)+readers*touchedBytes+blocks, f.row*f.rows)
	}
	return f.stored * min(f.spanRows*(2*readers+2), f.rows)
}
