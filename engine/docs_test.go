package engine_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace/millrace/batcher"
)

var update = flag.Bool("update", false, "write what the code says into the documents")

// The type table in docs/architecture.md is the code's.
//
//	go test ./engine -run TypeTable -update
func TestTypeTableInDocs(t *testing.T) {
	const path, begin, end = "../docs/architecture.md", "<!-- type table: begin", "<!-- type table: end -->"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	if !ok {
		t.Fatalf("%s has no type table", path)
	}
	note, rest, _ := strings.Cut(rest, "-->\n")
	have, after, ok := strings.Cut(rest, end)
	if !ok {
		t.Fatalf("%s: the type table does not end", path)
	}
	want := markdown(batcher.TypeTable())
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+note+"-->\n"+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("type table in %s differs from batcher.TypeTable() (-code +document); run with -update:\n%s", path, diff)
	}
}

func markdown(rows [][]string) string {
	var b strings.Builder
	for i, row := range rows {
		b.WriteString("| " + strings.Join(row, " | ") + " |\n")
		if i == 0 {
			b.WriteString(strings.Repeat("|---", len(row)) + "|\n")
		}
	}
	return b.String()
}
