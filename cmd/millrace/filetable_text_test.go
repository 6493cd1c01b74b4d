package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/ort"
)

// A run into a table says where its manifest is, and counts rows where there are no files.
func TestTextOfATable(t *testing.T) {
	t.Setenv(ort.EnvVariable, libraryPath(t))
	output := "sqlite:" + filepath.Join(t.TempDir(), "scores.db") + "?table=scores"
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"score", "--model", "../../models/reference/flights_gbdt.onnx", "--input", "../../testdata/flights-sample.parquet", "--nulls", "nan", "--ids", "id", "--output", output}, `manifest   "scores_millrace_run", where run = '`},
		{[]string{"verify", output}, "holds      50,000 rows\n"},
	} {
		code, stdout, stderr := millrace(t, c.args...)
		if code != 0 || !strings.Contains(stdout, c.want) || strings.Contains(stdout, "1 file") {
			t.Errorf("millrace %s exits %d: %s%s; want %q and no files", c.args[0], code, stdout, stderr, c.want)
		}
	}
}
