package jobfile

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// Every example of docs/features.md is one that a job file may have.
func TestFeaturesDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/features.md")
	if err != nil {
		t.Fatal(err)
	}
	fitted := func(string, int64) ([]byte, error) {
		return []byte(`{"millrace": "features/1", "features": [{"column": "seats"}]}`), nil
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 10 {
		t.Fatalf("%d examples; want more", len(blocks))
	}
	for _, block := range blocks {
		job := block[1]
		switch {
		case strings.HasPrefix(job, "- name:"):
			job = "features:\n" + indent(job, "  ")
		case strings.HasPrefix(job, "- "):
			job = "features:\n  - column: x\n    transforms:\n" + indent(job, "      ")
		}
		got, err := Decode("job.yaml", []byte(job), Given{LookupEnv: os.LookupEnv, ReadFile: fitted})
		if err != nil || len(got.Specs) == 0 {
			t.Errorf("%s\nis refused: %v", job, err)
		}
	}
}

func indent(text, by string) string {
	return by + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n"+by) + "\n"
}
