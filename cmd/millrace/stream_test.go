package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/io/arrowfile"
	"github.com/millrace/millrace/io/format"
)

// piped is a process of millrace between two pipes.
type piped struct {
	cmd    *exec.Cmd
	in     *arrowfile.StreamWriter
	to     *os.File
	from   *os.File
	stderr bytes.Buffer
}

// pipedDeadline ends a test that would wait for ever.
const pipedDeadline = time.Minute

func startPiped(t *testing.T, schema *arrow.Schema, args ...string) *piped {
	t.Helper()
	return startPipedModel(t, t.TempDir(), "named.onnx", schema, args...)
}

// startPipedModel is startPiped by another of the fixtures' models, which are put into dir.
func startPipedModel(t *testing.T, dir, model string, schema *arrow.Schema, args ...string) *piped {
	t.Helper()
	writeFixtures(t, dir)
	program, env := programIn(t, dir)
	stdin, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, stdout, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &piped{to: to, from: from}
	p.cmd = exec.CommandContext(t.Context(), program, append([]string{"score", "--model", filepath.Join(dir, model), "--input", "-", "--output", "-", "--ids", "id", "--quiet"}, args...)...)
	p.cmd.Env, p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = env, stdin, stdout, &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(stdin.Close(), stdout.Close(), from.SetReadDeadline(time.Now().Add(pipedDeadline)), to.SetWriteDeadline(time.Now().Add(pipedDeadline))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = to.Close(), from.Close() })
	if p.in, err = arrowfile.StartStream(to, schema, format.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	return p
}

// send writes a record batch.
func (p *piped) send(t *testing.T, batch arrow.RecordBatch) {
	t.Helper()
	if err := errors.Join(p.in.Write(batch), p.in.Flush()); err != nil {
		t.Fatal(err)
	}
}

// code waits for the process.
func (p *piped) code(t *testing.T) int {
	t.Helper()
	err := p.cmd.Wait()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatal(err)
	}
	return p.cmd.ProcessState.ExitCode()
}

// sums are record batches that the model of fixtures scores, and what it makes of them.
func sums(t *testing.T, rows ...int) (batches []arrow.RecordBatch) {
	t.Helper()
	three := record(t, arrow.PrimitiveTypes.Float32, nil)
	defer three.Release()
	for _, n := range rows {
		batches = append(batches, three.NewSlice(0, int64(n)))
	}
	t.Cleanup(func() {
		for _, b := range batches {
			b.Release()
		}
	})
	return batches
}

// The schema is there before a record batch is, and each record batch comes back before
// the next is sent; the end comes though the pipe stays open.
func TestPipedBatchForBatch(t *testing.T) {
	batches := sums(t, 1, 0, 3, 2)
	p := startPiped(t, batches[0].Schema())
	out, err := arrowfile.OpenStream(p.from, arrowfile.StreamOptions{})
	if err == nil {
		err = out.Want([]int{0, 1})
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, &p.stderr)
	}
	defer out.Close()
	for _, b := range batches {
		p.send(t, b)
		got, err := out.Next()
		if err != nil {
			t.Fatalf("%v\n%s", err, &p.stderr)
		}
		if !array.Equal(got.Column(0), b.Column(0)) {
			t.Errorf("ids = %v; want %v", got.Column(0), b.Column(0))
		}
		for i, y := range got.Column(1).(*array.Float32).Float32Values() {
			if want := b.Column(1).(*array.Float32).Value(i) + b.Column(2).(*array.Float32).Value(i); y != want {
				t.Errorf("row %d: y = %v; want %v", i, y, want)
			}
		}
		got.Release()
	}
	if err := p.in.End(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v; want EOF", err)
	}
	if code := p.code(t); code != exitOK || p.stderr.Len() > 0 {
		t.Errorf("exit %d, stderr %q; want 0 and nothing", code, &p.stderr)
	}
}

// Weights beside the model that are written to while rows are scored end the run, since ONNX
// Runtime maps them; a file that takes their place does not.
func TestWeightsUnderTheRun(t *testing.T) {
	for name, c := range map[string]struct {
		change func(weights string) error
		code   int
	}{
		"written to": {func(weights string) error {
			later := time.Now().Add(time.Second)
			return errors.Join(os.WriteFile(weights, []byte{0, 0, 0, 64, 0, 0, 0, 64}, 0o600), os.Chtimes(weights, later, later))
		}, exitModel},
		"replaced": {func(weights string) error {
			return errors.Join(os.WriteFile(weights+".new", []byte{0, 0, 0, 64, 0, 0, 0, 64}, 0o600), os.Rename(weights+".new", weights))
		}, exitOK},
	} {
		t.Run(name, func(t *testing.T) {
			dir, batch := t.TempDir(), sums(t, 3)[0]
			p := startPipedModel(t, dir, "external.onnx", batch.Schema(), "--features", "a,b")
			out, err := arrowfile.OpenStream(p.from, arrowfile.StreamOptions{})
			if err == nil {
				err = out.Want([]int{0, 1})
			}
			if err != nil {
				t.Fatalf("%v\n%s", err, &p.stderr)
			}
			defer out.Close()
			p.send(t, batch)
			got, err := out.Next()
			if err != nil {
				t.Fatalf("%v\n%s", err, &p.stderr)
			}
			got.Release()
			if err := errors.Join(c.change(filepath.Join(dir, "weights.bin")), p.in.End()); err != nil {
				t.Fatal(err)
			}
			_, err = out.Next()
			if code := p.code(t); code != c.code || errors.Is(err, io.EOF) != (code == exitOK) || strings.Contains(p.stderr.String(), "weights.bin") != (code != exitOK) {
				t.Errorf("exit %d, the stream ends with %v, stderr %q; want exit %d", code, err, &p.stderr, c.code)
			}
		})
	}
}

// A signal ends a run that waits for its input, or for whoever reads its output, without
// an end mark.
func TestPipedSignals(t *testing.T) {
	for name, send := range map[string]int{"that waits for its input": 1, "whose reader does not read": 200_000} {
		for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
			t.Run(name+" by "+signal.String(), func(t *testing.T) {
				batch := sums(t, 3)[0]
				p := startPiped(t, batch.Schema())
				head := make([]byte, 8) // of the schema: it is at work
				if _, err := io.ReadFull(p.from, head); err != nil {
					t.Fatalf("%v\n%s", err, &p.stderr)
				}
				sent := make(chan struct{})
				go func() { // until the pipes are full
					defer close(sent)
					for range send {
						if p.in.Write(batch) != nil || p.in.Flush() != nil {
							return
						}
					}
				}()
				if send == 1 {
					<-sent
				} else {
					waitForFullPipe(t, p.to)
				}
				if err := p.cmd.Process.Signal(signal); err != nil {
					t.Fatal(err)
				}
				if code := p.code(t); code != exitInterrupted || !strings.Contains(p.stderr.String(), "interrupted by SIG") {
					t.Errorf("exit %d, stderr %q; want %d, and what interrupted", code, &p.stderr, exitInterrupted)
				}
				rest, err := io.ReadAll(p.from)
				if err != nil {
					t.Fatal(err)
				}
				if bytes.HasSuffix(rest, []byte(arrowfile.EndMark)) {
					t.Error("the stream has an end mark")
				}
				<-sent
			})
		}
	}
}

// waitForFullPipe waits until nobody takes from a pipe any more, which is full then.
func waitForFullPipe(t *testing.T, end *os.File) {
	t.Helper()
	before := -1
	for range int(pipedDeadline / (50 * time.Millisecond)) {
		held, err := unix.IoctlGetInt(int(end.Fd()), unix.TIOCINQ)
		if err != nil {
			t.Fatal(err)
		}
		if held == before && held > 1<<16 {
			return
		}
		before = held
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the pipe is not full")
}

// The examples of docs/streams.md do what they say: the same as a file's run.
func TestStreamExamples(t *testing.T) {
	slow(t)
	python := pythonOfPeers(t)
	dir := t.TempDir()
	_, env := programIn(t, dir)
	data, err := filepath.Abs("../../testdata/flights-sample.parquet")
	if err != nil {
		t.Fatal(err)
	}
	model, err := filepath.Abs("../../models/reference/flights_gbdt.onnx")
	if err != nil {
		t.Fatal(err)
	}
	python, err = filepath.Abs(python)
	if err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), python, args...)
		cmd.Env = slices.Concat(env, []string{"PATH=" + dir + ":" + os.Getenv("PATH")})
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	examples, err := filepath.Abs("../../docs/examples")
	if err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs("testdata/streams.py")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := run(filepath.Join(examples, "stream_duckdb.py"), model, data), "(50000, 50000, 6.659)\n"; got != want {
		t.Errorf("stream_duckdb.py: %q; want %q", got, want)
	}
	if got := run(script, examples, model, data); !strings.HasSuffix(got, "sound\n") {
		t.Errorf("streams.py: %s", got)
	}
}
