package main

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// The document of answers names every field of every command's, and those below them that
// are this package's.
func TestAnswersAreDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "json.md"))
	if err != nil {
		t.Fatal(err)
	}
	answers := map[string][]report{
		"score": {&scoreReport{}, &nothingNewReport{}}, "plan": {&planReport{}}, "inspect": {&modelReport{}, &dataReport{}}, "bench": {&benchReport{}},
		"verify": {&verifyReport{}}, "runs": {&runsReport{}}, "replay": {&replayReport{}}, "report": {&pageReport{}}, "init": {&initReport{}},
		"rewrite": {&rewriteReport{}}, "doctor": {&doctorReport{}}, "version": {&versionReport{}},
	}
	for _, c := range newRoot(streams{}, &commonOptions{}).Commands() {
		if !strings.Contains(string(text), "## "+c.Name()+"\n") && answers[c.Name()] != nil {
			t.Errorf("docs/json.md has no section for %s", c.Name())
		}
		if answers[c.Name()] == nil && c.Name() != "schema" && c.Name() != "completion" {
			t.Errorf("the answer of %s is not in this test", c.Name())
		}
	}
	for command, reports := range answers {
		_, section, _ := strings.Cut(string(text), "\n## "+command+"\n")
		section, _, _ = strings.Cut(section, "\n## ")
		for _, r := range reports {
			for _, field := range answerFields(reflect.TypeOf(r), map[reflect.Type]bool{}) {
				if !strings.Contains(section, "`"+field+"`") {
					t.Errorf("docs/json.md does not name `%s` of %s", field, command)
				}
			}
		}
	}
}

// answerFields are the names of a report's fields in JSON.
func answerFields(of reflect.Type, seen map[reflect.Type]bool) (names []string) {
	for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct || seen[of] {
		return nil
	}
	seen[of] = true
	for field := range of.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		inner := field.Type
		for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		switch {
		case field.Anonymous && name == "":
			names = append(names, answerFields(field.Type, seen)...)
		case name != "" && name != "-":
			names = append(names, name)
			if inner.PkgPath() == reflect.TypeFor[versionReport]().PkgPath() {
				names = append(names, answerFields(inner, seen)...)
			}
		}
	}
	return names
}

// Every flag is told of in a document, besides the help.
func TestFlagsAreDocumented(t *testing.T) {
	slow(t)
	paths, err := filepath.Glob(filepath.Join("..", "..", "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, path := range append(paths, filepath.Join("..", "..", "README.md")) {
		one, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(one)
	}
	root := newRoot(streams{}, &commonOptions{})
	for _, c := range append(root.Commands(), root) {
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			key := strings.ReplaceAll(f.Name, "-", "_") // of job files
			if named := regexp.MustCompile("--" + f.Name + `\b[^-]|` + "`" + key + "`"); !f.Hidden && f.Name != "help" && !named.MatchString(text.String()) {
				t.Errorf("no document names --%s of %s", f.Name, c.CommandPath())
			}
		})
	}
}
