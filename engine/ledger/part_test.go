package ledger

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestPartAccount(t *testing.T) {
	s := stage(t, options(t))
	p, err := s.Part(0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Write([]byte("abc")); err != nil {
		t.Fatal(err)
	}
	got, err := p.Commit(7)
	// Digest: FIPS 180-2, appendix B.1.
	want := Output{
		Name: "part-00000.parquet", Bytes: 3, Rows: 7,
		SHA256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
	}
	if err != nil || got != want {
		t.Errorf("Commit() = %+v, %v; want %+v", got, err, want)
	}
	if err := p.Abort(); err != nil {
		t.Errorf("Abort() after Commit() = %v; want nil", err)
	}
	if _, err := os.Stat(filepath.Join(s.data, want.Name)); err != nil {
		t.Errorf("Abort() after Commit() removed the part: %v", err)
	}
	if _, err := p.Commit(7); !errors.Is(err, ErrDiscarded) {
		t.Errorf("second Commit() = %v; want ErrDiscarded", err)
	}
	if _, err := p.Write(nil); !errors.Is(err, ErrDiscarded) {
		t.Errorf("Write() after Commit() = %v; want ErrDiscarded", err)
	}
}

func TestPartAgainAfterAbort(t *testing.T) {
	s := stage(t, options(t))
	p, err := s.Part(3)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Part(3); err == nil {
		t.Error("Part(3) twice: want an error")
	}
	for range 2 {
		if err := p.Abort(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Part(3); err != nil {
		t.Errorf("Part(3) after Abort() = %v", err)
	}
}

func TestPartsConcurrently(t *testing.T) {
	opts := options(t)
	opts.FS = nil // faultFS is for one goroutine
	s := stage(t, opts)
	m := &Manifest{Parts: make([]Rows, 16)}
	var wg sync.WaitGroup
	for i := range m.Parts {
		wg.Go(func() {
			p, err := s.Part(i)
			if err == nil {
				err = fillAndCommit(p, byte(i), 1)
			}
			if err != nil {
				t.Error(err)
			}
		})
		m.Parts[i] = Rows{Read: 1, Scored: 1}
	}
	wg.Wait()
	m.Ledger = Rows{Read: 16, Scored: 16}
	m.Inputs = []Input{{Rows: 16, Ledger: m.Ledger}}
	if err := s.Publish(m); err != nil {
		t.Fatal(err)
	}
	for i, out := range m.Outputs {
		if out.Name != filepath.Base(out.Name) || !strings.HasPrefix(out.Name, "part-") || (i > 0 && out.Name <= m.Outputs[i-1].Name) {
			t.Errorf("output %d is named %q", i, out.Name)
		}
	}
	if _, err := s.Part(16); !errors.Is(err, ErrDiscarded) {
		t.Errorf("Part() after Publish() = %v; want ErrDiscarded", err)
	}
	for range 2 {
		if err := s.Discard(); err != nil {
			t.Errorf("Discard() after Publish() = %v", err)
		}
	}
}

func TestPublishRefusesBadAccounts(t *testing.T) {
	tests := []struct {
		name string
		set  func(t *testing.T, s *Staging, m *Manifest)
	}{
		{"a part is missing", func(t *testing.T, s *Staging, _ *Manifest) {
			t.Helper()
			part(t, s, 2)
		}},
		{"a part is not committed", func(t *testing.T, s *Staging, _ *Manifest) {
			t.Helper()
			if _, err := s.Part(1); err != nil {
				t.Fatal(err)
			}
		}},
		{"rejects are not committed", func(t *testing.T, s *Staging, _ *Manifest) {
			t.Helper()
			if _, err := s.Rejects(); err != nil {
				t.Fatal(err)
			}
		}},
		{"a part is not accounted for", func(t *testing.T, s *Staging, _ *Manifest) {
			t.Helper()
			part(t, s, 1)
		}},
		{"a row is lost", func(_ *testing.T, _ *Staging, m *Manifest) {
			m.Ledger.Scored--
		}},
		{"a file was not read to its end", func(_ *testing.T, _ *Staging, m *Manifest) {
			m.Inputs[0].Rows++
		}},
		{"parts and inputs disagree", func(_ *testing.T, _ *Staging, m *Manifest) {
			m.Inputs[0].Rows++
			m.Inputs[0].Ledger = Rows{Read: 11, Scored: 11}
		}},
		{"fewer rows were written than scored", func(_ *testing.T, _ *Staging, m *Manifest) {
			eleven := Rows{Read: 11, Scored: 11}
			m.Inputs[0].Rows, m.Inputs[0].Ledger, m.Parts[0], m.Ledger = 11, eleven, eleven, eleven
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := stage(t, options(t))
			part(t, s, 0)
			ten := Rows{Read: 10, Scored: 10}
			m := &Manifest{Inputs: []Input{{Rows: 10, Ledger: ten}}, Parts: []Rows{ten}, Ledger: ten}
			test.set(t, s, m)
			if err := s.Publish(m); !errors.Is(err, ErrAccounts) {
				t.Errorf("Publish() = %v; want ErrAccounts", err)
			}
			if got := seen(s.Output(), false); got != "absent" {
				t.Errorf("output is %s; want absent", got)
			}
		})
	}
}

// part commits a part of ten rows.
func part(t *testing.T, s *Staging, index int) {
	t.Helper()
	p, err := s.Part(index)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Commit(10); err != nil {
		t.Fatal(err)
	}
}

func TestKeepRejects(t *testing.T) {
	opts := options(t)
	opts.IfExists = IfExistsReplace
	opts.RunID = oldRun
	if _, err := writeOutput(opts, oldFill); err != nil {
		t.Fatal(err)
	}
	opts.RunID = newRun
	s := stage(t, opts)
	r, err := s.Rejects()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Write([]byte("rejects")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Commit(1); err != nil {
		t.Fatal(err)
	}
	path, err := s.KeepRejects()
	if want := filepath.Join(filepath.Dir(s.Output()), "_out.millrace", newRun, "rejects.parquet"); err != nil || path != want {
		t.Fatalf("KeepRejects() = %q, %v; want %q", path, err, want)
	}
	if err := s.Discard(); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "rejects" {
		t.Errorf("rejects = %q, %v", data, err)
	}
	if got := seen(s.Output(), false); got != "old" {
		t.Errorf("output is %s; want old", got)
	}
	if err := s.Publish(&Manifest{}); !errors.Is(err, ErrDiscarded) {
		t.Errorf("Publish() after KeepRejects() = %v; want ErrDiscarded", err)
	}
}

func TestKeepRejectsWithout(t *testing.T) {
	s := stage(t, options(t))
	if path, err := s.KeepRejects(); err != nil || path != "" {
		t.Errorf("KeepRejects() = %q, %v; want nothing", path, err)
	}
	if err := s.Discard(); err != nil {
		t.Error(err)
	}
	if left := tree(t, filepath.Dir(s.Output())); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestSingleHasOnePart(t *testing.T) {
	opts := options(t)
	opts.Single = true
	s := stage(t, opts)
	if _, err := s.Part(1); err == nil {
		t.Error("Part(1) of a single file: want an error")
	}
	if _, err := s.Part(-1); err == nil {
		t.Error("Part(-1): want an error")
	}
}
