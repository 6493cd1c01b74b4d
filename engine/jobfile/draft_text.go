package jobfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"

	"github.com/millrace/millrace/batcher"
	"github.com/millrace/millrace/io/lines"
	"github.com/millrace/millrace/models"
)

// text writes the draft.
func (d *draft) text() []byte {
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# A job of millrace, written by millrace init: docs/jobs.md has every key.")
	line("# Paths are relative to this file's folder. Flags override what stands here.")
	line("")
	line("# It takes %s", d.valueList(d.model.Inputs))
	line("# and gives %s.", d.valueList(d.model.Outputs))
	line("model: %s", yamlText(d.relative(d.opts.Model)))
	line("model_sha256: %s # any other file is refused", yamlText(d.model.SHA256))
	line("")
	line("# %s rows in %s.", humanize.Comma(d.rows), english.Plural(d.files, "file", ""))
	d.list(&b, "input", d.relativeAll(d.opts.Inputs), nil)
	d.lines(&b)
	line("")
	line("# A directory, or one file that ends in .parquet, .arrow, .csv or .jsonl.")
	line("output: scores")
	line("# if_exists: replace # or append; default: an output that is there is left alone")
	line("")
	line("# Columns that identify a row: they come first in the output.")
	if len(d.opts.IDs) > 0 {
		d.list(&b, "ids", d.opts.IDs, nil)
	} else {
		line("# ids: [%s]", comment(strings.Join(d.unused(), ", ")))
	}
	if len(d.opts.Keep) > 0 {
		line("# Columns to pass through.")
		d.list(&b, "keep", d.opts.Keep, nil)
	} else if unused := d.unused(); len(unused) > 0 {
		line("# Columns to pass through. The model does not take these:")
		line("# keep: [%s]", comment(strings.Join(unused, ", ")))
	}
	if len(d.opts.ModelOutputs) > 0 {
		line("# Outputs of the model to write: the others cannot become columns.")
		d.list(&b, "model_outputs", d.opts.ModelOutputs, nil)
	}
	d.inputs(&b)
	d.policies(&b)
	line("")
	line("# A row that cannot be scored makes the run fail. Or it is left out (reject) or has")
	line("# null predictions (null), and is listed in rejects.parquet, up to a limit:")
	line("# on_bad_row: reject")
	line("# limits:")
	line("#   max_bad_rows: 0.1%%")
	line("#   memory: 2GiB")
	return b.Bytes()
}

// lines writes what was said of files of lines, by which the data was read.
func (d *draft) lines(b *bytes.Buffer) {
	o := d.opts.Lines
	o.EnsureDefaults()
	skip := ""
	if o.SkipLines > 0 {
		skip = strconv.Itoa(o.SkipLines)
	}
	for _, s := range []struct{ key, value, unsaid string }{
		{"input_format", d.opts.InputFormat, "auto"},
		{"encoding", o.Encoding, ""},
		{"delimiter", o.Delimiter, ""},
		{"quote", o.Quote, ""},
		{"comment", o.Comment, ""},
		{"skip_lines", skip, ""},
		{"header", string(o.Header), string(lines.HeaderAuto)},
		{"decimal_separator", o.Decimal, ""},
		{"thousands_separator", o.Thousands, ""},
		{"date_format", o.DateFormat, ""},
		{"timestamp_format", o.TimestampFormat, ""},
		{"nested", string(o.Nested), string(lines.NestedRefuse)},
	} {
		switch {
		case s.value == "" || s.value == s.unsaid:
		case s.key == "skip_lines":
			fmt.Fprintf(b, "%s: %s\n", s.key, s.value)
		default:
			fmt.Fprintf(b, "%s: %s\n", s.key, yamlText(s.value))
		}
	}
	for _, l := range []struct {
		key    string
		values []string
	}{
		{"column_names", o.ColumnNames}, {"null_values", o.NullValues}, {"true_values", o.TrueValues}, {"false_values", o.FalseValues},
	} {
		if len(l.values) > 0 {
			d.list(b, l.key, l.values, nil)
		}
	}
	for i, t := range o.Types {
		if i == 0 {
			b.WriteString("types:\n")
		}
		fmt.Fprintf(b, "  %s: %s\n", yamlText(t.Name), yamlText(lines.TypeName(t.Type)))
	}
}

// valueList writes inputs or outputs for a comment.
func (d *draft) valueList(all []models.Value) string {
	texts := make([]string, 0, len(all))
	for i := range all {
		v := &all[i]
		shape := ""
		if v.HasShape {
			shape = v.Shape.String()
		}
		texts = append(texts, comment(fmt.Sprintf("%s %s%s", v.Name, v.Elem, shape)))
	}
	if len(texts) > maxListed {
		texts = append(texts[:maxListed], fmt.Sprintf("and %d more", len(all)-maxListed))
	}
	return strings.Join(texts, ", ")
}

// inputs writes how columns make the model's inputs.
func (d *draft) inputs(b *bytes.Buffer) {
	for _, guess := range d.guesses {
		fmt.Fprintf(b, "\n# CHECK: %s.", comment(guess))
	}
	b.WriteString("\n")
	var byName []string
	bound := false
	for i := range d.plan.Bindings {
		binding := &d.plan.Bindings[i]
		switch columns := d.opts.Bind[binding.Input.Name]; {
		case len(columns) > 0:
			if !bound {
				b.WriteString("# What model inputs are made of.\nbind:\n")
				bound = true
			}
			fmt.Fprintf(b, "  %s: %s\n", yamlText(binding.Input.Name), flowList(columns))
		case binding.Form == batcher.Matrix || binding.Features[0].Column != binding.Input.Name: // one column can be a list too
			fmt.Fprintf(b, "# What input %s is made of, in the model's order: columns, or features that\n# are made from columns (docs/features.md).\n", comment(quoted(binding.Input.Name)))
			columns, notes := make([]string, len(binding.Features)), make([]string, len(binding.Features))
			for i, f := range binding.Features {
				columns[i], notes[i] = f.Column, d.note(&f)
			}
			d.list(b, "features", columns, notes)
		default:
			byName = append(byName, fmt.Sprintf("#   %s: %s", comment(binding.Input.Name), d.note(&binding.Features[0])))
		}
	}
	if len(byName) > 0 {
		fmt.Fprintf(b, "# These inputs take the columns of their names (bind says otherwise):\n%s\n", strings.Join(byName, "\n"))
	}
	if d.lossy {
		b.WriteString("\n# The data has more digits than the model's inputs: rounding is counted.\nallow_lossy_casts: true\n")
	}
}

// note says what a column is.
func (d *draft) note(f *batcher.Feature) string {
	text := comment(f.Type.String())
	if f.Cast != batcher.Exact {
		text += fmt.Sprintf(", %s cast", f.Cast)
	}
	if n, ok := d.nulls[f.Column]; ok && n > 0 {
		text += ", " + english.Plural(int(n), "null", "")
	}
	return text
}

// policies writes what nulls become.
func (d *draft) policies(b *bytes.Buffer) {
	b.WriteString("\n# What a null becomes: error, nan, reject (the row), or a constant; a constant may\n# suit better than what stands here, if the model was trained with one.\n")
	all, others := d.nullPolicies()
	if len(all) == 0 && !others {
		b.WriteString("# nulls: nan\n")
		return
	}
	b.WriteString("nulls:\n")
	for _, p := range all {
		why := "if there are some: nothing says how many"
		if p.nulls >= 0 {
			why = humanize.Comma(p.nulls) + " of them"
		}
		fmt.Fprintf(b, "  %s: %s # %s\n", yamlText(p.column), p.policy, why)
	}
	if others {
		b.WriteString("  \"*\": nan # all others\n")
	}
}

// unused are the columns that neither the model nor the output has.
func (d *draft) unused() []string {
	var unused []string
	for _, f := range d.schema.Fields() {
		if nameable(f.Name) && !slices.Contains(d.plan.Columns, f.Name) && !slices.Contains(d.opts.IDs, f.Name) {
			unused = append(unused, yamlText(f.Name))
		}
	}
	if len(unused) > maxListed {
		unused = append(unused[:maxListed], "...")
	}
	return unused
}

// list writes a key and its list: one entry in its line, several below it.
func (d *draft) list(b *bytes.Buffer, key string, entries, notes []string) {
	if len(entries) == 1 && notes == nil {
		fmt.Fprintf(b, "%s: %s\n", key, yamlText(entries[0]))
		return
	}
	fmt.Fprintf(b, "%s:\n", key)
	for i, entry := range entries {
		fmt.Fprintf(b, "  - %s", yamlText(entry))
		if notes != nil {
			fmt.Fprintf(b, " # %s", notes[i])
		}
		b.WriteString("\n")
	}
}

func flowList(entries []string) string {
	texts := make([]string, len(entries))
	for i, entry := range entries {
		texts[i] = yamlText(entry)
	}
	return "[" + strings.Join(texts, ", ") + "]"
}

// relative is a path as the job file has to say it.
func (d *draft) relative(path string) string {
	if filepath.IsAbs(path) || d.dir == "." || strings.Contains(path, "://") {
		return path
	}
	if rel, err := filepath.Rel(d.dir, path); err == nil {
		return rel
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	return absolute
}

func (d *draft) relativeAll(paths []string) []string {
	all := make([]string, len(paths))
	for i, path := range paths {
		all[i] = d.relative(path)
	}
	return all
}

// plainText matches texts that need no quotes, in flow lists neither.
var plainText = regexp.MustCompile(`^[A-Za-z_/.][A-Za-z0-9_./-]*$`)

// yamlText writes a text as a scalar that is read as the same text.
func yamlText(text string) string {
	text = strings.ReplaceAll(text, "${", "$${")
	if kind, _ := resolvePlain(text); kind == textNode && plainText.MatchString(text) && text != "." && text != "---" && text != "..." {
		return text
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b) // a JSON string is a YAML one
	enc.SetEscapeHTML(false)
	if err := enc.Encode(text); err != nil {
		return fmt.Sprintf("%q", text)
	}
	return strings.ReplaceAll(strings.TrimSuffix(b.String(), "\n"), "\x7f", `\u007f`)
}

// comment makes a text fit into a comment's line.
func comment(text string) string {
	return strings.Map(func(r rune) rune {
		if isControl(r) || r == '\u0085' || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, clipComment(text))
}

// maxCommentBytes bounds a comment's line.
const maxCommentBytes = 300

func clipComment(text string) string {
	if len(text) <= maxCommentBytes {
		return text
	}
	return strings.ToValidUTF8(text[:maxCommentBytes], "") + "..."
}
