package engine

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/engine/unique"
	"github.com/millrace/millrace/io/format"
)

// NoMemoryLimit as Options.MemoryLimit asks for no limit, whatever the cgroup's.
const NoMemoryLimit = -1

// ErrMemory says that a run cannot be made small enough for its memory limit.
var ErrMemory = errors.New("the memory limit is too small")

// LimitSource says where a memory limit comes from.
type LimitSource string

// The sources.
const (
	LimitAsked  LimitSource = "--memory-limit"
	LimitCgroup LimitSource = "cgroup, less 10%"
	LimitNone   LimitSource = "none"
)

// CgroupMemory is the cgroup's memory limit in bytes; 0 where there is none, or
// one above the machine's memory, which never takes effect.
func CgroupMemory() int64 {
	limit, err := memlimit.FromCgroup() // version 1 and 2, and all groups above
	if err != nil || limit > math.MaxInt64 {
		return 0
	}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err == nil && limit >= info.Totalram*uint64(info.Unit) {
		return 0
	}
	return int64(limit)
}

// memoryLimit is the limit in bytes that an option stands for; 0 for none. A
// tenth of a cgroup's is left for what is not the run's: the page cache of what
// is written, and a shell that started it.
func memoryLimit(asked int64) (int64, LimitSource) {
	switch {
	case asked > 0:
		return asked, LimitAsked
	case asked == 0:
		if limit := CgroupMemory(); limit > 0 {
			return limit - limit/10, LimitCgroup
		}
	}
	return 0, LimitNone
}

// allotment is what a run may hold at a time, and a limit may lower. None of it
// changes the bytes of the output but BatchRows, which is lowered only where
// millrace chooses it.
type allotment struct {
	Readers     int   // spans decoded at a time
	WaitingRows int64 // scored, and not yet written
	ChunkRows   int   // of a decoded record batch
	Workers     int
	BatchRows   int
}

// Lowered is one setting that was lowered to keep within the memory limit.
type Lowered struct {
	Setting string `json:"setting"`
	From    int64  `json:"from"`
	To      int64  `json:"to"`
}

// uniqueBudget bounds what the keys of rows that are to be unique take in memory, in
// bytes, before they are written to disk: a quarter of the memory limit, within bounds.
func (p *Plan) uniqueBudget() int64 {
	if p.limit == 0 {
		return mostUniqueBytes
	}
	return min(max(p.limit/4, leastUniqueBytes), mostUniqueBytes)
}

// uniqueBytes is what the search for duplicates takes at most: keys while they are
// gathered, and what was found while the run goes on.
func (p *Plan) uniqueBytes() (gathering, kept int64) {
	if len(p.Options.Unique.Columns) == 0 {
		return 0, 0
	}
	row := int64(unique.EntryBytes)
	if p.Options.Unique.Mode == unique.Exact {
		row += p.keyBytes()
	}
	gathering = min(p.uniqueBudget(), p.Dataset.Rows()*row)
	if p.Options.rejectsDuplicates() {
		kept = gathering / 8
	}
	return gathering, kept
}

// keyBytes is the size of one row's values of the columns that are to be unique.
func (p *Plan) keyBytes() (n int64) {
	schema := p.Dataset.Schema()
	for _, name := range p.Options.Unique.Columns {
		for _, at := range schema.FieldIndices(name) {
			n += typeBytes(schema.Field(at).Type)
		}
	}
	return n
}

// lowering is one setting of an allotment: how it is lowered by one step, and
// no further than least.
type lowering struct {
	setting string
	at      func(*allotment) int64
	set     func(*allotment, int64)
	least   int64
}

// Bounds of uniqueBudget.
const (
	leastUniqueBytes = 4 << 20
	mostUniqueBytes  = 64 << 20
)

// Least settings: below them a run is slower and not smaller.
const (
	leastWaitingRows = 1 << 14
	leastChunkRows   = 1 << 12
	leastBatchRows   = 1 << 8
)

// lowerings are in the order in which they cost least: one reader still decodes
// columns concurrently, and waiting results only bridge the writer's pauses.
// Chunks stay at 4,096 rows or more, so that a batch of the default size lies in
// one of them. A batch comes before workers, which are the speed.
func lowerings(autoBatch bool) []lowering {
	all := []lowering{
		{"readers", func(a *allotment) int64 { return int64(a.Readers) }, func(a *allotment, n int64) { a.Readers = int(n) }, 1},
		{"waiting_rows", func(a *allotment) int64 { return a.WaitingRows }, func(a *allotment, n int64) { a.WaitingRows = n }, leastWaitingRows},
		{"chunk_rows", func(a *allotment) int64 { return int64(a.ChunkRows) }, func(a *allotment, n int64) { a.ChunkRows = int(n) }, leastChunkRows},
	}
	if autoBatch {
		all = append(all, lowering{"batch_rows", func(a *allotment) int64 { return int64(a.BatchRows) }, func(a *allotment, n int64) { a.BatchRows = int(n) }, leastBatchRows})
	}
	return append(all, lowering{"workers", func(a *allotment) int64 { return int64(a.Workers) }, func(a *allotment, n int64) { a.Workers = int(n) }, 1})
}

// fitInto lowers an allotment, halving one setting after the other in order, until it
// takes no more than limit bytes, and says what it lowered. ok is false when
// the least is too much still. A setting whose halving frees nothing stays; it
// is asked again at the end, since how much may wait depends on the workers.
func (f *footprint) fitInto(start allotment, limit int64, order []lowering) (a allotment, lowered []Lowered, ok bool) {
	a = start
	for _, l := range append(order, order...) {
		for next := a; l.at(&next) > l.least && f.estimate(a).Total > limit; {
			l.set(&next, max(l.at(&next)/2, l.least))
			if f.estimate(next).Total < f.estimate(a).Total {
				a = next
			}
		}
	}
	for _, l := range order {
		if from, to := l.at(&start), l.at(&a); to < from {
			lowered = append(lowered, Lowered{Setting: l.setting, From: from, To: to})
		}
	}
	return a, lowered, f.estimate(a).Total <= limit
}

// fitMemory keeps the plan within its limit, or returns an error that wraps
// ErrMemory and says what it would take.
func (p *Plan) fitMemory() error {
	p.limit, p.limitSource = memoryLimit(p.Options.MemoryLimit)
	p.chunkRows = p.readOptions().ChunkRows
	// A row group of the output for each worker, which goes through a span that
	// often is as large while the spans before it are not yet written, and one more.
	p.waitingRows = int64(p.Options.Workers+1) * rowGroupRows
	p.fitWide()
	if p.limit == 0 {
		return p.fitUsual()
	}
	f := p.footprint()
	a, lowered, ok := f.fitInto(p.allotment(), p.limit, lowerings(p.autoBatch()))
	if !ok {
		return p.tooLarge(f.estimate(a), a)
	}
	p.lowered = lowered
	return p.allot(a)
}

// allot makes the plan keep to an allotment.
func (p *Plan) allot(a allotment) error {
	p.Options.Readers, p.Options.Workers, p.Options.BatchRows, p.waitingRows = a.Readers, a.Workers, a.BatchRows, a.WaitingRows
	if a.ChunkRows != p.chunkRows {
		p.chunkRows = a.ChunkRows
		return p.Dataset.SetChunkRows(a.ChunkRows)
	}
	return nil
}

func (p *Plan) tooLarge(m ExplainedMemory, a allotment) error {
	parts := []string{}
	for _, part := range m.parts() {
		if part.bytes >= 1<<20 {
			parts = append(parts, fmt.Sprintf("%s %s", part.name, humanize.IBytes(uint64(part.bytes))))
		}
	}
	advice := "raise --memory-limit"
	if p.limitSource == LimitCgroup {
		advice = "give the cgroup more"
	}
	if !p.autoBatch() && p.Binding.FixedRows == 0 {
		advice += ", or take a smaller --batch-size"
	}
	return fmt.Errorf("%w: the run takes about %s at least and %s (%s) are allowed: %s, with %d workers, %d readers and batches of %s rows; %s",
		ErrMemory, humanize.IBytes(uint64(m.Total)), humanize.IBytes(uint64(p.limit)), p.limitSource, strings.Join(parts, ", "),
		a.Workers, a.Readers, humanize.Comma(int64(a.BatchRows)), advice)
}

// autoBatch says whether the batch size is millrace's to choose.
func (p *Plan) autoBatch() bool { return !p.asked.batch && p.Binding.FixedRows == 0 }

// allotment is the plan's own.
func (p *Plan) allotment() allotment {
	o := &p.Options
	return allotment{Readers: o.Readers, Workers: o.Workers, BatchRows: o.BatchRows, ChunkRows: p.chunkRows, WaitingRows: p.waitingRows}
}

// fits says whether the plan keeps within its limit with another batch size and
// number of workers.
func (p *Plan) fits(batchRows, workers int) bool {
	if p.limit == 0 {
		return true
	}
	return p.footprint().fits(p.allotment(), batchRows, workers, p.limit)
}

// fits says whether a run keeps within a limit with another batch size and number of workers.
func (f *footprint) fits(a allotment, batchRows, workers int, limit int64) bool {
	a.BatchRows, a.Workers = batchRows, workers
	return f.estimate(a).Total <= limit
}

// fitSample drops the largest sizes until a trial of them fits into the memory limit, or,
// without one, those above the default until it takes no more than is usual, and says how
// many rows of the input it may hold meanwhile. The trial comes before the pipeline: it has
// the memory of its queues, but needs tensors of every size for every worker.
func (t *trial) fitSample(sizes []int, most int) ([]int, int) {
	p := t.plan
	f, limit := p.footprint(), p.limit
	if limit == 0 {
		if f.device {
			return sizes, most
		}
		limit = p.usualLimit(f.model)
	}
	for len(sizes) > 1 {
		a := p.allotment()
		a.Workers, a.BatchRows, a.WaitingRows = t.workers, 0, 0
		for _, size := range sizes {
			a.BatchRows += size
		}
		room := limit - f.estimate(a).Total
		largest := sizes[len(sizes)-1]
		// Half of it for garbage; a mapped span is held whole.
		rows := room * 2 / 3 / max(f.row, f.stored, 1)
		if f.mapped {
			rows -= f.spanRows
		}
		if p.limit == 0 && largest <= t.base { // which the run takes anyway
			return sizes, int(min(int64(most), max(rows, int64(largest))))
		}
		if rows >= int64(largest) && f.fits(p.allotment(), largest, t.workers, limit) {
			return sizes, int(min(int64(most), rows))
		}
		sizes = sizes[:len(sizes)-1]
	}
	return nil, 0
}

// HeapLimit is what remains of the plan's memory limit for Go's heap, in bytes, or of
// what a run takes as a rule. Outside of the heap are the program's code, ONNX
// Runtime and its weights; mapped pages of the input do not count, for the kernel
// takes them back when it needs them. Whoever owns the process may set it with
// debug.SetMemoryLimit; the engine does not, since it may not be alone there.
func (p *Plan) HeapLimit() int64 {
	m := p.footprint().estimate(p.allotment())
	return max(p.softLimit(m)-(m.Program-goBytes)-(m.Model-p.fileBytes())-m.Activations, goBytes)
}

// Limited says whether the plan has a memory limit, which its heap limit is then part of.
func (p *Plan) Limited() bool { return p.limit > 0 }

// readOptions are those of the dataset's readers after defaults.
func (p *Plan) readOptions() format.ReadOptions {
	var read format.ReadOptions
	read.EnsureDefaults()
	return read
}
