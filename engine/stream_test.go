package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/io/arrowfile"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
)

// fedStream is a stream whose record batches a test feeds, of ids that go on from one to
// the next.
type fedStream struct {
	feed  chan int64 // rows; closed at the end of the stream
	each  int64      // bytes that a record batch counts as
	fail  error      // at the end, in place of io.EOF
	most  int64      // rows that may be rejected; -1 for any number
	piece int64      // rows of the pieces that larger record batches come in; 0: none do
	left  int64      // rows of the one that is coming
	given atomic.Int64

	rows, bytes int64

	mu          sync.Mutex
	interrupted chan struct{} // closed by SetDeadline
}

func newFedStream(each int64, sizes ...int64) *fedStream {
	s := &fedStream{feed: make(chan int64, len(sizes)), each: each, most: -1, interrupted: make(chan struct{})}
	for _, n := range sizes {
		s.feed <- n
	}
	return s
}

func (s *fedStream) Next() (arrow.RecordBatch, error) {
	if s.left > 0 {
		return s.give(s.left), nil
	}
	select {
	case n, ok := <-s.feed:
		if !ok && s.fail != nil {
			return nil, s.fail
		}
		if !ok {
			return nil, io.EOF
		}
		s.bytes += s.each
		return s.give(n), nil
	case <-s.interrupted:
		return nil, errors.New("deadline exceeded")
	}
}

// give gives n rows, or the first piece of them.
func (s *fedStream) give(n int64) arrow.RecordBatch {
	s.left = 0
	if s.piece > 0 && n > s.piece {
		n, s.left = s.piece, n-s.piece
	}
	r := ids(s.rows, n)
	s.rows += n
	s.given.Add(1)
	return r
}

func (s *fedStream) More() bool { return s.left > 0 }

func (s *fedStream) Bytes() int64 { return s.bytes }
func (s *fedStream) Rows() int64  { return s.rows }

// SetDeadline interrupts a Next that waits, as that of a pipe does.
func (s *fedStream) SetDeadline(time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.interrupted:
	default:
		close(s.interrupted)
	}
	return nil
}

// Read makes it an end of a pipe.
func (s *fedStream) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// streamRun is a run of a fed stream, with doublers for scorers, whose output goes into a
// pipe.
type streamRun struct {
	in   *fedStream
	out  *io.PipeReader
	done chan error
}

func startStream(ctx context.Context, in *fedStream, workers int, fail func(int64) error) *streamRun {
	schema := arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.PrimitiveTypes.Int64}}, nil)
	r, w := io.Pipe()
	data := dataset.OfStream(StreamName, schema) //nolint:contextcheck // it has no file to open or read
	plan := &Plan{
		Options: Options{
			BatchRows: 64, Workers: workers, Readers: 2, IDs: []string{"id"}, MaxRejects: in.most, Output: StreamName,
			Piped: Piped{In: in, Out: w, Rejects: NoRejects},
		},
		Dataset: data, Parts: data.Parts(500), Columns: []string{"id"},
		Passed: schema.Fields(), PassedAt: []int{0}, passedSchema: schema,
		Binding: &batcher.Plan{Columns: []string{"id"}}, waitingRows: rowGroupRows, stopping: &stopping{},
	}
	c := plan.newCollector(nil, &Progress{})
	c.stream, c.streamRejects = plan.newStreamOut(), &streamRejects{}
	number := &atomic.Int64{}
	p := &pipeline{plan: plan, progress: c.progress, collector: c}
	p.newScorer = func() scorer { return &doubler{seed: 1, fail: fail, number: number} }
	s := &streamRun{in: in, out: r, done: make(chan error, 1)}
	go func() {
		err := p.runStream(ctx, in, c.stream)
		if err == nil {
			var total ledger.Rows
			if total, err = c.reconcile(); err == nil && total.Written() != c.stream.rows {
				err = fmt.Errorf("%d rows are accounted for and %d written", total.Written(), c.stream.rows)
			}
		}
		if err == nil {
			err = c.stream.writer.End()
		}
		c.stream.drop()
		_ = w.Close()
		s.done <- err
	}()
	return s
}

// open reads the schema of what the run writes.
func (s *streamRun) open(t *testing.T) *arrowfile.Stream {
	t.Helper()
	got, err := arrowfile.OpenStream(s.out, arrowfile.StreamOptions{})
	if err == nil {
		err = got.Want([]int{0, 1})
	}
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// check compares a record batch of the output with that of the input, whose first id is
// given: ids that end in 7 are rejected, and the prediction is twice the id.
func check(t *testing.T, got arrow.RecordBatch, first, rows int64) {
	t.Helper()
	id, double := got.Column(0).(*array.Int64).Int64Values(), got.Column(1).(*array.Int64).Int64Values()
	var want []int64
	for i := first; i < first+rows; i++ {
		if i%10 != 7 {
			want = append(want, i)
		}
	}
	if len(id) != len(want) {
		t.Fatalf("a record batch of ids %d to %d became %d rows; want %d", first, first+rows-1, len(id), len(want))
	}
	for i := range want {
		if id[i] != want[i] || double[i] != 2*want[i] {
			t.Fatalf("row %d = %d, %d; want %d, %d", i, id[i], double[i], want[i], 2*want[i])
		}
	}
}

// Each record batch becomes one, in order, whatever its size, however many work on it, and
// whether it comes in pieces.
func TestStreamBatchForBatch(t *testing.T) {
	for n := range 8 {
		workers, piece := n/2, int64(n%2*50)
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, uint64(workers)))
			sizes := append(make([]int64, 0, 256), 0, 1, 64, 65, 1000, 0, 7)
			for range 200 {
				sizes = append(sizes, rng.Int64N(1+rng.Int64N(400)))
			}
			in := newFedStream(100, sizes...)
			in.piece = piece
			close(in.feed)
			run := startStream(t.Context(), in, workers+1, nil)
			got := run.open(t)
			defer got.Close()
			first := int64(0)
			for _, n := range sizes {
				b, err := got.Next()
				if err != nil {
					t.Fatal(err)
				}
				check(t, b, first, n)
				b.Release()
				first += n
			}
			if _, err := got.Next(); !errors.Is(err, io.EOF) {
				t.Errorf("after the last record batch: %v; want EOF", err)
			}
			if err := <-run.done; err != nil {
				t.Error(err)
			}
		})
	}
}

// What a large record batch becomes does not wait beyond a size: it goes out as several.
func TestStreamOfOneLargeBatch(t *testing.T) {
	if testing.Short() {
		t.Skip("slow, and shorter streams run the same at once")
	}
	const rows, piece = 3_000_000, 100_000 // of 16 bytes; a tenth is rejected
	synctest.Test(t, func(t *testing.T) {
		in := newFedStream(100, rows)
		in.piece = piece
		close(in.feed)
		run := startStream(t.Context(), in, 2, nil)
		got := run.open(t)
		defer got.Close()
		batches, first := 0, int64(0)
		for {
			b, err := got.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			n := b.NumRows() / 9 * 10
			check(t, b, first, n)
			b.Release()
			first += n
			batches++
		}
		if first != rows || batches != 2 {
			t.Errorf("%d rows in %d record batches; want %d in 2, of 32 MiB and of the rest", first, batches, rows)
		}
		if err := <-run.done; err != nil {
			t.Error(err)
		}
	})
}

// Where more rows are bad than may be, what was written ends with a record batch before,
// and nothing that comes behind is written, whoever else is at work.
func TestStreamEndsBeforeAGap(t *testing.T) {
	for i := range 60 {
		sizes := slices.Repeat([]int64{10}, 40) // of which one row each is rejected
		in := newFedStream(100, sizes...)
		in.most = int64(i % 20)
		close(in.feed)
		run := startStream(t.Context(), in, 16, nil)
		got, err := arrowfile.OpenStream(run.out, arrowfile.StreamOptions{})
		if err == nil {
			err = got.Want([]int{0, 1})
		}
		written := int64(0)
		for err == nil {
			var b arrow.RecordBatch
			if b, err = got.Next(); err == nil {
				check(t, b, 10*written, 10)
				b.Release()
				written++
			}
		}
		if written > in.most {
			t.Errorf("%d record batches were written, each with a bad row, and %d were allowed", written, in.most)
		}
		if got != nil {
			got.Close()
		}
		if err := <-run.done; !errors.Is(err, ErrBadRows) {
			t.Errorf("the run ends with %v; want ErrBadRows", err)
		}
	}
}

// What could not be read is the end: nobody reads on behind it before the run has ended.
func TestStreamIsNotReadBehindAnError(t *testing.T) {
	in := newFedStream(100)
	in.fail = errors.New("reset by peer")
	close(in.feed)
	c := &streamCrew{pipeline: &pipeline{progress: &Progress{}}, stream: in, most: 1000}
	c.changed.L = &c.mu
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.mayRead() {
		t.Fatal("nothing may be read before the first record batch")
	}
	if err := c.read(t.Context()); !errors.Is(err, in.fail) || c.mayRead() {
		t.Errorf("read() = %v, and may be called again: %t; want %v, and never again", err, c.mayRead(), in.fail)
	}
}

// What came goes out before anything else comes: otherwise this would wait for ever.
func TestStreamGoesOutAtOnce(t *testing.T) {
	for _, workers := range []int{1, 3} {
		synctest.Test(t, func(t *testing.T) {
			in := newFedStream(100)
			run := startStream(t.Context(), in, workers, nil)
			var got *arrowfile.Stream
			first := int64(0)
			for _, n := range []int64{1, 300, 0, 5} {
				in.feed <- n
				if got == nil {
					got = run.open(t)
				}
				b, err := got.Next()
				if err != nil {
					t.Fatal(err)
				}
				check(t, b, first, n)
				b.Release()
				first += n
			}
			close(in.feed)
			if _, err := got.Next(); !errors.Is(err, io.EOF) {
				t.Errorf("at the end: %v; want EOF", err)
			}
			got.Close()
			if err := <-run.done; err != nil {
				t.Error(err)
			}
		})
	}
}

// While nobody reads the output little of the input is read, and then all of it.
func TestStreamHoldsTheWriterUp(t *testing.T) {
	const batches = 8 * maxIntakes
	tests := []struct {
		name       string
		rows, each int64 // of a record batch
		most       int64 // record batches that may be read
	}{
		{"tiny record batches are bounded by number", 1, 100, maxIntakes + 4},
		{"large ones by their bytes", 1, heldBytes / 8, 8 + 4},
		{"and by their rows", rowGroupRows / 4, 100, 4*5 + 4},
	}
	if testing.Short() {
		tests = tests[:1]
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := int64(batches)
				if test.rows > 1 {
					n = 60
				}
				in := newFedStream(test.each)
				in.feed = make(chan int64, n)
				for range n {
					in.feed <- test.rows
				}
				close(in.feed)
				run := startStream(t.Context(), in, 4, nil)
				time.Sleep(time.Hour) // of the bubble: until everybody waits
				synctest.Wait()
				if given := in.given.Load(); given < 1 || given > test.most {
					t.Errorf("%d record batches were read of which none was taken; want 1 to %d", given, test.most)
				}
				got := run.open(t)
				defer got.Close()
				for range n {
					b, err := got.Next()
					if err != nil {
						t.Fatal(err)
					}
					b.Release()
				}
				if _, err := got.Next(); !errors.Is(err, io.EOF) {
					t.Errorf("at the end: %v; want EOF", err)
				}
				if err := <-run.done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A run that fails ends with its cause and without an end mark, whoever waits for what.
func TestStreamFails(t *testing.T) {
	broken := errors.New("broken")
	tests := []struct {
		name   string
		change func(in *fedStream) (fail func(int64) error)
		cancel bool
		reads  bool // the output is read
	}{
		{"the input breaks off", func(in *fedStream) func(int64) error { in.fail = broken; close(in.feed); return nil }, false, true},
		{"a batch cannot be scored while the input waits", func(*fedStream) func(int64) error {
			return func(n int64) error {
				if n == 3 {
					time.Sleep(time.Hour) // until the others have read on
					return broken
				}
				return nil
			}
		}, false, true},
		{"the run is stopped while the input waits", func(*fedStream) func(int64) error { return nil }, true, true},
		{"the run is stopped while the output waits", func(*fedStream) func(int64) error { return nil }, true, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in := newFedStream(100, 100, 100, 100, 100)
				fail := test.change(in)
				ctx, cancel := context.WithCancelCause(t.Context())
				run := startStream(ctx, in, 3, fail)
				read := make(chan error, 1)
				go func() {
					var err error
					if test.reads {
						err = readToEnd(run.out)
					}
					read <- err
				}()
				if test.cancel {
					synctest.Wait()
					cancel(broken)
					// What Plan.Run does; an io.Pipe has no deadline.
					_ = in.SetDeadline(time.Time{})
					if !test.reads {
						_ = run.out.CloseWithError(broken)
					}
				}
				if err := <-run.done; !errors.Is(err, broken) {
					t.Errorf("the run: %v; want %v", err, broken)
				}
				if err := <-read; test.reads && !errors.Is(err, format.ErrDamaged) {
					t.Errorf("its reader: %v; want ErrDamaged", err)
				}
				cancel(nil)
			})
		})
	}
}

// readToEnd reads a stream; nil says that it has an end mark.
func readToEnd(in io.Reader) error {
	s, err := arrowfile.OpenStream(in, arrowfile.StreamOptions{})
	if err == nil {
		defer s.Close()
		err = s.Want([]int{0, 1})
	}
	for err == nil {
		var b arrow.RecordBatch
		if b, err = s.Next(); err == nil {
			b.Release()
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// A stream of empty record batches alone has as many, and a schema, though nothing tells
// what predictions look like.
func TestStreamWithoutRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newFedStream(10, 0, 0)
		close(in.feed)
		run := startStream(t.Context(), in, 2, nil)
		got, err := arrowfile.OpenStream(run.out, arrowfile.StreamOptions{})
		if err == nil {
			err = got.Want([]int{0})
		}
		if err != nil {
			t.Fatal(err)
		}
		defer got.Close()
		for range 2 {
			b, err := got.Next()
			if err != nil {
				t.Fatal(err)
			}
			if b.NumRows() != 0 {
				t.Errorf("%d rows; want 0", b.NumRows())
			}
			b.Release()
		}
		if _, err := got.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("at the end: %v; want EOF", err)
		}
		if err := <-run.done; err != nil {
			t.Error(err)
		}
	})
}
