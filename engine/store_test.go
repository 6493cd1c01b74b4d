package engine_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/ort/orttest"
	"github.com/millrace/millrace/io/dataset"
	"github.com/millrace/millrace/io/dataset/datasettest"
	"github.com/millrace/millrace/io/format"
)

// A run of objects of a store records their URIs and versions, and digests what has
// none; replay and verify ask the store again.
func TestInputsOfAStore(t *testing.T) {
	dir := t.TempDir()
	powers(t, filepath.Join(dir, "1.arrow"), 0, 31, 7, 24)
	powers(t, filepath.Join(dir, "2.arrow"), 31, 20, 20)
	model, out := batchSum(t), filepath.Join(dir, "out")
	store := &datasettest.Folder{Dir: dir, Versions: map[string]string{"box://1.arrow": "v1"}}
	stores := map[string]dataset.Store{"box": store}
	opts := engine.Options{
		Model: model, Inputs: []string{"box://?.arrow"}, Output: out, IDs: []string{"id"}, BatchRows: 4, PartRows: 11, Workers: 2, Stores: stores,
	}
	mustRun(t, opts)
	local := opts
	local.Inputs, local.Output, local.Stores = []string{filepath.Join(dir, "1.arrow"), filepath.Join(dir, "2.arrow")}, filepath.Join(dir, "local"), nil
	mustRun(t, local)
	if got, want := readBytes(t, filepath.Join(out, "part-00001.parquet")), readBytes(t, filepath.Join(local.Output, "part-00001.parquet")); got != want {
		t.Errorf("a part of a store's objects has other bytes than that of the same files")
	}

	h, err := ledger.ReadHistory(out)
	if err != nil {
		t.Fatal(err)
	}
	inputs := h.Live()[0].Manifest.Inputs
	if len(inputs) != 2 || inputs[0].Path != "box://1.arrow" || inputs[0].Version != "v1" || inputs[0].Digest != "" {
		t.Errorf("inputs are %+v; want box://1.arrow of version v1 without a digest", inputs)
	}
	if inputs[1].Path != "box://2.arrow" || !strings.HasPrefix(inputs[1].Digest, "sha256:") {
		t.Errorf("inputs are %+v; want box://2.arrow with a digest, since it has no version", inputs)
	}

	again := replayOf(t, out, 40)
	again.Stores = stores
	if r := replay(t, again); r.Equal != 1 || r.Rows[0].Input != "box://2.arrow" {
		t.Errorf("replay of id 40 = %+v; want a row of box://2.arrow, equal", r)
	}
	again.Stores = nil
	if _, err := again.Replay(t.Context()); err == nil || !strings.Contains(err.Error(), "nothing here opens box") {
		t.Errorf("replay without the store = %v", err)
	}
	verify := func(o ledger.VerifyOptions) *ledger.Verification {
		v, err := ledger.Verify(t.Context(), out, o)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if v := verify(ledger.VerifyOptions{Inputs: true, Stores: stores}); len(v.Problems) > 0 {
		t.Errorf("verify finds %+v", v.Problems)
	}
	store.Versions["box://1.arrow"] = "v2"
	if v := verify(ledger.VerifyOptions{Inputs: true, Stores: stores}); len(v.Problems) != 1 || !strings.Contains(v.Problems[0].What, "its version is v2, and was v1") {
		t.Errorf("verify after a change finds %+v", v.Problems)
	}
	if v := verify(ledger.VerifyOptions{}); len(v.Problems) > 0 {
		t.Errorf("verify without --inputs finds %+v", v.Problems)
	}
	again = replayOf(t, out, 3)
	again.Stores = stores
	if _, err := again.Replay(t.Context()); !errors.Is(err, format.ErrChanged) {
		t.Errorf("replay of a changed object = %v; want ErrChanged", err)
	}
	if store.Lent.Load() != 0 || store.Opened.Load() != 0 {
		t.Errorf("%d local files were kept, %d objects left open", store.Lent.Load(), store.Opened.Load())
	}

	// A change under the run.
	plan, err := engine.NewPlan(t.Context(), func() engine.Options { o := opts; o.Output += "2"; return o }())
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()
	store.Versions["box://1.arrow"] = "v3"
	if _, err := plan.Run(t.Context(), orttest.Library(t), plan.NewProgress()); !errors.Is(err, format.ErrChanged) || !errors.Is(err, dataset.ErrInput) {
		t.Errorf("Run() of an object that changed = %v; want ErrChanged and ErrInput", err)
	}
	if _, err := os.Stat(out + "2"); err == nil {
		t.Error("it is published all the same")
	}
}

func readBytes(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
