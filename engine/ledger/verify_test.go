package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The output that most tests damage: four runs, of which the last two are live
// with the second, which replaced the first.
func appended(tb testing.TB) string {
	tb.Helper()
	out := filepath.Join(tb.TempDir(), "out")
	madeOutput(tb, out,
		madeRun{run: runNumber(1), mode: ModeFresh, parts: 2, rejects: 1},
		madeRun{run: runNumber(2), mode: ModeReplace, parts: 2},
		madeRun{run: runNumber(3), mode: ModeAppend, parts: 1, rejects: 1},
		madeRun{run: runNumber(4), mode: ModeAppend, parts: 1},
	)
	return out
}

func singleFile(tb testing.TB) string {
	tb.Helper()
	out := filepath.Join(tb.TempDir(), "scores.parquet")
	madeOutput(tb, out,
		madeRun{run: runNumber(1), mode: ModeFresh, parts: 1},
		madeRun{run: runNumber(2), mode: ModeReplace, parts: 1, rejects: 1},
	)
	return out
}

func verify(tb testing.TB, output string, opts VerifyOptions) *Verification {
	tb.Helper()
	v, err := Verify(context.Background(), output, opts)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

func lines(problems []Problem) []string {
	all := make([]string, len(problems))
	for i, p := range problems {
		all[i] = p.String()
	}
	return all
}

func TestVerifyFindsNothing(t *testing.T) {
	for name, output := range map[string]string{"a directory": appended(t), "a single file": singleFile(t)} {
		for _, opts := range []VerifyOptions{{}, {Quick: true}, {Inputs: true}} {
			v := verify(t, output, opts)
			if len(v.Problems)+len(v.Notes) > 0 || v.Err() != nil {
				t.Errorf("%s, %+v: problems %q, notes %q", name, opts, lines(v.Problems), lines(v.Notes))
			}
		}
	}
	progress := &VerifyProgress{}
	v := verify(t, appended(t), VerifyOptions{Progress: progress})
	if v.Files != 4 || v.Rows != 12 || v.Runs != 4 {
		t.Errorf("Verify() counts %d files, %d rows, %d runs; want 4, 12 and 4", v.Files, v.Rows, v.Runs)
	}
	if diff := cmp.Diff([]string{runNumber(4), runNumber(3), runNumber(2)}, v.LiveRuns); diff != "" {
		t.Errorf("live runs (-want +got):\n%s", diff)
	}
	if got, want := progress.Bytes.Load(), progress.TotalBytes.Load(); got != want || got == 0 {
		t.Errorf("progress: %d of %d bytes", got, want)
	}
}

// flip changes one bit in the middle of a file.
func flip(tb testing.TB, path string) {
	tb.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	data[len(data)/2] ^= 0x10
	put(tb, path, data)
}

// edit changes a manifest, and seals it again unless it says otherwise.
func edit(tb testing.TB, dir string, change func(m map[string]any)) {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil {
		tb.Fatal(err)
	}
	var m map[string]any
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&m); err != nil {
		tb.Fatal(err)
	}
	change(m)
	if data, err = json.Marshal(m); err != nil {
		tb.Fatal(err)
	}
	seal(tb, dir, data)
}

func output(m map[string]any) map[string]any {
	return m["outputs"].([]any)[0].(map[string]any)
}

func TestVerifyFinds(t *testing.T) {
	runDir := func(out string, n int) string { return filepath.Join(out, "_millrace", runNumber(n)) }
	tests := []struct {
		name   string
		damage func(t *testing.T, out string)
		want   []string // a part of each problem, in order
	}{
		{"a flipped bit in an output", func(t *testing.T, out string) {
			t.Helper()
			flip(t, filepath.Join(out, "part-00001.parquet"))
		}, []string{`"part-00001.parquet": was changed since run ` + runNumber(2)}},
		{"a flipped bit in an appended output", func(t *testing.T, out string) {
			t.Helper()
			flip(t, filepath.Join(out, "run-"+runNumber(4), "part-00000.parquet"))
		}, []string{"part-00000.parquet\": was changed since run " + runNumber(4)}},
		{"a flipped bit in rejects, also of a replaced run", func(t *testing.T, out string) {
			t.Helper()
			flip(t, filepath.Join(runDir(out, 1), rejectsName))
			flip(t, filepath.Join(runDir(out, 3), rejectsName))
		}, []string{runNumber(1) + `/rejects.parquet": was changed`, runNumber(3) + `/rejects.parquet": was changed`}},
		{"an output with a byte more", func(t *testing.T, out string) {
			t.Helper()
			put(t, filepath.Join(out, "part-00000.parquet"), append(parquetOf(t, 3, 100), 0))
		}, []string{`"part-00000.parquet": has `}},
		{"a missing output, and one of an appended run with its folder", func(t *testing.T, out string) {
			t.Helper()
			remove(t, filepath.Join(out, "part-00000.parquet"))
			remove(t, filepath.Join(out, "run-"+runNumber(3)))
		}, []string{`"part-00000.parquet": is missing`, `"run-` + runNumber(3) + `/part-00000.parquet": is missing`}},
		{"missing rejects of a live run; those of a replaced one may go", func(t *testing.T, out string) {
			t.Helper()
			remove(t, filepath.Join(runDir(out, 1), rejectsName))
			remove(t, filepath.Join(runDir(out, 3), rejectsName))
		}, []string{runNumber(3) + `/rejects.parquet": is missing`}},
		{"stray files of every kind", func(t *testing.T, out string) {
			t.Helper()
			put(t, filepath.Join(out, "part-00002.parquet"), parquetOf(t, 1, 0))
			put(t, filepath.Join(out, ".hidden"), nil)
			put(t, filepath.Join(out, "date=1", "x"), nil)
			put(t, filepath.Join(runDir(out, 2), "notes.txt"), nil)
			if err := os.Symlink("part-00000.parquet", filepath.Join(out, "part-00003.parquet")); err != nil {
				t.Fatal(err)
			}
		}, []string{
			`".hidden": is a file that no run of this output wrote; move`, runNumber(2) + `/notes.txt": is a file that no run of this output wrote; move`,
			`"date=1": is a folder that no run of this output wrote, and readers`, `"part-00002.parquet": is a file that no run of this output wrote, and readers`,
			`"part-00003.parquet": is a special file or link that no run`,
		}},
		{"a link to what was there", func(t *testing.T, out string) {
			t.Helper()
			name := filepath.Join(out, "part-00000.parquet")
			if err := os.Rename(name, out+".elsewhere"); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(out+".elsewhere", name); err != nil {
				t.Fatal(err)
			}
		}, []string{`"part-00000.parquet": is a special file`}},
		{"a fifo, which must not be waited for", func(t *testing.T, out string) {
			t.Helper()
			remove(t, filepath.Join(out, "part-00000.parquet"))
			remove(t, filepath.Join(runDir(out, 4), manifestName))
			for _, name := range []string{filepath.Join(out, "part-00000.parquet"), filepath.Join(runDir(out, 4), manifestName)} {
				if err := syscall.Mkfifo(name, 0o666); err != nil {
					t.Fatal(err)
				}
			}
		}, []string{runNumber(4) + `/manifest.json": cannot be read: it is a special file`, `"part-00000.parquet": is a special file`, `"run-` + runNumber(4) + `": is a folder of no run whose manifest can be read`}},
		{"no _SUCCESS", func(t *testing.T, out string) {
			t.Helper()
			remove(t, filepath.Join(out, successName))
		}, []string{`"_SUCCESS": is missing`}},
		{"a _SUCCESS that says something", func(t *testing.T, out string) {
			t.Helper()
			put(t, filepath.Join(out, successName), []byte("x"))
		}, []string{`"_SUCCESS": has 1 bytes`}},
		{"an edited manifest", func(t *testing.T, out string) {
			t.Helper()
			replaceIn(t, filepath.Join(runDir(out, 4), manifestName), `"user": "batch"`, `"user": "eve"`)
		}, []string{runNumber(4) + `/manifest.json": was changed since it was published`}},
		{"an edited manifest, sealed again, of a run that another followed", func(t *testing.T, out string) {
			t.Helper()
			edit(t, runDir(out, 1), func(m map[string]any) { m["job"] = "another" })
		}, []string{runNumber(1) + `/manifest.json": is not the manifest that run ` + runNumber(2) + " followed"}},
		{"no manifest.sha256, as older versions left it, and a strange one", func(t *testing.T, out string) {
			t.Helper()
			remove(t, filepath.Join(runDir(out, 4), sealName))
			put(t, filepath.Join(runDir(out, 3), sealName), []byte("\x1b[2J"))
		}, []string{runNumber(3) + `/manifest.sha256": is not the one line`, runNumber(4) + `/manifest.sha256": is missing`}},
		{"a run cut out of the chain", func(t *testing.T, out string) {
			t.Helper()
			remove(t, runDir(out, 3))
			remove(t, filepath.Join(out, "run-"+runNumber(3)))
		}, []string{
			runNumber(3) + `/manifest.json": is missing: run ` + runNumber(4) + " says that it followed that run",
			`"part-00000.parquet": is a file of no run whose manifest can be read`, `"part-00001.parquet": is a file of no run`,
		}},
		{"a manifest that is none", func(t *testing.T, out string) {
			t.Helper()
			seal(t, runDir(out, 1), []byte("{"))
		}, []string{runNumber(1) + `/manifest.json": is not the manifest that run`, runNumber(1) + `/manifest.json": not a manifest of this version`}},
		{"a manifest in another run's folder", func(t *testing.T, out string) {
			t.Helper()
			if err := os.Rename(runDir(out, 4), runDir(out, 9)); err != nil {
				t.Fatal(err)
			}
		}, []string{runNumber(9) + `/manifest.json": is that of run "` + runNumber(4)}},
		{"two newest runs", func(t *testing.T, out string) {
			t.Helper()
			edit(t, runDir(out, 4), func(m map[string]any) { m["parent"].(map[string]any)["run"] = runNumber(2) })
		}, []string{
			"2 runs claim to be the newest: " + runNumber(4) + ", " + runNumber(3), runNumber(2) + `/manifest.json": is not the manifest that run ` + runNumber(4),
			`"run-` + runNumber(3) + `": is a folder`,
		}},
		{"a circle", func(t *testing.T, out string) {
			t.Helper()
			edit(t, runDir(out, 1), func(m map[string]any) {
				m["mode"], m["parent"] = "replace", map[string]any{"run": runNumber(4), "sha256": "0"}
			})
		}, []string{"runs follow each other in a circle", runNumber(1) + `/manifest.json": is not the manifest`, runNumber(4) + `/manifest.json": is not the manifest`}},
		{"a run that follows itself", func(t *testing.T, out string) {
			t.Helper()
			edit(t, runDir(out, 1), func(m map[string]any) {
				m["mode"], m["parent"] = "replace", map[string]any{"run": runNumber(1), "sha256": "0"}
			})
		}, []string{runNumber(1) + `/manifest.json": is not the manifest that run ` + runNumber(1), runNumber(1) + `/manifest.json": is not the manifest that run ` + runNumber(2), "which is no other run's name"}},
		{"modes that contradict the chain", func(t *testing.T, out string) {
			t.Helper()
			edit(t, runDir(out, 1), func(m map[string]any) { m["mode"] = "swap" })
			edit(t, runDir(out, 4), func(m map[string]any) { m["mode"] = "fresh" })
		}, []string{
			runNumber(1) + `/manifest.json": has the mode "swap"`,
			runNumber(1) + `/manifest.json": is not the manifest that run ` + runNumber(2),
			runNumber(4) + `/manifest.json": says that nothing was there before`,
			`"part-00000.parquet": is a file that no run`,
			`"part-00001.parquet": is a file that no run`,
			`"run-` + runNumber(3) + `": is a folder that no run`,
		}},
		{"accounts that do not add up", func(t *testing.T, out string) {
			t.Helper()
			edit(t, runDir(out, 4), func(m map[string]any) { m["ledger"].(map[string]any)["scored"] = 2 })
		}, []string{"3 rows read, but 2 scored", "inputs {", "parts {"}},
		{"a file with other rows than the manifest says", func(t *testing.T, out string) {
			t.Helper()
			o := put(t, filepath.Join(out, "run-"+runNumber(4), "part-00000.parquet"), parquetOf(t, 4, 0))
			edit(t, runDir(out, 4), func(m map[string]any) {
				output(m)["sha256"], output(m)["bytes"] = o.SHA256, o.Bytes
			})
		}, []string{"has 4 rows by its own account, and run " + runNumber(4) + " says that it wrote 3"}},
		{"names that lead out of the output", func(t *testing.T, out string) {
			t.Helper()
			edit(t, runDir(out, 4), func(m map[string]any) { output(m)["name"] = "../../etc/passwd" })
			edit(t, runDir(out, 3), func(m map[string]any) { output(m)["name"] = "/etc/passwd" })
		}, []string{
			runNumber(3) + `/manifest.json": is not the manifest that run ` + runNumber(4),
			`names an output "/etc/passwd", outside of this one`,
			`names an output "../../etc/passwd", outside of this one`,
			`"run-` + runNumber(3) + `": is a folder`,
			`"run-` + runNumber(4) + `": is a folder`,
		}},
		{"names that no run gives, and one twice", func(t *testing.T, out string) {
			t.Helper()
			edit(t, runDir(out, 4), func(m map[string]any) { output(m)["name"] = "part-00000.parquet" })
		}, []string{
			`names "part-00000.parquet", which run ` + runNumber(4) + " names already",
			`"part-00000.parquet": was changed since run ` + runNumber(4),
			`"run-` + runNumber(4) + `": is a folder`,
		}},
		{"rejects somewhere else, and of no size", func(t *testing.T, out string) {
			t.Helper()
			edit(t, runDir(out, 4), func(m map[string]any) {
				m["rejects"] = map[string]any{"name": "part-00000.parquet", "sha256": "", "bytes": 0, "rows": 0}
				output(m)["bytes"] = -1
			})
		}, []string{
			`gives "run-` + runNumber(4) + `/part-00000.parquet" -1 bytes`,
			`names its rejects "part-00000.parquet"; want`,
			`"run-` + runNumber(4) + `": is a folder`,
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			out := appended(t)
			test.damage(t, out)
			v := verify(t, out, VerifyOptions{})
			if !errors.Is(v.Err(), ErrUnsound) {
				t.Errorf("Verify().Err() = %v; want ErrUnsound", v.Err())
			}
			got := lines(v.Problems)
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

func remove(tb testing.TB, path string) {
	tb.Helper()
	if err := os.RemoveAll(path); err != nil {
		tb.Fatal(err)
	}
}

func replaceIn(tb testing.TB, path, old, replacement string) {
	tb.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	if !bytes.Contains(data, []byte(old)) {
		tb.Fatalf("%s has no %s", path, old)
	}
	put(tb, path, bytes.ReplaceAll(data, []byte(old), []byte(replacement)))
}
