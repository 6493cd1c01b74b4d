package jobfile

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/millrace/millrace/batcher/feature"
)

// What the exporter of scikit-learn's transformers writes is what a job takes, with
// every digit.
func TestFittedFilesOfSklearn(t *testing.T) {
	paths, err := filepath.Glob("../../testdata/features/fitted/*.json")
	if err != nil || len(paths) < 50 {
		t.Fatalf("%d fitted files (%v)", len(paths), err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var want struct {
			Features []feature.Feature `json:"features"`
		}
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		job, err := Decode("job.yaml", fmt.Appendf(nil, "features: [{from: %s}]", path), Given{LookupEnv: os.LookupEnv, ReadFile: readFile})
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if diff := cmp.Diff(want.Features, job.Specs, cmpopts.EquateNaNs()); diff != "" || len(job.Specs) == 0 {
			t.Errorf("%s (-encoding/json +ours):\n%s", path, diff)
		}
	}
}
