package jobfile

import (
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"pgregory.net/rapid"
)

// Any text that a draft writes is read as the same text: by us, and by a decoder that
// is not ours.
func TestDraftTextsComeBack(t *testing.T) {
	for _, text := range []string{
		"id", "dep delay", "no", "null", "~", "12", "0x1F", "1e3", ".nan", "a: b", "a #b", "- a", "*a", "&a", "!a", "%a", "@a", "`a", "'a'", `"a"`, `a\b`, "${x}", "$${x}",
		"[a]", "{a}", "a,b", "", " a ", "é", "日本", "\u2028", "a\tb", "a\nb", "---", "...", "<<", "=", "?", "😀", "\u0085x", "<b>&", "a/b-c.d", "/x", "./x", "../x", ".",
	} {
		comesBack(t, text)
	}
	rapid.Check(t, func(t *rapid.T) {
		comesBack(t, rapid.String().Draw(t, "text"))
	})
}

type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

func comesBack(t failer, text string) {
	t.Helper()
	if strings.ContainsRune(text, '\x00') || text == "" { // no column's name
		return
	}
	source := "keep:\n  - " + yamlText(text) + " # " + comment(text) + "\nids: " + flowList([]string{text, text}) + "\n"
	job, err := decode(source, nil)
	if err != nil {
		t.Fatalf("%q as %q: %v", text, source, err)
	}
	if len(job.Keep) != 1 || job.Keep[0] != text || len(job.IDs) != 2 || job.IDs[1] != text {
		t.Fatalf("%q as %q came back as %q and %q", text, source, job.Keep, job.IDs)
	}
	var other struct{ Keep, IDs []string }
	if err := yaml.Unmarshal([]byte(source), &other); err != nil || len(other.Keep) != 1 || other.Keep[0] != strings.ReplaceAll(text, "${", "$${") {
		t.Fatalf("%q as %q: another decoder reads %q (%v)", text, source, other.Keep, err)
	}
}
