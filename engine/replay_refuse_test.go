package engine_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/models"
	pb "github.com/millrace/millrace/models/onnxpb"
	"github.com/millrace/millrace/models/onnxpb/onnxtest"
)

func TestReplayRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(t *testing.T, dir string, o *engine.ReplayOptions)
		want   error
		says   string
	}{
		{"an input that is gone", func(t *testing.T, dir string, _ *engine.ReplayOptions) {
			t.Helper()
			rename(t, filepath.Join(dir, "in.arrow"), filepath.Join(dir, "moved"))
		}, format.ErrChanged, "in.arrow\" is gone"},
		{"an input that was written again", func(t *testing.T, dir string, _ *engine.ReplayOptions) {
			t.Helper()
			powers(t, filepath.Join(dir, "in.arrow"), 0, 6)
		}, format.ErrChanged, "has changed: it has"},
		{"an input of another time, without a digest", func(t *testing.T, dir string, o *engine.ReplayOptions) {
			t.Helper()
			editManifest(t, o.Output, func(m *ledger.Manifest) { m.Inputs[0].Digest = "" })
			if err := os.Chtimes(filepath.Join(dir, "in.arrow"), time.Unix(0, 0), time.Unix(0, 0)); err != nil {
				t.Fatal(err)
			}
		}, format.ErrChanged, "its time was set"},
		{"an input with other ids, made to look the same", func(t *testing.T, dir string, _ *engine.ReplayOptions) {
			t.Helper()
			info, err := os.Stat(filepath.Join(dir, "in.arrow"))
			if err != nil {
				t.Fatal(err)
			}
			powers(t, filepath.Join(dir, "in.arrow"), 1, 5)
			if err := os.Chtimes(filepath.Join(dir, "in.arrow"), info.ModTime(), info.ModTime()); err != nil {
				t.Fatal(err)
			}
		}, format.ErrChanged, `its column "id" is "4" there and "3" in the output`},
		{"a model that is gone", func(t *testing.T, dir string, _ *engine.ReplayOptions) {
			t.Helper()
			rename(t, filepath.Join(dir, "m.onnx"), filepath.Join(dir, "moved.onnx"))
		}, models.ErrModel, "--model names the place"},
		{"another model", func(t *testing.T, dir string, _ *engine.ReplayOptions) {
			t.Helper()
			writeFile(t, filepath.Join(dir, "m.onnx"), onnxtest.Bytes(t, onnxtest.Identity(pb.TensorProto_FLOAT, "M", 1)))
		}, models.ErrModel, "not the pinned"},
		{"an id that is not there", func(_ *testing.T, _ string, o *engine.ReplayOptions) {
			o.Where[0].Value = "99"
		}, engine.ErrNoRow, `id="99"`},
		{"a column that is not there", func(_ *testing.T, _ string, o *engine.ReplayOptions) {
			o.Where[0].Column = "di"
		}, engine.ErrUsage, `no column "di"`},
		{"a value of another type", func(_ *testing.T, _ string, o *engine.ReplayOptions) {
			o.Where[0].Value = "x"
		}, engine.ErrUsage, `column "id" is int64`},
		{"nothing to look for", func(_ *testing.T, _ string, o *engine.ReplayOptions) {
			o.Where, o.Limit, o.Tolerance = nil, 0, -1
		}, engine.ErrUsage, "--tolerance (-1)"},
		{"a provider of one's own choice", func(_ *testing.T, _ string, o *engine.ReplayOptions) {
			o.Provider = ort.CUDA
		}, engine.ErrUsage, "--provider (cuda) must be cpu"},
		{"a setting of a later version", func(t *testing.T, _ string, o *engine.ReplayOptions) {
			t.Helper()
			editManifest(t, o.Output, func(m *ledger.Manifest) { m.Settings["shuffle"] = true })
		}, ledger.ErrManifest, "replay with the one that made the run"},
		{"parts that the manifest counts otherwise", func(t *testing.T, _ string, o *engine.ReplayOptions) {
			t.Helper()
			editManifest(t, o.Output, func(m *ledger.Manifest) { m.Parts[0].Read = 4 })
		}, format.ErrChanged, "falls into other parts"},
		{"spans that the manifest lists otherwise", func(t *testing.T, _ string, o *engine.ReplayOptions) {
			t.Helper()
			editManifest(t, o.Output, func(m *ledger.Manifest) { m.Inputs[0].Spans = []ledger.Rows{{Read: 2}, {Read: 3}} })
		}, format.ErrChanged, "has other spans"},
		{"no output", func(_ *testing.T, dir string, o *engine.ReplayOptions) {
			o.Output = filepath.Join(dir, "in.arrow")
		}, ledger.ErrNoOutput, "_in.arrow.millrace"},
	}
	for _, test := range tests {
		dir := published(t)
		opts := replayOf(t, filepath.Join(dir, "out.arrow"), 3)
		test.change(t, dir, &opts)
		r, err := opts.Replay(t.Context())
		if r != nil || !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: Replay() = %v, %v; want %v with %q", test.name, r, err, test.want, test.says)
		}
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}
