package ledger

import (
	"os"
	"testing"
)

// The rejects of a part lie in the run's own directory, under their own name.
func TestPartRejects(t *testing.T) {
	s := stage(t, options(t))
	p, err := s.PartRejects(12)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.PartRejects(12); err == nil {
		t.Error("PartRejects(12) twice: want an error")
	}
	if err := p.Abort(); err != nil {
		t.Fatal(err)
	}
	if p, err = s.PartRejects(12); err != nil {
		t.Fatalf("PartRejects(12) after Abort() = %v", err)
	}
	if _, err := p.Write([]byte("rows")); err != nil {
		t.Fatal(err)
	}
	out, err := p.Commit(3)
	if err != nil || out.Name != "rejects-00012.arrow" || out.Rows != 3 {
		t.Errorf("Commit() = %+v, %v; want rejects-00012.arrow with 3 rows", out, err)
	}
	path := s.PartRejectsPath(12)
	if data, err := os.ReadFile(path); err != nil || string(data) != "rows" {
		t.Errorf("%s holds %q, %v; want what was written", path, data, err)
	}
}

func TestPartRejectsOfNoPart(t *testing.T) {
	opts := options(t)
	opts.Single = true
	s := stage(t, opts)
	for _, index := range []int{-1, 1} {
		if _, err := s.PartRejects(index); err == nil {
			t.Errorf("PartRejects(%d) of a single file: want an error", index)
		}
	}
}
