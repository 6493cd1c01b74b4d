package ledger

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestVerifySingleFile(t *testing.T) {
	side := func(out string, n int) string {
		return filepath.Join(filepath.Dir(out), sideName(filepath.Base(out)), runNumber(n))
	}
	tests := []struct {
		name   string
		damage func(t *testing.T, out string)
		want   []string
	}{
		{"nothing: other files beside it are not its own", func(t *testing.T, out string) {
			t.Helper()
			put(t, filepath.Join(filepath.Dir(out), "other.parquet"), nil)
		}, nil},
		{"nothing: rejects of a run that had too many and published nothing", func(t *testing.T, out string) {
			t.Helper()
			put(t, filepath.Join(side(out, 3), rejectsName), nil)
		}, nil},
		{"nothing: the file of the run before was removed before run 2", func(t *testing.T, out string) {
			t.Helper()
			edit(t, side(out, 2), func(m map[string]any) { m["mode"] = "fresh" })
		}, nil},
		{"a flipped bit", func(t *testing.T, out string) {
			t.Helper()
			flip(t, out)
		}, []string{`"scores.parquet": was changed since run ` + runNumber(2)}},
		{"gone", func(t *testing.T, out string) {
			t.Helper()
			remove(t, out)
		}, []string{`"scores.parquet": is missing`}},
		{"a run's folder with neither manifest nor only rejects", func(t *testing.T, out string) {
			t.Helper()
			put(t, filepath.Join(side(out, 3), "x"), nil)
		}, []string{runNumber(3) + `/manifest.json": cannot be read: no such file`, runNumber(3) + `/x": is a file`}},
		{"the file of the run before: a run was stopped before its last step", func(t *testing.T, out string) {
			t.Helper()
			put(t, out, parquetOf(t, 3, 0))
		}, []string{"bytes, and run " + runNumber(2) + " wrote", `"scores.parquet": is that of run ` + runNumber(1) + ", before the newest"}},
		{"renamed with its folder", func(t *testing.T, out string) {
			t.Helper()
			edit(t, side(out, 2), func(m map[string]any) { output(m)["name"] = "yesterday.parquet" })
		}, []string{`names the output "yesterday.parquet", and this is "scores.parquet"`, `"scores.parquet": is a file that no run`}},
		{"appended to", func(t *testing.T, out string) {
			t.Helper()
			edit(t, side(out, 2), func(m map[string]any) { m["mode"] = "append" })
		}, []string{"which run " + runNumber(2) + " names already", "appended to a single file"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			out := singleFile(t)
			test.damage(t, out)
			got := lines(verify(t, out, VerifyOptions{}).Problems)
			if len(got) != len(test.want) {
				t.Fatalf("%d problems; want %d:\n%s", len(got), len(test.want), strings.Join(got, "\n"))
			}
			for i, want := range test.want {
				if !strings.Contains(got[i], want) {
					t.Errorf("problem %d is %s; want %q in it", i, got[i], want)
				}
			}
		})
	}
}

func TestVerifyFollowsALinkToTheOutput(t *testing.T) {
	out := appended(t)
	link := filepath.Join(t.TempDir(), "latest")
	if err := os.Symlink(out, link); err != nil {
		t.Fatal(err)
	}
	if v := verify(t, link, VerifyOptions{}); v.Err() != nil || v.Output != out {
		t.Errorf("Verify(link) = %q of %q; want nothing of %q", lines(v.Problems), v.Output, out)
	}
}

func TestVerifyNoOutput(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "data", "a.parquet"), nil)
	put(t, filepath.Join(dir, "empty", "_millrace", "notes.txt"), nil)
	for path, says := range map[string]string{
		"nowhere":        "no such file or directory",
		"data":           "no folder _millrace",
		"data/a.parquet": "no folder _a.parquet.millrace beside it",
		"empty":          "no manifest is in _millrace",
	} {
		_, err := Verify(context.Background(), filepath.Join(dir, path), VerifyOptions{})
		if !errors.Is(err, ErrNoOutput) || !strings.Contains(err.Error(), says) {
			t.Errorf("Verify(%s) = %v; want ErrNoOutput with %q", path, err, says)
		}
	}
}

func TestVerifyInputs(t *testing.T) {
	inputs := func(out string) string { return filepath.Join(filepath.Dir(out), "inputs") }
	input := runNumber(4) + ".parquet"
	tests := []struct {
		name   string
		change func(t *testing.T, out string)
		note   string // without --inputs
		strict string // with; empty: nothing is wrong
	}{
		{"an input that is gone", func(t *testing.T, out string) {
			t.Helper()
			remove(t, filepath.Join(inputs(out), input))
		}, "the input is gone", "the input is gone"},
		{"one that was appended to", func(t *testing.T, out string) {
			t.Helper()
			put(t, filepath.Join(inputs(out), input), []byte("rows of "+runNumber(4)+" and more"))
		}, "the input has changed: it has ", "the input has changed: it has "},
		{"one that was copied back: another time, the same bytes", func(t *testing.T, out string) {
			t.Helper()
			if err := os.Chtimes(filepath.Join(inputs(out), input), time.Now(), time.Now()); err != nil {
				t.Fatal(err)
			}
		}, "the input was written to, or its time was set", ""},
		{"a model of the same size", func(t *testing.T, out string) {
			t.Helper()
			flip(t, filepath.Join(inputs(out), "m.onnx"))
		}, "the model has changed: its sha256 is", "the model has changed: its sha256 is"},
	}
	for _, test := range tests {
		out := appended(t)
		test.change(t, out)
		v := verify(t, out, VerifyOptions{})
		if got := lines(v.Notes); len(v.Problems) > 0 || len(got) != 1 || !strings.Contains(got[0], test.note) {
			t.Errorf("%s: notes %q, problems %q; want one note with %q", test.name, got, lines(v.Problems), test.note)
		}
		v = verify(t, out, VerifyOptions{Inputs: true})
		got := lines(v.Problems)
		switch {
		case len(v.Notes) > 0:
			t.Errorf("%s, inputs: notes %q; want none", test.name, lines(v.Notes))
		case test.strict == "" && len(got) > 0, test.strict != "" && (len(got) != 1 || !strings.Contains(got[0], test.strict)):
			t.Errorf("%s, inputs: problems %q; want %q", test.name, got, test.strict)
		}
	}
}

// An input of the same size and time is only told apart by its bytes.
func TestVerifyInputsByTheirBytes(t *testing.T) {
	out := appended(t)
	name := filepath.Join(filepath.Dir(out), "inputs", runNumber(3)+".parquet")
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	flip(t, name)
	if err := os.Chtimes(name, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if v := verify(t, out, VerifyOptions{}); len(v.Notes)+len(v.Problems) > 0 {
		t.Errorf("Verify() reads inputs unasked: %q", lines(v.Notes))
	}
	if got := lines(verify(t, out, VerifyOptions{Inputs: true}).Problems); len(got) != 1 || !strings.Contains(got[0], "the input has changed: its sha256") {
		t.Errorf("Verify(Inputs) = %q; want the changed input", got)
	}
}

func TestVerifyQuickSeesSizesAndRowsAlone(t *testing.T) {
	out := appended(t)
	data := parquetOf(t, 3, 100)
	data[4] ^= 1 // in a page, which no footer tells
	put(t, filepath.Join(out, "part-00000.parquet"), data)
	if v := verify(t, out, VerifyOptions{Quick: true}); len(v.Problems) > 0 {
		t.Errorf("Verify(Quick) = %q; want nothing", lines(v.Problems))
	}
	if v := verify(t, out, VerifyOptions{}); len(v.Problems) != 1 {
		t.Errorf("Verify() = %q; want one problem", lines(v.Problems))
	}
	put(t, filepath.Join(out, "part-00000.parquet"), data[1:])
	if v := verify(t, out, VerifyOptions{Quick: true}); len(v.Problems) != 1 {
		t.Errorf("Verify(Quick) of a cut file = %q; want one problem", lines(v.Problems))
	}
}

func TestVerifyPinnedManifest(t *testing.T) {
	out := appended(t)
	kept := verify(t, out, VerifyOptions{}).ManifestSHA256
	if v := verify(t, out, VerifyOptions{Manifest: strings.ToUpper(kept)}); len(v.Problems) > 0 {
		t.Errorf("Verify(its own digest) = %q", lines(v.Problems))
	}
	// Whoever seals an edit of the newest manifest again is not found without.
	edit(t, filepath.Join(out, "_millrace", runNumber(4)), func(m map[string]any) { m["job"] = "another" })
	if v := verify(t, out, VerifyOptions{}); len(v.Problems) > 0 {
		t.Errorf("Verify() = %q; want nothing that it can see", lines(v.Problems))
	}
	if got := lines(verify(t, out, VerifyOptions{Manifest: kept}).Problems); len(got) != 1 || !strings.Contains(got[0], "not the one asked for") {
		t.Errorf("Verify(pinned) = %q; want the manifest", got)
	}
}

func TestVerifyStops(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	stopped := errors.New("stopped")
	cancel(stopped)
	if _, err := Verify(ctx, appended(t), VerifyOptions{}); !errors.Is(err, stopped) {
		t.Errorf("Verify() = %v after its context ended; want its cause", err)
	}
}
