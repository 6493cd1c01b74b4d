package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/sink"
	sinkduckdb "github.com/millrace/millrace/engine/sink/duckdb"
	"github.com/millrace/millrace/io/blobstore/blobtest"
	"github.com/millrace/millrace/io/duckdb"
	"github.com/millrace/millrace/io/postgres/pgtest"
)

// typed is a command of the page and what the page says it prints.
type typed struct {
	command string
	printed []string
}

// chapter is what the page has under one heading.
type chapter struct {
	title    string
	commands []typed
	scripts  []string // of Python
}

// TestWorkedExamples types what docs/worked-examples.md shows, chapter by chapter, each in a
// folder of its own, and compares what is printed.
func TestWorkedExamples(t *testing.T) {
	slow(t)
	page, err := os.ReadFile("../../docs/worked-examples.md")
	if err != nil {
		t.Fatal(err)
	}
	chapters := chaptersOf(string(page))
	needs := map[string]func(t *testing.T, dir string) []string{
		"An object store": bucketOfFlights,
		"PostgreSQL":      postgresByEnvironment,
		"DuckDB":          duckdbBuiltIn,
	}
	for title := range needs {
		if !strings.Contains(string(page), "\n## "+title+"\n") {
			t.Errorf("the page has no chapter %q", title)
		}
	}
	for _, c := range chapters[1:] {
		t.Run(c.title, func(t *testing.T) {
			dir := t.TempDir()
			layOut(t, dir, chapters[0], c)
			_, env := programIn(t, dir)
			env = append(env, "PATH="+dir+":"+os.Getenv("PATH"))
			if need := needs[c.title]; need != nil {
				env = append(env, need(t, dir)...)
			}
			for _, typed := range c.commands {
				cmd := exec.Command("bash", "-c", typed.command)
				cmd.Dir, cmd.Env = dir, env
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Fatalf("$ %s\n%s%v", typed.command, out, err)
				}
				if !asPrinted(typed.printed, string(out)) {
					t.Errorf("$ %s\n%swant\n%s", typed.command, out, strings.Join(typed.printed, "\n"))
				}
			}
		})
	}
}

// chaptersOf are those of a page: first what stands before its first heading of level two.
func chaptersOf(page string) []chapter {
	parts := strings.Split(page, "\n## ")
	all := make([]chapter, 0, len(parts))
	for i, part := range parts {
		c := chapter{}
		if i > 0 {
			c.title, part, _ = strings.Cut(part, "\n")
		}
		c.scripts = blocksOf(part, "python")
		for _, block := range blocksOf(part, "console") {
			for line := range strings.SplitSeq(strings.TrimSuffix(block, "\n"), "\n") {
				if command, ok := strings.CutPrefix(line, "$ "); ok {
					c.commands = append(c.commands, typed{command: command})
					continue
				}
				last := &c.commands[len(c.commands)-1]
				last.printed = append(last.printed, line)
			}
		}
		all = append(all, c)
	}
	return all
}

// blocksOf are the texts between fences of a kind.
func blocksOf(text, kind string) (all []string) {
	for _, after := range strings.Split(text, "```"+kind+"\n")[1:] {
		block, _, _ := strings.Cut(after, "```")
		all = append(all, block)
	}
	return all
}

// layOut makes the files that the page's beginning shows by cat, the model, and a chapter's
// script.
func layOut(t *testing.T, dir string, beginning, c chapter) {
	t.Helper()
	for _, shown := range beginning.commands {
		name := strings.TrimPrefix(shown.command, "cat ")
		write(t, filepath.Join(dir, name), []byte(strings.Join(shown.printed, "\n")+"\n"))
	}
	for _, script := range c.scripts {
		write(t, filepath.Join(dir, "fill.py"), []byte(script))
	}
	model, err := os.ReadFile("../../models/reference/nyc_pipeline.onnx")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "nyc_pipeline.onnx"), model)
}

// asPrinted says whether out is what the page shows: a line "..." is any lines, and "..." in a
// line is any text.
func asPrinted(want []string, out string) bool {
	var pattern strings.Builder
	for _, line := range want {
		if line == "..." {
			pattern.WriteString("(?:.*\n)*?")
			continue
		}
		pattern.WriteString(strings.ReplaceAll(regexp.QuoteMeta(line), regexp.QuoteMeta("..."), ".*") + "\n")
	}
	if out != "" && !strings.HasSuffix(out, "\n") {
		out += "\n"
	}
	return regexp.MustCompile("^" + pattern.String() + "$").MatchString(out)
}

// bucketOfFlights is an S3 server with two days of flights.
func bucketOfFlights(t *testing.T, dir string) []string {
	t.Helper()
	gateway := blobtest.Start(t)
	gateway.PutFile(t, "days/2013-01-01.csv", filepath.Join(dir, "flights.csv"))
	return []string{"FLIGHTS=bucket", "MILLRACE_ENDPOINT=" + gateway.URL, "AWS_ACCESS_KEY_ID=" + blobtest.AccessKey, "AWS_SECRET_ACCESS_KEY=" + blobtest.SecretKey, "AWS_REGION=us-east-1"}
}

// postgresByEnvironment is a server that the variables of libpq lead to.
func postgresByEnvironment(t *testing.T, _ string) []string {
	t.Helper()
	return pgtest.Start(t).Environment()
}

// duckdbBuiltIn skips what a program without DuckDB cannot do.
func duckdbBuiltIn(t *testing.T, _ string) []string {
	t.Helper()
	var opts sink.Options
	opts.Output = "duckdb:air.duckdb?table=late"
	if err := sinkduckdb.New().Check(&opts); errors.Is(err, duckdb.ErrNotBuilt) {
		t.Skipf("%v; make test-duckdb has it", err)
	}
	return nil
}
