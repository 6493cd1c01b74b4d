package lines

import (
	"bytes"
	"context"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"
)

// block is one span of a text: the records that end in one of its blocks of fixed size.
// So spans depend on the text alone, and each can be read by itself.
type block struct {
	from, to int64 // in the text, on edges of records
	rows     int64
}

// index finds the spans of a text. Its pieces are split in parallel, each from the states
// that it may begin in; a walk over them then knows in which it does begin. A record
// that turns out to be broken only blocks later is split again from its beginning, one
// block after the other.
type index struct {
	file   *textFile
	syntax Syntax
	opts   *Options
	stop   func() error // asked between blocks
	begin  int64        // of the first record

	spans []block
	head  int64 // ends of lines before the first record

	counted sync.Mutex
	lines   []int64 // ends of lines from the first record on, by piece, and one more; 0 where nobody asked

	// What follows is about the walk's place.
	state State
	open  int64 // where the open record begins
}

// Bounds of what is split at a time: pieces, one after the other, by so many goroutines.
const (
	atOnce         = 8
	parallelSplits = 8
)

// splits is what a piece is for each state that it was split from.
type splits struct {
	from []State
	to   []Split
}

func (x *index) blockBytes() int64 { return int64(x.opts.BlockBytes) }

func (x *index) pieceBytes() int64 { return x.opts.pieceBytes() }

// pieces is how many pieces the text has.
func (x *index) pieces() int64 { return (x.file.size + x.pieceBytes() - 1) / x.pieceBytes() }

// bounds are those of the i-th piece.
func (x *index) bounds(i int64) (from, to int64) {
	return max(i*x.pieceBytes(), x.begin), min((i+1)*x.pieceBytes(), x.file.size)
}

// run finds all spans.
func (x *index) run(ctx context.Context) error {
	x.open = x.begin
	first, end := x.begin/x.pieceBytes(), x.pieces()
	if x.file.source != nil { // whose text is a long way to count the lines of later
		x.lines = make([]int64, end)
	}
	together := atOnce * int64(min(runtime.GOMAXPROCS(0), parallelSplits))
	for i := first; i < end; {
		n := min(together, end-i)
		guessed, err := x.guess(ctx, i, n)
		if err != nil {
			return err
		}
		next := i
		for next < i+n && next < end {
			back, err := x.step(ctx, next, &guessed[next-i])
			if err != nil {
				return err
			}
			if back != next+1 { // a broken record's line ended in an earlier block, or in this
				next = back
				break
			}
			next++
		}
		i = next
	}
	return x.finish(ctx)
}

// guess splits n pieces from the states that they may begin in.
func (x *index) guess(ctx context.Context, first, n int64) ([]splits, error) {
	all := make([]splits, n)
	var group errgroup.Group
	for from := int64(0); from < n; from += atOnce {
		group.Go(func() error {
			return guarded(func() error {
				for k := from; k < min(from+atOnce, n); k++ {
					if err := x.guessOne(ctx, first+k, &all[k]); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
	return all, group.Wait()
}

// guessOne splits the i-th piece.
func (x *index) guessOne(ctx context.Context, i int64, s *splits) error {
	if err := x.stop(); err != nil {
		return err
	}
	from, to := x.bounds(i)
	text, before, release, err := x.block(ctx, from, to)
	if err != nil {
		return err
	}
	defer release()
	s.from = []State{AtRecord}
	if from > x.begin {
		s.from = x.syntax.Guess(before, text)
	}
	for _, state := range s.from {
		s.to = append(s.to, x.syntax.Split(text, state, x.opts.MaxLineBytes))
	}
	if x.file.source != nil {
		x.lines[i] = 1 + int64(bytes.Count(text, []byte{'\n'}))
	}
	return x.file.leave(from, to)
}

// text reads a piece of the text.
func (x *index) text(ctx context.Context, from, to int64) ([]byte, error) {
	piece := make([]byte, to-from)
	return piece, x.file.read(ctx, piece, from)
}

// blocks are buffers of blocks of text, which are read one after the other.
var blocks sync.Pool

// block is text where it lies, or in a buffer that release gives back, and the byte before
// it.
func (x *index) block(ctx context.Context, from, to int64) (text []byte, before byte, release func(), err error) {
	if text = x.file.view(max(from-1, 0), to); text != nil {
		if from == 0 {
			return text, '\n', func() {}, nil
		}
		return text[1:], text[0], func() {}, nil
	}
	buffer, _ := blocks.Get().(*[]byte)
	if buffer == nil || int64(cap(*buffer)) < to-from+1 {
		buffer = new(make([]byte, max(x.pieceBytes(), to-from)+1))
	}
	release = func() { blocks.Put(buffer) }
	at := max(from-1, 0)
	piece := (*buffer)[:to-at]
	if err := x.file.read(ctx, piece, at); err != nil {
		release()
		return nil, 0, nil, err
	}
	if at == from {
		return piece, '\n', release, nil
	}
	return piece[1:], piece[0], release, nil
}

// step takes the i-th block, and says which is next.
func (x *index) step(ctx context.Context, i int64, guessed *splits) (next int64, err error) {
	from, to := x.bounds(i)
	s, known := Split{}, false
	for k, state := range guessed.from {
		if state == x.state {
			s, known = guessed.to[k], true
			break
		}
	}
	if !known {
		text, err := x.text(ctx, from, to)
		if err != nil {
			return 0, err
		}
		s = x.syntax.Split(text, x.state, x.opts.MaxLineBytes)
	}
	if x.state != AtRecord && x.state != Skipping && x.state != Commenting {
		ends := to
		if s.First >= 0 {
			ends = from + int64(s.First)
		}
		if s.Broken || ends-x.open > int64(x.opts.MaxLineBytes) {
			return x.again(ctx)
		}
	}
	x.take(from, &s)
	return i + 1, nil
}

// take adds a block, or a piece of one, that begins at an offset.
func (x *index) take(from int64, s *Split) {
	if s.First >= 0 {
		x.add(from+int64(s.Last), s.Rows)
	}
	if s.Open >= 0 {
		x.open = from + int64(s.Open)
	}
	x.state = s.State
}

// add lets the rows up to an offset be of the span of the block that it ends in.
func (x *index) add(to, rows int64) {
	last := len(x.spans) - 1
	if last >= 0 && (x.spans[last].to-1)/x.blockBytes() == (to-1)/x.blockBytes() {
		x.spans[last].to = to
		x.spans[last].rows += rows
		return
	}
	from := x.begin
	if last >= 0 {
		from = x.spans[last].to
	}
	x.spans = append(x.spans, block{from: from, to: to, rows: rows})
}

// again takes the open record's first line for a row, since the record is broken, and
// goes on behind it.
func (x *index) again(ctx context.Context) (next int64, err error) {
	at, piece := x.open, min(x.pieceBytes(), 64<<10)
	end := x.file.size
	for ; at < x.file.size; at += piece {
		text, err := x.text(ctx, at, min(at+piece, x.file.size))
		if err != nil {
			return 0, err
		}
		if lf := bytes.IndexByte(text, '\n'); lf >= 0 {
			end = at + int64(lf) + 1
			break
		}
	}
	x.add(end, 1)
	x.state, x.open = AtRecord, end
	i := (end - 1) / x.pieceBytes()
	_, to := x.bounds(i)
	if end == to {
		return i + 1, nil
	}
	text, err := x.text(ctx, end, to)
	if err != nil {
		return 0, err
	}
	s := x.syntax.Split(text, AtRecord, x.opts.MaxLineBytes)
	x.take(end, &s)
	return i + 1, nil
}

// finish ends the record that is open at the text's end.
func (x *index) finish(ctx context.Context) error {
	for x.state != AtRecord {
		if err := x.stop(); err != nil {
			return err
		}
		row, broken := x.syntax.Finish(x.state)
		if broken {
			next, err := x.again(ctx)
			if err != nil {
				return err
			}
			for end := x.pieces(); next < end; {
				if next, err = x.step(ctx, next, &splits{}); err != nil {
					return err
				}
			}
			continue
		}
		rows := int64(0)
		if row {
			rows = 1
		}
		x.add(x.file.size, rows)
		x.state = AtRecord
	}
	x.join()
	return nil
}

// join joins spans without rows, of blank lines alone, to the ones before.
func (x *index) join() {
	kept := x.spans[:0]
	for _, s := range x.spans {
		if n := len(kept); n > 0 && s.rows == 0 {
			kept[n-1].to = s.to
			continue
		}
		kept = append(kept, s)
	}
	x.spans = kept
}

// lineOf is the number of the line that begins at an offset, from 1.
func (x *index) lineOf(ctx context.Context, at int64) (int64, error) {
	line, from := 1+x.head, x.begin
	x.counted.Lock()
	defer x.counted.Unlock()
	for i := x.begin / x.pieceBytes(); (i+1)*x.pieceBytes() <= at; i++ {
		var to int64
		from, to = x.bounds(i)
		if int64(len(x.lines)) <= i {
			x.lines = append(x.lines, make([]int64, i+1-int64(len(x.lines)))...)
		}
		if x.lines[i] == 0 {
			n, err := x.count(ctx, from, to)
			if err != nil {
				return 0, err
			}
			x.lines[i] = 1 + n
		}
		line += x.lines[i] - 1
		from = to
	}
	n, err := x.count(ctx, min(from, at), at)
	return line + n, err
}

// count counts the ends of lines of a piece of the text.
func (x *index) count(ctx context.Context, from, to int64) (int64, error) {
	text, err := x.text(ctx, from, to)
	return int64(bytes.Count(text, []byte{'\n'})), err
}

// heldRows are rows beside each other that are held at a time, at least.
const heldRows = 256

// mostRowBytes is the size in bytes of a row of the text, on average of heldRows beside each
// other where that is largest: one that is long among short ones, which has a span of its own,
// does not make all that is held as long.
func (x *index) mostRowBytes() (most float64) {
	var all int64
	for _, s := range x.spans {
		all += s.rows
	}
	least := max(min(all, heldRows), 1)
	var bytes, rows int64 // of spans from first on
	first := 0
	for _, s := range x.spans {
		bytes, rows = bytes+s.to-s.from, rows+s.rows
		for ; rows-x.spans[first].rows >= least; first++ {
			most = max(most, float64(bytes)/float64(rows))
			bytes, rows = bytes-x.spans[first].to+x.spans[first].from, rows-x.spans[first].rows
		}
		most = max(most, float64(bytes)/float64(max(rows, least)))
	}
	return most
}
