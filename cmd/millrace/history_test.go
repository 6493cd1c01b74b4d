package main

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/millrace/millrace/engine/ledger"
)

// sealed OUT... writes manifest.sha256 beside the newest manifest of an output.
func sealed(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: sealed OUT...")
	}
	for _, out := range args {
		editNewest(ts, ts.MkAbs(out), func(m *ledger.Manifest) {
			if m.Mode == "" {
				m.Mode = ledger.ModeFresh
			}
		})
	}
}

// follow OUT replace|append NEXT moves the output of a run on the directory NEXT
// into OUT, as a run on OUT would have left it.
func follow(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: follow OUT replace|append NEXT")
	}
	out, mode, next := ts.MkAbs(args[0]), ledger.Mode(args[1]), ts.MkAbs(args[2])
	before, err := ledger.ReadHistory(out)
	ts.Check(err)
	parts, err := filepath.Glob(filepath.Join(next, "part-*"))
	ts.Check(err)
	into := out
	run := editNewest(ts, next, func(m *ledger.Manifest) {
		m.Mode, m.Parent = mode, &ledger.Parent{Run: before.Newest().Run, SHA256: before.Newest().SHA256}
		if mode == ledger.ModeAppend {
			into = filepath.Join(out, "run-"+m.Run)
			for i := range m.Outputs {
				m.Outputs[i].Name = filepath.Join("run-"+m.Run, m.Outputs[i].Name)
			}
		}
	})
	if mode == ledger.ModeReplace {
		for _, old := range before.Newest().Manifest.Outputs {
			ts.Check(os.Remove(filepath.Join(out, old.Name)))
		}
	}
	ts.Check(os.MkdirAll(into, 0o777))
	for _, part := range parts {
		ts.Check(os.Rename(part, filepath.Join(into, filepath.Base(part))))
	}
	ts.Check(os.Rename(filepath.Join(next, "_millrace", run), filepath.Join(out, "_millrace", run)))
	ts.Check(os.RemoveAll(next))
}

// older OUT makes the newest manifest of an output one of before there were distributions
// and accounts of the work.
func older(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: older OUT")
	}
	editNewest(ts, ts.MkAbs(args[0]), func(m *ledger.Manifest) { m.Predictions, m.Features, m.Work = nil, nil, nil })
}

// editNewest changes the newest manifest of an output and seals it.
func editNewest(ts *testscript.TestScript, out string, change func(m *ledger.Manifest)) (run string) {
	h, err := ledger.ReadHistory(out)
	ts.Check(err)
	r := h.Newest()
	change(r.Manifest)
	data, err := r.Manifest.Encode()
	ts.Check(err)
	dir := filepath.Join(out, "_millrace", r.Run)
	if h.Single {
		dir = filepath.Join(filepath.Dir(out), "_"+filepath.Base(out)+".millrace", r.Run)
	}
	ts.Check(os.WriteFile(filepath.Join(dir, "manifest.json"), data, 0o666))
	digest := sha256.Sum256(data)
	ts.Check(os.WriteFile(filepath.Join(dir, "manifest.sha256"), []byte(hex.EncodeToString(digest[:])+"  manifest.json\n"), 0o666))
	return r.Run
}
