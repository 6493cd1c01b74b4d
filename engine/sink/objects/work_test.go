package objects

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"time"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
)

// work is a run of made parts, whose bytes their numbers say.
type work struct {
	output   string
	single   bool
	folders  bool // parts have a file in each of two folders
	ifExists ledger.IfExists
	job      string
	parts    int
	large    int // of the parts, those that are uploaded in pieces
	restart  bool
}

// content is what a file has: large ones are more than an upload has in memory.
func content(job, name string, large bool) []byte {
	size := 1 << 10
	if large {
		size = 2*pieceBytes + 1<<20
	}
	h := uint64(len(name))
	for _, r := range job + name {
		h = h*31 + uint64(r)
	}
	b := make([]byte, size)
	random := rand.New(rand.NewPCG(h, 1))
	for i := 0; i < len(b); i += 512 {
		b[i] = byte(random.Uint32())
	}
	return b
}

func (w *work) options(run string) sink.Options {
	o := sink.Options{StageOptions: ledger.StageOptions{
		Output: w.output, Single: w.single, Pieces: w.single && w.parts > 1, IfExists: w.ifExists, RunID: run, Ext: ".parquet", Restart: w.restart,
		Job: &ledger.Job{Facts: []ledger.Fact{{Name: "job", Value: w.job}}},
	}, Parts: w.parts}
	if w.folders {
		o.PartitionBy = []string{"k"}
	}
	return o
}

// want is what the output should have, by name.
func (w *work) want(first int) map[string][]byte {
	want := map[string][]byte{}
	for i := range w.parts {
		for _, name := range w.names(first + i) {
			want[name] = content(w.job, fmt.Sprint(i, path.Dir(name)), i < w.large)
		}
	}
	if w.single {
		whole := make([]byte, 0, 4*pieceBytes)
		for i := range w.parts {
			whole = append(whole, content(w.job, fmt.Sprint(i, "."), i < w.large)...)
		}
		want = map[string][]byte{path.Base(w.output): whole}
	}
	return want
}

func (w *work) names(number int) []string {
	name := fmt.Sprintf("part-%05d.parquet", number)
	if w.folders {
		return []string{"k=a/" + name, "k=b/" + name}
	}
	return []string{name}
}

// run does all of it, as a command does, and returns which parts it wrote and recorded.
func (w *work) run(ctx context.Context, d *Destination) (run string, wrote []int, err error) {
	run = ledger.NewRunID(time.Now())
	d.Early = &Early{}
	defer d.Early.Close()
	if err := d.Held(ctx, w.output); err != nil {
		return run, nil, err
	}
	staged, err := d.Stage(ctx, w.options(run))
	if err != nil {
		return run, nil, err
	}
	s := staged.(*staging)
	if wrote, err = w.write(s); err == nil { //nolint:contextcheck // a Staging has the run's context
		err = s.Publish(w.manifest()) //nolint:contextcheck // a Staging has the run's context
	}
	if err == nil {
		return run, wrote, s.Discard() //nolint:contextcheck // a Staging has the run's context
	}
	_, suspended := s.Suspend("test") //nolint:contextcheck // a Staging has the run's context
	s.mu.Lock()
	defer s.mu.Unlock()
	wrote = slices.DeleteFunc(wrote, func(i int) bool { return !s.mu.parts[i].done }) // the last one may not be recorded
	return run, wrote, errors.Join(err, suspended)
}

// write stages all parts that are not there.
func (w *work) write(s *staging) (wrote []int, err error) {
	if err := s.Loading(); err != nil {
		return nil, err
	}
	if err := s.Loaded(); err != nil {
		return nil, err
	}
	if err := s.Begin(json.RawMessage("{}")); err != nil {
		return nil, err
	}
	done := map[int]bool{}
	if t := s.Taken(); t != nil {
		for _, p := range t.Parts {
			done[p.Part] = true
		}
	}
	for i := range w.parts {
		if done[i] {
			continue
		}
		if err := s.Enter(i); err != nil {
			return wrote, err
		}
		outputs, err := w.writePart(s, i)
		if err != nil {
			return wrote, err
		}
		if err := s.Record(ledger.PartRecord{Part: i, Outputs: outputs, Rows: rowsOf(i)}); err != nil {
			return wrote, err
		}
		wrote = append(wrote, i)
	}
	if w.single && w.parts > 1 {
		return wrote, w.join(s)
	}
	return wrote, nil
}

func rowsOf(int) ledger.Rows { return ledger.Rows{Read: 10, Scored: 10} }

func (w *work) writePart(s *staging, i int) ([]ledger.Output, error) {
	if !w.folders {
		f, err := s.Part(i)
		if err != nil {
			return nil, err
		}
		if _, err := f.Write(content(w.job, fmt.Sprint(i, "."), i < w.large)); err != nil {
			return nil, errors.Join(err, f.Abort())
		}
		o, err := f.Commit(10)
		return []ledger.Output{o}, err
	}
	files, err := s.PartFiles(i)
	if err != nil {
		return nil, err
	}
	for _, folder := range []string{"k=a", "k=b"} {
		f, err := files.Create(folder)
		if err != nil {
			return nil, errors.Join(err, files.Abort())
		}
		if _, err := f.Write(content(w.job, fmt.Sprint(i, folder), i < w.large)); err != nil {
			return nil, errors.Join(err, files.Abort())
		}
		if err := files.End(5); err != nil {
			return nil, errors.Join(err, files.Abort())
		}
	}
	return files.Commit(10)
}

func (w *work) join(s *staging) error {
	whole, err := s.Whole()
	if err != nil {
		return err
	}
	for i := range w.parts {
		err := func() error {
			name, err := s.PiecePath(i)
			if err != nil {
				return err
			}
			return copyFrom(whole, name)
		}()
		if err != nil {
			return errors.Join(err, whole.Abort())
		}
	}
	_, err = whole.Commit(int64(10 * w.parts))
	return err
}

func (w *work) manifest() *ledger.Manifest {
	m := &ledger.Manifest{Settings: map[string]any{}, Model: ledger.ModelFile{Path: "m.onnx"}, Schema: []ledger.Column{{Name: "a", Type: "int64"}}}
	for i := range w.parts {
		m.Parts = append(m.Parts, rowsOf(i))
	}
	m.Ledger = ledger.Sum(m.Parts)
	m.Inputs = []ledger.Input{{Path: "in.parquet", Rows: m.Ledger.Read, Ledger: m.Ledger}}
	return m
}

func copyFrom(to io.Writer, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(to, f)
	return err
}
