package arrowfile

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/millrace/millrace/io/format"
)

// streamed reads a whole stream; the batches are released with the test.
func streamed(t *testing.T, in io.Reader, columns ...int) ([]arrow.RecordBatch, error) {
	t.Helper()
	s, err := OpenStream(in, StreamOptions{Allocator: checkedAllocator(t)})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return given(t, s, columns...)
}

// given are the record batches of a stream, or their pieces; they are released with the test.
func given(t *testing.T, s *Stream, columns ...int) ([]arrow.RecordBatch, error) {
	t.Helper()
	if columns == nil {
		for i := range s.Schema().NumFields() {
			columns = append(columns, i)
		}
	}
	if err := s.Want(columns); err != nil {
		t.Fatal(err)
	}
	var batches []arrow.RecordBatch
	t.Cleanup(func() {
		for _, b := range batches {
			b.Release()
		}
	})
	for {
		b, err := s.Next()
		if errors.Is(err, io.EOF) {
			return batches, nil
		}
		if err != nil {
			return batches, err
		}
		batches = append(batches, b)
	}
}

// streamSeeds are the streams that pyarrow wrote, by name.
func streamSeeds(tb testing.TB) map[string][]byte {
	tb.Helper()
	all := seeds(tb)
	for name, data := range all {
		if bytes.HasPrefix(data, []byte(magic)) {
			delete(all, name)
		}
	}
	if len(all) < 3 {
		tb.Fatalf("testdata/pyarrow has %d streams", len(all))
	}
	return all
}

// dribble gives a reader's bytes a few at a time, as a pipe may.
type dribble struct{ io.Reader }

func (d dribble) Read(b []byte) (int, error) { return d.Reader.Read(b[:min(len(b), 7)]) }

// A stream that is read as it comes gives what the reader of files gives, whose values
// pyarrow's own say (expected_test.go): delta and replaced dictionaries, codecs, types.
func TestStreamIsAsTheFile(t *testing.T) {
	for name, data := range streamSeeds(t) {
		t.Run(name, func(t *testing.T) {
			want := batchesOf(t, mustOpen(t, "testdata/pyarrow/"+name, format.ReadOptions{ChunkRows: 1 << 20}))
			got, err := streamed(t, dribble{bytes.NewReader(data)})
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(want) {
				t.Fatalf("%d batches; want %d", len(got), len(want))
			}
			for i := range want {
				if !array.RecordEqual(got[i], want[i]) {
					t.Errorf("batch %d = %v; want %v", i, got[i], want[i])
				}
			}
		})
	}
}

// cutSeeds are streamSeeds, and streams of those of pyarrow's columns that are read in pieces.
func cutSeeds(tb testing.TB) map[string][]byte {
	tb.Helper()
	all := streamSeeds(tb)
	r, err := Open("testdata/pyarrow/all.arrow", format.ReadOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	var columns []int
	for i, f := range r.Schema().Fields() {
		if inPieces(f.Type) && !hasDictionary(f.Type) {
			columns = append(columns, i)
		}
	}
	if len(columns) < 20 {
		tb.Fatalf("%d columns are read in pieces", len(columns))
	}
	for _, codec := range []string{"none", "lz4", "zstd"} {
		var to bytes.Buffer
		var w *StreamWriter
		for span := range r.Spans() {
			err := r.ReadSpan(tb.Context(), span, columns, func(b arrow.RecordBatch) (err error) {
				if w == nil {
					w, err = StartStream(&to, b.Schema(), format.WriteOptions{Compression: codec})
				}
				return errors.Join(err, w.Write(b))
			})
			if err != nil {
				tb.Fatal(err)
			}
		}
		if err := w.End(); err != nil {
			tb.Fatal(err)
		}
		all["cut-"+codec] = to.Bytes()
	}
	return all
}

func hasDictionary(t arrow.DataType) bool {
	if t.ID() == arrow.DICTIONARY {
		return true
	}
	if e, ok := t.(arrow.ExtensionType); ok {
		return hasDictionary(e.StorageType())
	}
	nested, ok := t.(arrow.NestedType)
	return ok && slices.ContainsFunc(nested.Fields(), func(f arrow.Field) bool { return hasDictionary(f.Type) })
}

// Record batches that are large go through a file, and come in pieces, with the same rows;
// such as have dictionaries come whole.
func TestStreamGivesLargeBatchesInPieces(t *testing.T) {
	pieces := 0
	for name, data := range cutSeeds(t) {
		t.Run(name, func(t *testing.T) {
			want, err := streamed(t, bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			s, err := OpenStream(dribble{bytes.NewReader(data)}, StreamOptions{Allocator: checkedAllocator(t), HeldBytes: 1, ChunkBytes: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			got, err := given(t, s)
			if err != nil {
				t.Fatal(err)
			}
			if s.batches != len(want) {
				t.Errorf("%d record batches; want %d", s.batches, len(want))
			}
			for i, w := range want {
				for from := int64(0); from < w.NumRows() || from == 0; {
					if len(got) == 0 {
						t.Fatalf("nothing from row %d of batch %d on", from, i)
					}
					piece := got[0]
					got = got[1:]
					part := w.NewSlice(from, min(from+piece.NumRows(), w.NumRows()))
					if !array.RecordEqual(piece, part) {
						t.Errorf("batch %d from row %d: %v; want %v", i, from, piece, part)
					}
					part.Release()
					if from += piece.NumRows(); from < w.NumRows() {
						pieces++
					}
					if piece.NumRows() == 0 {
						break
					}
				}
			}
			if len(got) > 0 {
				t.Errorf("%d batches more", len(got))
			}
		})
	}
	if pieces < 10 {
		t.Errorf("%d pieces in all: nothing came in pieces", pieces)
	}
}

// Every column alone is what it is beside all others.
func TestStreamGivesTheColumnsWanted(t *testing.T) {
	for name, data := range streamSeeds(t) {
		all, err := streamed(t, bytes.NewReader(data))
		if err != nil || len(all) == 0 {
			t.Fatalf("%s: %d batches, %v", name, len(all), err)
		}
		for c := range int(all[0].NumCols()) {
			got, err := streamed(t, bytes.NewReader(data), c)
			if err != nil {
				t.Fatalf("%s: column %d: %v", name, c, err)
			}
			for i := range all {
				if got[i].NumCols() != 1 || !array.Equal(got[i].Column(0), all[i].Column(c)) {
					t.Errorf("%s: batch %d, column %d alone = %v; want %v", name, i, c, got[i], all[i].Column(c))
				}
			}
		}
	}
}

// Wherever a stream is cut, it has no end, and what came before is given.
func TestStreamWithoutEnd(t *testing.T) {
	for name, data := range streamSeeds(t) {
		whole, err := streamed(t, bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		for cut := 1; cut < len(data); cut += 1 + cut/64 {
			got, err := streamed(t, bytes.NewReader(data[:cut]))
			if !errors.Is(err, ErrNoEnd) || !errors.Is(err, format.ErrDamaged) {
				t.Fatalf("%s cut at byte %d of %d: %v; want ErrNoEnd", name, cut, len(data), err)
			}
			if len(got) > len(whole) {
				t.Fatalf("%s cut at byte %d: %d batches of %d", name, cut, len(got), len(whole))
			}
		}
	}
}

func TestStreamRefuses(t *testing.T) {
	all := seeds(t)
	stream := all["all.stream"]
	tests := []struct {
		name string
		data []byte
		want error
		says string
	}{
		{"nothing at all", nil, format.ErrDamaged, "empty"},
		{"a file where a stream is wanted", all["all.arrow"], format.ErrUnsupported, "Arrow IPC file and not a stream"},
		{"Parquet", []byte("PAR1\x15\x04\x15\x10"), format.ErrUnsupported, "Parquet"},
		{"a stream within gzip", []byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"), format.ErrUnsupported, "by gzip; decompress it first"},
		{"a stream within zstd", []byte("\x28\xb5\x2f\xfd\x04\x00\x01\x00\x00\x00"), format.ErrUnsupported, "by zstd; decompress it first"},
		{"text", []byte("id,score\n1,2\n"), format.ErrDamaged, `it starts with "id,score"`},
		{"two streams in one input", append(bytes.Clone(stream), stream...), format.ErrUnsupported, "several streams"},
		{"one byte after the end", append(bytes.Clone(stream), 1), format.ErrUnsupported, "follow the end"},
		{"an end and nothing before it", []byte(EndMark), format.ErrDamaged, "must start with a schema"},
		{"integers as polars has them", integersOf128Bits(t), format.ErrUnsupported, `field "wide": file uses an unsupported feature: integers of 128 bits`},
		{"metadata of 2 GiB that never come", []byte("\xff\xff\xff\xff\xff\xff\xff\x7f"), format.ErrUnsupported, "metadata"},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			if _, err := streamed(t, bytes.NewReader(c.data)); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v; want %v that says %q", err, c.want, c.says)
			}
		})
	}
}

// integersOf128Bits is a stream's schema of such a column: that of int64 with another width.
func integersOf128Bits(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := ipc.NewWriter(&b, ipc.WithSchema(arrow.NewSchema([]arrow.Field{{Name: "wide", Type: arrow.PrimitiveTypes.Int64}}, nil)))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	is, wide := []byte{64, 0, 0, 0}, []byte{128, 0, 0, 0}
	if n := bytes.Count(b.Bytes(), is); n != 1 {
		t.Fatalf("64 stands %d times in the schema", n)
	}
	return bytes.Replace(b.Bytes(), is, wide, 1)
}

// Padding may follow the end.
func TestStreamPadding(t *testing.T) {
	for name, data := range streamSeeds(t) {
		if _, err := streamed(t, bytes.NewReader(append(bytes.Clone(data), make([]byte, 100)...))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A message that says it is larger than allowed is refused before memory is taken for it,
// and one that says more than comes takes little more than what came.
func TestStreamMessageBudget(t *testing.T) {
	var buf bytes.Buffer
	batch := everyBatch(t)
	w, err := StartStream(&buf, batch.Schema(), format.WriteOptions{})
	if err == nil {
		err = errors.Join(w.Write(batch), w.End())
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := OpenStream(bytes.NewReader(buf.Bytes()), StreamOptions{Allocator: checkedAllocator(t), MessageBytes: 100})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Want([]int{0}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Next(); !errors.Is(err, format.ErrBudget) {
		t.Errorf("a message beyond the budget: %v; want ErrBudget", err)
	}
	mem := checkedAllocator(t)
	p := &bodies{mem: mem, limit: 1 << 40}
	defer p.close()
	if _, err := p.receive(bytes.NewReader(make([]byte, 100)), 1<<39); !errors.Is(err, ErrNoEnd) {
		t.Errorf("a body that does not come: %v; want ErrNoEnd", err)
	}
	if held := mem.CurrentAlloc(); held > 2*firstBytes {
		t.Errorf("%d bytes are held for a body of which 100 came", held)
	}
}

// A large body leaves little garbage on its way.
func TestBodiesAreMovedOnce(t *testing.T) {
	const size = 40 << 20
	mem := &allocated{Allocator: checkedAllocator(t)}
	p := &bodies{mem: mem, limit: size}
	defer p.close()
	body, err := p.receive(bytes.NewReader(make([]byte, size)), size)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Release()
	if mem.bytes > size+firstBytes {
		t.Errorf("%d bytes were allocated for a body of %d", mem.bytes, size)
	}
}

// allocated counts what is ever allocated.
type allocated struct {
	memory.Allocator

	bytes int
}

func (a *allocated) Allocate(size int) []byte {
	a.bytes += size
	return a.Allocator.Allocate(size)
}

// What is written to a stream can be read before its end: the schema at once, each batch
// when it is written, and the end mark only at End.
func TestStreamWriterFlushes(t *testing.T) {
	var buf bytes.Buffer
	batch := everyBatch(t)
	w, err := StartStream(&buf, batch.Schema(), format.WriteOptions{Compression: "zstd", Allocator: checkedAllocator(t)})
	if err != nil {
		t.Fatal(err)
	}
	in, out := io.Pipe()
	defer in.Close()
	s := make(chan *Stream, 1)
	go func() {
		opened, err := OpenStream(in, StreamOptions{})
		if err != nil {
			t.Error(err)
		}
		s <- opened
	}()
	passed := 0
	pass := func() { // a pipe's Write ends when all is read, but for what is read ahead
		fresh := buf.Bytes()[passed:]
		passed = buf.Len()
		go func() {
			if _, err := out.Write(fresh); err != nil {
				t.Error(err)
			}
		}()
	}
	pass()
	opened := <-s // before there is a batch
	if opened == nil {
		t.Fatal("no schema")
	}
	defer opened.Close()
	if !opened.Schema().Equal(batch.Schema()) {
		t.Errorf("schema = %v; want %v", opened.Schema(), batch.Schema())
	}
	if err := opened.Want([]int{0, 1}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := errors.Join(w.Write(batch), w.Flush()); err != nil {
			t.Fatal(err)
		}
		pass()
		got, err := opened.Next() // before the next is written
		if err != nil {
			t.Fatal(err)
		}
		got.Release()
		if bytes.HasSuffix(buf.Bytes(), []byte(EndMark)) {
			t.Error("an end mark before End")
		}
	}
	if err := w.End(); err != nil {
		t.Fatal(err)
	}
	if !bytes.HasSuffix(buf.Bytes(), []byte(EndMark)) {
		t.Error("no end mark after End")
	}
	go func() {
		_, _ = out.Write(buf.Bytes()[passed:])
		_ = out.Close()
	}()
	if _, err := opened.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v; want EOF", err)
	}
}

// A stream that is dropped, or whose writer failed, has no end mark.
func TestStreamWriterDrop(t *testing.T) {
	var buf bytes.Buffer
	batch := everyBatch(t)
	w, err := StartStream(&buf, batch.Schema(), format.WriteOptions{Allocator: checkedAllocator(t)})
	if err == nil {
		err = errors.Join(w.Write(batch), w.Flush(), w.Drop(), w.Drop())
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := streamed(t, &buf); !errors.Is(err, ErrNoEnd) {
		t.Errorf("a dropped stream: %v; want ErrNoEnd", err)
	}
	full := errors.New("closed")
	if _, err := StartStream(failing{full}, batch.Schema(), format.WriteOptions{}); !errors.Is(err, full) {
		t.Errorf("StartStream: %v; want %v", err, full)
	}
}

// Who writes may keep its end of the pipe open after the end mark.
func TestStreamEndsWhileThePipeIsOpen(t *testing.T) {
	for name, data := range streamSeeds(t) {
		in, out, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		defer out.Close()
		go func() { _, _ = out.Write(data) }()
		s, err := OpenStream(in, StreamOptions{Trailing: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Want(nil); err != nil {
			t.Fatal(err)
		}
		for err == nil {
			var b arrow.RecordBatch
			if b, err = s.Next(); err == nil {
				b.Release()
			}
		}
		if !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v; want EOF", name, err)
		}
		s.Close()
	}
}

// drain reads whatever comes, and looks at every value.
func drain(t *testing.T, data []byte) {
	t.Helper()
	drainBy(t, data, StreamOptions{MessageBytes: 64 << 20})
	drainBy(t, data, StreamOptions{MessageBytes: 64 << 20, HeldBytes: 1, ChunkBytes: 1})
}

func drainBy(t *testing.T, data []byte, opts StreamOptions) {
	t.Helper()
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t, 0)
	opts.Allocator = mem
	s, err := OpenStream(bytes.NewReader(data), opts)
	if err != nil {
		return
	}
	defer s.Close()
	columns := make([]int, s.Schema().NumFields())
	for i := range columns {
		columns[i] = i
	}
	if err := s.Want(columns); err != nil {
		t.Fatal(err)
	}
	for {
		b, err := s.Next()
		if err != nil {
			if b != nil {
				t.Errorf("a batch and an error: %v", err)
			}
			return
		}
		look(b)
		b.Release()
	}
}

// One flipped bit anywhere gives rows or an error, never a panic, a hang or memory that
// is not given back.
func TestStreamBitFlips(t *testing.T) {
	if testing.Short() {
		t.Skip("slow, and all in one goroutine")
	}
	for name, data := range cutSeeds(t) {
		rng := rand.New(rand.NewPCG(1, uint64(len(data))))
		for range flips {
			at, bit := rng.IntN(len(data)), byte(1)<<rng.IntN(8)
			broken := bytes.Clone(data)
			broken[at] ^= bit
			drain(t, broken)
			if t.Failed() {
				t.Fatalf("%s: byte %d, bit %#x", name, at, bit)
			}
		}
	}
}

// FuzzStream reads any bytes as they come.
//
//	go test -run '^$' -fuzz FuzzStream -fuzztime 60s -fuzzminimizetime 10x ./io/arrowfile
func FuzzStream(f *testing.F) {
	for _, data := range cutSeeds(f) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) { drain(t, data) })
}
