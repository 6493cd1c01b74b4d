package engine_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/format"
)

// manifestOf reads a run's manifest.
func manifestOf(t *testing.T, summary *engine.Summary) *ledger.Manifest {
	t.Helper()
	data, err := os.ReadFile(ledger.ManifestPath(summary.Output, summary.Run))
	if err != nil {
		t.Fatal(err)
	}
	m, err := ledger.ParseManifest(data)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestInputDigests scores several files, one of them listed twice, and digests them
// again as a whole.
func TestInputDigests(t *testing.T) {
	dir := t.TempDir()
	model := identities(t, []element{elementNamed(t, "float32")}, [][]any{{"N"}}, []int{1})
	a := writeParquet(t, filepath.Join(dir, "a.parquet"), 500, wideColumns(t, 2000)...)
	b := writeParquet(t, filepath.Join(dir, "b.parquet"), 500, wideColumns(t, 700)...)
	sha := func(data []byte) string {
		sum := sha256.Sum256(data)
		return "sha256:" + hex.EncodeToString(sum[:])
	}
	xxh := func(data []byte) string {
		sum := xxh3.Hash128(data).Bytes()
		return "xxh3:" + hex.EncodeToString(sum[:])
	}
	tests := []struct {
		mode      engine.DigestMode
		algorithm string
		want      func([]byte) string
	}{
		{"", "sha256", sha}, // auto, and the input is small
		{engine.DigestAuto, "sha256", sha},
		{engine.DigestSHA256, "sha256", sha},
		{engine.DigestXXH3, "xxh3", xxh},
		{engine.DigestSizeMTime, "", func([]byte) string { return "" }},
	}
	for _, test := range tests {
		t.Run("digest="+string(test.mode), func(t *testing.T) {
			inputs := []string{a, b, a}
			summary := mustRun(t, engine.Options{
				Model: model, Inputs: inputs, IDs: []string{"id"}, Output: filepath.Join(t.TempDir(), "out"), MaxRejects: -1,
				Nulls: nanPolicy, Digest: test.mode,
			})
			if got := summary.Digest; got.Algorithm != test.algorithm || got.Reason == "" {
				t.Errorf("Summary.Digest = %+v; want algorithm %q and a reason", got, test.algorithm)
			}
			m := manifestOf(t, summary)
			if len(m.Inputs) != len(inputs) {
				t.Fatalf("%d inputs in the manifest; want %d", len(m.Inputs), len(inputs))
			}
			for i, in := range m.Inputs {
				data, err := os.ReadFile(inputs[i])
				if err != nil {
					t.Fatal(err)
				}
				if want := test.want(data); in.Digest != want {
					t.Errorf("digest of %s = %q; want %q", in.Path, in.Digest, want)
				}
			}
			said, _ := m.Settings["digest"].(map[string]any)
			if said["reason"] == "" || test.algorithm != "" && said["algorithm"] != test.algorithm {
				t.Errorf("Settings[digest] = %v; want %s and a reason", said, test.algorithm)
			}
		})
	}
}

// TestDigestsAreContinued stops a run, which has digested its small input by then, and
// goes on by auto and by another algorithm: the first is kept, the other asked for.
func TestDigestsAreContinued(t *testing.T) {
	lib := orttest.Library(t)
	base := manyParts(t)
	for _, test := range []struct{ first, then, want engine.DigestMode }{
		{engine.DigestXXH3, engine.DigestAuto, engine.DigestXXH3},
		{engine.DigestXXH3, engine.DigestSHA256, engine.DigestSHA256},
		{engine.DigestSizeMTime, engine.DigestAuto, engine.DigestSHA256},
		{engine.DigestSHA256, engine.DigestSizeMTime, ""},
	} {
		opts := base
		opts.Digest = test.first
		if digested := stoppedWhenDigested(t, lib, &opts); digested != (test.first != engine.DigestSizeMTime) {
			t.Errorf("--digest %s: the journal has a digest: %t", test.first, digested)
		}
		opts.Digest = test.then
		summary, err := start(t, lib, opts, func(*engine.Plan, *engine.Progress) {})
		if err != nil || summary.Starts != 2 {
			t.Fatalf("Run() = %+v, %v; want it continued", summary, err)
		}
		want := ""
		if test.want != "" {
			if want, err = ledger.DigestFile(opts.Inputs[0], string(test.want)); err != nil {
				t.Fatal(err)
			}
		}
		if got := manifestOf(t, summary).Inputs[0].Digest; got != want {
			t.Errorf("--digest %s continued by %s: digest %q; want %q", test.first, test.then, got, want)
		}
	}
}

// stoppedWhenDigested stops a run into a new folder, and says whether its journal has a digest of
// the input: where it has none, a busy machine may not have come to it, and another is tried.
func stoppedWhenDigested(t *testing.T, lib *ort.Library, opts *engine.Options) bool {
	t.Helper()
	for range 20 {
		opts.Output = filepath.Join(t.TempDir(), "out")
		halfDone(t, lib, *opts)
		journal, err := filepath.Glob(filepath.Join(filepath.Dir(opts.Output), ".out.millrace-*", "journal"))
		if err != nil || len(journal) != 1 {
			t.Fatalf("journals: %v, %v", journal, err)
		}
		text, err := os.ReadFile(journal[0])
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), `{"digest":{"file":0,"digest":"`+string(opts.Digest)) {
			return true
		}
		if opts.Digest == engine.DigestSizeMTime {
			break
		}
	}
	return false
}

// TestDigestOfChangedInput changes an input after it was planned and before it is
// digested.
func TestDigestOfChangedInput(t *testing.T) {
	lib := orttest.Library(t)
	tests := []struct {
		name   string
		change func(path string) error
	}{
		{"longer", func(path string) error {
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteString("more")
			return errors.Join(err, f.Close())
		}},
		{"touched", func(path string) error { return os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)) }},
		{"gone", os.Remove},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			opts := manyParts(t)
			opts.Output, opts.Digest = filepath.Join(t.TempDir(), "out"), engine.DigestXXH3
			plan, err := engine.NewPlan(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
			}
			defer plan.Close()
			if err := test.change(opts.Inputs[0]); err != nil {
				t.Fatal(err)
			}
			summary, err := plan.Run(t.Context(), lib, plan.NewProgress())
			if summary != nil || !errors.Is(err, format.ErrChanged) || !errors.Is(err, dataset.ErrInput) || !strings.Contains(err.Error(), "in.parquet") {
				t.Errorf("Run() = %+v, %v; want ErrChanged that names the file", summary, err)
			}
			if _, err := os.Stat(opts.Output); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the output exists: %v", err)
			}
		})
	}
}
