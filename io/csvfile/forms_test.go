package csvfile_test

import (
	"bytes"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"pgregory.net/rapid"

	"github.com/millrace/millrace/io/lines"
)

// foreign is a file as no Anglo-Saxon writes it, and how it is read by us and by pyarrow.
type foreign struct {
	name   string
	text   []byte
	opts   lines.Options
	Parse  map[string]any // of pyarrow.csv.ParseOptions
	Read   map[string]any // of ReadOptions
	Values map[string]any // of ConvertOptions
	strip  string         // separators of thousands, which pyarrow does not know
}

// pyarrow reads each of some files, and gives its rows as lists of texts.
const readByPyarrow = `
import base64, io, json, sys
import pyarrow as pa, pyarrow.csv as c
def text(v):
    if v is None: return "<null>"
    if isinstance(v, bool): return str(v).lower()
    if isinstance(v, float): return repr(v)
    return str(v)
out = []
for f in json.load(sys.stdin):
    values = dict(f["Values"])
    if "column_types" in values:
        values["column_types"] = {k: pa.timestamp("s") if v == "timestamp" else getattr(pa, v)() for k, v in values["column_types"].items()}
    t = c.read_csv(io.BytesIO(base64.b64decode(f["Text"])), c.ReadOptions(**f["Read"]), c.ParseOptions(**f["Parse"]),
                   c.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=False, **values))
    out.append([t.column_names] + [[text(v) for v in r] for r in zip(*[col.to_pylist() for col in t.columns])])
json.dump(out, sys.stdout)
`

func pyarrowRows(t *testing.T, files []foreign) [][][]string {
	t.Helper()
	python := os.Getenv("TEST_PYTHON")
	if python == "" {
		python = filepath.Join("..", "..", ".venv", "bin", "python")
	}
	if out, err := exec.CommandContext(t.Context(), python, "-c", "import pyarrow").CombinedOutput(); err != nil {
		t.Skipf("no pyarrow: set TEST_PYTHON to a Python that has it (%v %s)", err, out)
	}
	asked := make([]map[string]any, len(files))
	for i, f := range files {
		text := f.text
		for _, c := range f.strip {
			text = bytes.ReplaceAll(text, []byte(string(c)), nil)
		}
		asked[i] = map[string]any{"Text": base64.StdEncoding.EncodeToString(text), "Parse": f.Parse, "Read": f.Read, "Values": f.Values}
	}
	in, err := json.Marshal(asked)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, "-c", readByPyarrow)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var rows [][][]string
	if err := json.Unmarshal(out, &rows); err != nil {
		t.Fatal(err)
	}
	return rows
}

// grouped writes a number with a separator after each three digits from the point.
func grouped(v int64, thousands string) string {
	text := strconv.FormatInt(max(v, -v), 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + thousands + text[i:]
	}
	if v < 0 {
		return "-" + text
	}
	return text
}

// Files as banks and offices write them are read as pyarrow reads them, which knows all
// of it but separators of thousands: those are taken out for it.
func TestFormsAsPyarrowReadsThem(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 11))
	if testing.Short() {
		t.Skip("pyarrow takes a second to begin")
	}
	const head = "Datum;Konto;Betrag;Saldo;Gebucht;Zweck\n"
	const rows = 300
	bank := func(thousands string) string {
		var b strings.Builder
		for range rows {
			cents := random.Int64N(2_000_000_000_00) - 1_000_000_000_00
			fmt.Fprintf(&b, "%02d.%02d.%04d;%d;%s,%02d;%s;%s;%s\n", 1+random.IntN(28), 1+random.IntN(12), 1950+random.IntN(100), random.IntN(1e6),
				grouped(cents/100, thousands), max(cents, -cents)%100, grouped(random.Int64N(1<<50), thousands),
				[]string{"ja", "nein", "", "n/a"}[random.IntN(4)], []string{"Müller & Söhne", "'a''b'", `Rad 26" x 2`, "", "n/a"}[random.IntN(5)])
		}
		return b.String()
	}
	options := func(thousands string) (lines.Options, map[string]any) {
		ours := lines.Options{
			Delimiter: ";", Decimal: ",", Thousands: thousands, DateFormat: "%d.%m.%Y", TrueValues: []string{"ja"}, FalseValues: []string{"nein"}, NullValues: []string{"n/a"}, Quote: "none",
		}
		return ours, map[string]any{
			"decimal_point": ",", "timestamp_parsers": []string{"%d.%m.%Y"}, "true_values": []string{"ja"}, "false_values": []string{"nein"}, "null_values": []string{"", "n/a"},
			"column_types": map[string]string{"Datum": "timestamp", "Saldo": "int64", "Betrag": "float64"},
		}
	}
	semicolon := map[string]any{"delimiter": ";", "quote_char": false}
	files := make([]foreign, 0, 8)
	for _, thousands := range []string{"", "'", "_"} {
		opts, values := options(thousands)
		files = append(files, foreign{name: "thousands " + thousands, text: []byte(head + bank(thousands)), opts: opts, Parse: semicolon, Read: map[string]any{}, Values: values, strip: thousands})
		if thousands != "" {
			files[len(files)-1].text = bytes.ReplaceAll(files[len(files)-1].text, []byte("'a''b'"), []byte("ab"))
		}
	}
	opts, values := options("")
	opts.Encoding = "latin-1"
	latin, err := charmap.ISO8859_1.NewEncoder().String(head + bank(""))
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, foreign{name: "latin-1", text: []byte(latin), opts: opts, Parse: semicolon, Read: map[string]any{"encoding": "latin-1"}, Values: values})
	opts.Encoding = "utf-16"
	wide, err := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().String(head + bank(""))
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, foreign{name: "utf-16", text: []byte(wide), opts: opts, Parse: semicolon, Read: map[string]any{"encoding": "utf-16"}, Values: values})
	opts.Encoding, opts.SkipLines, opts.ColumnNames = "", 2, strings.Split("Datum,Konto,Betrag,Saldo,Gebucht,Zweck", ",")
	skipping := map[string]any{"skip_rows": 2, "column_names": opts.ColumnNames}
	files = append(files, foreign{name: "skipped and named", text: []byte("Bank X\nKonto 4711; Stand heute\n" + bank("")), opts: opts, Parse: semicolon, Read: skipping, Values: values})
	for _, says := range []string{"sep=;\n", "\xef\xbb\xbfSEP=;\r\n"} {
		opts.Delimiter, opts.SkipLines, opts.ColumnNames = "", 0, nil
		files = append(files, foreign{name: fmt.Sprintf("first %q", says), text: []byte(says + head + bank("")), opts: opts, Parse: semicolon, Read: map[string]any{"skip_rows": 1}, Values: values})
	}
	apostrophe := "a,b\n'x,1',2\n'it''s',3\n\"y\",4\n'',5\n,6\n'p\nq',7\n"
	files = append(files, foreign{
		name: "apostrophes", text: []byte(apostrophe), opts: lines.Options{Quote: "'"},
		Parse: map[string]any{"quote_char": "'", "newlines_in_values": true}, Read: map[string]any{}, Values: map[string]any{},
	})
	var times strings.Builder
	times.WriteString("a,b\n")
	for range rows {
		fmt.Fprintf(&times, "%d/%d/%04d %02d:%02d:%02d,%04d-%02d-%02d\n", 1+random.IntN(12), 1+random.IntN(28), 1950+random.IntN(120), random.IntN(24), random.IntN(60), random.IntN(60), 1950+random.IntN(120), 1+random.IntN(12), 1+random.IntN(28))
	}
	files = append(files, foreign{
		name: "times", text: []byte(times.String()), opts: lines.Options{TimestampFormat: "%m/%d/%Y %H:%M:%S"}, Parse: map[string]any{}, Read: map[string]any{},
		Values: map[string]any{"timestamp_parsers": []string{"%m/%d/%Y %H:%M:%S", "%Y-%m-%d"}},
	})
	want := pyarrowRows(t, files)
	for i, f := range files {
		got, err := read(t, f.text, f.opts)
		if err != nil {
			t.Errorf("%s: %v", f.name, err)
			continue
		}
		if !slices.Equal(got.names, want[i][0]) || len(got.rows) != len(want[i])-1 || len(got.bad) > 0 {
			t.Errorf("%s: %d rows of %q, problems %v; pyarrow has %d of %q", f.name, len(got.rows), got.names, got.problems, len(want[i])-1, want[i][0])
			continue
		}
		for r, row := range got.rows {
			for c, cell := range row {
				if alike, theirs := asPython(got.types[c], cell), strings.TrimSuffix(want[i][r+1][c], " 00:00:00"); alike != theirs && !sameNumber(got.types[c], cell, theirs) {
					t.Fatalf("%s: row %d, %s (%s) is %q; pyarrow has %q", f.name, r, got.names[c], got.types[c], alike, theirs)
				}
			}
		}
	}
}

// sameNumber says whether two texts are the same float64.
func sameNumber(typed, a, b string) bool {
	if typed != "float64" {
		return false
	}
	v, err := strconv.ParseFloat(a, 64)
	w, otherwise := strconv.ParseFloat(b, 64)
	return err == nil && otherwise == nil && v == w
}

// asPython writes a cell as Python's str does.
func asPython(typed, cell string) string {
	if cell != nullCell && strings.HasPrefix(typed, "timestamp") {
		cell = strings.TrimSuffix(strings.Replace(cell, "T", " ", 1), " 00:00:00")
	}
	return cell
}

// Comments are no rows wherever they and blocks lie, as encoding/csv has it.
func TestCommentsInBlocksOfAnySize(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		pieces := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "é", `"x#"`, "\"p\n#q\"", `"d""q"`, ",", "\n", "\n#", "\r\n", "#", "# \"odd, ", "\n#long comment, longer than a block\n", "1", ""}), 0, 40).Draw(r, "pieces")
		text := []byte("# begin\n\n#\"\na,b\n" + strings.Join(pieces, ""))
		most := rapid.SampledFrom([]int{0, 9, 30}).Draw(r, "most")
		opts := lines.Options{Header: lines.HeaderFirst, Comment: "#", MaxLineBytes: most, Types: []lines.ColumnType{{Name: "a", Type: arrow.BinaryTypes.String}, {Name: "b", Type: arrow.BinaryTypes.String}}}
		whole, err := read(t, text, opts)
		if err != nil {
			r.Fatalf("%q: %v", text, err)
		}
		reader := csv.NewReader(bytes.NewReader(text))
		reader.Comment = '#'
		if all, err := reader.ReadAll(); err == nil && len(whole.bad) == 0 {
			if len(all)-1 != len(whole.rows) {
				r.Fatalf("%q: %d rows; encoding/csv has %d", text, len(whole.rows), len(all)-1)
			}
			for i, row := range whole.rows {
				for c, cell := range row {
					if cell == nullCell {
						cell = ""
					}
					if cell = strings.ReplaceAll(cell, "\r\n", "\n"); cell != all[i+1][c] {
						r.Fatalf("%q: row %d, column %d is %q; encoding/csv has %q", text, i, c, cell, all[i+1][c])
					}
				}
			}
		}
		opts.BlockBytes = rapid.OneOf(rapid.IntRange(1, 40), rapid.SampledFrom([]int{16, 32, 64})).Draw(r, "block")
		sameInBlocks(t, r, text, opts, whole)
	})
}

// A comment that is longer than all that is read at a time is none the less no row, and
// lines behind it have their numbers.
func TestLongComment(t *testing.T) {
	text := "a,b\n1,2\n#" + strings.Repeat("x\",", 1<<19) + "\n3,4\n5,x,6\n"
	got, err := read(t, []byte(text), lines.Options{Comment: "#"})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.rows) != 3 || got.rows[1][0] != "3" || len(got.problems) != 1 || got.problems[0].Line != 5 {
		t.Errorf("rows %q, problems %+v; want three, of which the last, of line 5, is bad", got.rows, got.problems)
	}
}

// Numbers that are not grouped by three, or have the other sign, are none: a fraction is
// not taken for a thousand.
func TestNumeralsThatAreNone(t *testing.T) {
	numbers := lines.Options{Delimiter: ";", Decimal: ",", Thousands: ".", Types: []lines.ColumnType{{Name: "a", Type: arrow.PrimitiveTypes.Float64}}}
	for text, want := range map[string]string{
		"1.234,5": "1234.5", "-12.345.678": "-12345678", "1234,5": "1234.5", "1.234": "1234", ",5": "0.5", "+1.000e3": "1000000", "nan": "NaN", "0,001": "0.001", `"1.234,00"`: "1234",
		"1.5": "", "1.2345": "", "1234.567": "", "1,234.5": "", ".123": "", "1..234": "", "1.234.56": "", "1,2,3": "", "0.123": "", "1.23,4": "", "-": "", "1.": "",
	} {
		got, err := read(t, []byte("a;b\n"+text+";1\n"), numbers)
		if err != nil {
			t.Fatal(err)
		}
		v := got.rows[0][0]
		if f := ""; v != nullCell {
			var number float64
			if _, err := fmt.Sscan(v, &number); err == nil {
				f = fmt.Sprintf("%v", number)
			}
			var wanted float64
			if _, err := fmt.Sscan(want, &wanted); err != nil || fmt.Sprintf("%v", wanted) != f {
				t.Errorf("%q = %s; want %q", text, v, want)
			}
		} else if want != "" || len(got.bad) != 1 {
			t.Errorf("%q is null, problems %v; want %q", text, got.problems, want)
		}
	}
	for _, thousands := range []string{"space", " ", "\u202f", "\u00a0"} {
		opts := lines.Options{Delimiter: ";", Decimal: ",", Thousands: thousands}
		got, err := read(t, []byte("a;b\n1\u202f234\u00a0567,5;1 000\n"), opts)
		if err != nil || got.rows[0][0] != "1.2345675e+06" && got.rows[0][0] != "1234567.5" || got.rows[0][1] != "1000" {
			t.Errorf("%q: %+v, %v", thousands, got, err)
		}
	}
}

// What cannot be is refused before a file is read, by the flag's name.
func TestFormsThatAreRefused(t *testing.T) {
	for _, c := range []struct {
		opts lines.Options
		says string
	}{
		{lines.Options{Decimal: ";"}, "--decimal-separator (;)"},
		{lines.Options{Thousands: "."}, "are both"},
		{lines.Options{Thousands: "x"}, "--thousands-separator (x)"},
		{lines.Options{DateFormat: "%d.%m"}, "must have a year"},
		{lines.Options{DateFormat: "%Q"}, "after % there must be"},
		{lines.Options{DateFormat: "%Y-%m-%d %H"}, "--timestamp-format is for"},
		{lines.Options{TimestampFormat: "%Y-%m-%d %I:%M"}, "by %I and %p"},
		{lines.Options{Encoding: "utf-7"}, "--encoding (utf-7) must be"},
		{lines.Options{Comment: "//"}, "--comment (//)"},
		{lines.Options{Comment: ","}, "different characters"},
		{lines.Options{Quote: ","}, "different characters"},
		{lines.Options{Quote: "a"}, "--quote (a)"},
		{lines.Options{SkipLines: -1}, "--skip-lines (-1)"},
		{lines.Options{ColumnNames: []string{"a", "a"}}, "--column-names: name 2"},
		{lines.Options{TrueValues: []string{"x"}, FalseValues: []string{"x"}}, `both have "x"`},
	} {
		if err := c.opts.Validate(); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v; want one that says %q", c.opts, err, c.says)
		}
	}
	for _, c := range []struct {
		text string
		opts lines.Options
		says string
	}{
		{"a,b\n\x81,1\n", lines.Options{Encoding: "windows-1252"}, "byte 0x81 at 4 is no character of windows-1252"},
		{"a,b\n", lines.Options{Encoding: "utf-16"}, "no byte-order mark"},
		{"a\x00,\x00b\x00\n\x00\x00\xd8\n\x00", lines.Options{Encoding: "utf-16le"}, "unit 0xd800 at 8"},
		{"a\x00,\x00b\x00\n", lines.Options{Encoding: "utf-16le"}, "cut off"},
		{"\xff\xfea\x00", lines.Options{}, "--encoding utf-16"},
		{"a\nb\n", lines.Options{SkipLines: 3}, "have 2 lines, and --skip-lines 3"},
		{"1,2\n", lines.Options{ColumnNames: []string{"a"}}, "2 fields, and --column-names has 1"},
		{"sep=;", lines.Options{}, "no line"},
		{"sep=-\n1-2\n", lines.Options{}, `its first line is "sep=-", by which Excel knows what stands between fields; this cannot be one here: --delimiter says another`},
		{"sep=#\n1#2\n", lines.Options{Comment: "#"}, "this cannot be one here"},
		{"# only\n#", lines.Options{Comment: "#"}, "no line"},
	} {
		if got, err := read(t, []byte(c.text), c.opts); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %+v, %v; want an error that says %q", c.text, got, err, c.says)
		}
	}
}

// Any UTF-16 comes out as Go's own decoder has it, wherever its reads end.
func TestUTF16InPieces(t *testing.T) {
	var text strings.Builder
	text.WriteString("a,b\n")
	for i := range 10_000 {
		fmt.Fprintf(&text, "%c%c,%d\n", rune('a'+i%26), rune(0x1f600+i%64), i)
	}
	wide, err := unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM).NewEncoder().String(text.String())
	if err != nil {
		t.Fatal(err)
	}
	want, err := read(t, []byte(text.String()), lines.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := read(t, []byte(wide), lines.Options{Encoding: "utf-16be"})
	if err != nil || fmt.Sprint(got.rows) != fmt.Sprint(want.rows) {
		t.Errorf("%v; the rows differ", err)
	}
}
