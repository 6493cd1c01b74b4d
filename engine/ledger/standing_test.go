package ledger

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/io/dataset"
)

// away is a store that cannot be reached.
type away struct{ dataset.Store }

var errAway = errors.New("no answer")

func (away) Open(context.Context, string) (dataset.Object, error) { return nil, errAway }

// TestInputOutOfReach: who cannot look at an input says why, since that may pass.
func TestInputOutOfReach(t *testing.T) {
	in := Input{Path: "s3://b/in.parquet"}
	if err := in.Changed(t.Context(), map[string]dataset.Store{"s3": away{}}); !errors.Is(err, errAway) || !strings.Contains(err.Error(), "cannot be looked at") {
		t.Errorf("Changed() = %v; want the store's error", err)
	}
}

// TestInputThatWasAStream: nothing is to be looked for, and no scheme to be opened.
func TestInputThatWasAStream(t *testing.T) {
	in := Input{Path: "-"}
	if s := in.stored(t.Context(), nil); s.Same || s.What != "was a stream on standard input, which is gone" {
		t.Errorf("stored() = %+v; want that it was a stream", s)
	}
}

// TestInputsByDigest compares an input whose time of change is another by its bytes,
// by either algorithm, as a replay and as verify do.
func TestInputsByDigest(t *testing.T) {
	for _, algorithm := range []string{SHA256, XXH3} {
		path := filepath.Join(t.TempDir(), "in.parquet")
		in := Input{Path: path, Bytes: put(t, path, []byte("rows")).Bytes, ModTime: time.Unix(1, 0)}
		var err error
		if in.Digest, err = DigestFile(path, algorithm); err != nil {
			t.Fatal(err)
		}
		if err := in.Changed(t.Context(), nil); err != nil {
			t.Errorf("%s: Changed() = %v; want nil: only the time is another", algorithm, err)
		}
		output := filepath.Join(t.TempDir(), "out")
		madeOutput(t, output, madeRun{run: runNumber(1), mode: ModeFresh, parts: 1, set: func(m *Manifest) {
			in.Rows, in.Ledger = m.Inputs[0].Rows, m.Inputs[0].Ledger
			m.Inputs[0] = in
		}})
		if v := verify(t, output, VerifyOptions{Inputs: true}); len(v.Problems) > 0 {
			t.Errorf("%s: Verify() finds %q", algorithm, lines(v.Problems))
		}
		if err := os.WriteFile(path, []byte("Rows"), 0o644); err != nil {
			t.Fatal(err)
		}
		says := "has changed: its " + algorithm + " is "
		if err := in.Changed(t.Context(), nil); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: Changed() = %v; want an error that says %q", algorithm, err, says)
		}
		if v := verify(t, output, VerifyOptions{Inputs: true}); len(v.Problems) != 1 || !strings.Contains(v.Problems[0].String(), says) {
			t.Errorf("%s: Verify() finds %q; want %q", algorithm, lines(v.Problems), says)
		}
	}
}
