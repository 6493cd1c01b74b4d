package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	headLine   = `{"kind":"head","bench":"a","head":{"schema":1,"started":"2026-11-20T09:15:00Z","command":null,"machine":{"cpu":"","arch":"","cores":2,"cores_online":2,"memory_bytes":0,"kernel":""},"versions":{"millrace":"","commit":"","go":"","onnxruntime":""},"model":{"name":"","sha256":"","bytes":0},"data":{"source":"","format":"","files":0,"rows":0,"bytes":0,"columns":0,"sha256":""}}}` + "\n"
	repeatLine = `{"kind":"repeat","bench":"a","repeat":{"stage":"infer","provider":"cpu","batch_rows":1,"workers":1,"intra_op_threads":1,"index":0,"rows":10,"seconds":0.5,"cpu_seconds":0.5}}` + "\n"
	stopLine   = `{"kind":"stop","bench":"a","stop":{"stage":"infer","provider":"cpu","batch_rows":1,"workers":1,"intra_op_threads":1,"after":1,"reason":"slow"}}` + "\n"
)

func TestReadRecords(t *testing.T) {
	got := mustRead(t, []byte(headLine+"\n"+repeatLine+stopLine+strings.ReplaceAll(headLine, `"bench":"a"`, `"bench":"b"`)+repeatLine))
	if len(got) != 2 || got[0].ID != "a" || len(got[0].Repeats) != 2 || len(got[0].Stops) != 1 || got[1].ID != "b" || len(got[1].Repeats) != 0 {
		t.Errorf("ReadRecords = %+v; want a with two repeats and a stop, and b with none", got)
	}
}

// What is written is read back the same.
func TestRecordsRoundTrip(t *testing.T) {
	want := twoMachines(t)
	var w bytes.Buffer
	for _, b := range want {
		out, err := NewWriter(&w, b.ID, &b.Head)
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Repeats {
			if err := out.Repeat(&b.Repeats[i]); err != nil {
				t.Fatal(err)
			}
		}
		for i := range b.Stops {
			if err := out.Stop(&b.Stops[i]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if diff := cmp.Diff(want, mustRead(t, w.Bytes())); diff != "" {
		t.Error(diff)
	}
}

// The command that reads a file tells its user the line.
func TestReadRecordsRefusals(t *testing.T) {
	for _, c := range []struct{ name, data, say string }{
		{"nothing", "", "no records"},
		{"not JSON", headLine + "hello\n", "line 2"},
		{"a line cut off in the middle", headLine + repeatLine[:60] + "\n" + repeatLine, "line 2"},
		{"cores below zero", strings.Replace(headLine, `"cores":2`, `"cores":-2`, 1), "line 1: cores is -2"},
		{"a head cut off", headLine[:60], "line 1"},
		{"a price that no machine has", strings.Replace(headLine, `"schema":1`, `"schema":1,"price_per_hour":1e-300`, 1), "line 1: price_per_hour is 1e-300"},
		{"another kind", headLine + `{"kind":"fly","bench":"a"}`, `line 2: kind "fly"`},
		{"a kind without its fields", headLine + `{"kind":"repeat","bench":"a"}`, `line 2: kind "repeat"`},
		{"a repeat before any head", repeatLine, `line 1 belongs to measurement "a"`},
		{"a file added to itself", headLine + headLine, "begins twice"},
		{"another schema", strings.Replace(headLine, `"schema":1`, `"schema":2`, 1), "schema 2"},
		{"no rows", headLine + strings.Replace(repeatLine, `"rows":10`, `"rows":0`, 1), "line 2: a repeat of 0 rows"},
		{"no time", headLine + strings.Replace(repeatLine, `"seconds":0.5`, `"seconds":0`, 1), "line 2: a repeat of 10 rows in 0 s"},
		{"a time that no clock tells", headLine + strings.Replace(repeatLine, `"seconds":0.5`, `"seconds":1e-300`, 1), "line 2: seconds is 1e-300"},
		{"CPU time below zero", headLine + strings.Replace(repeatLine, `"cpu_seconds":0.5`, `"cpu_seconds":-1`, 1), "line 2: cpu_seconds is -1"},
		{"workers below zero", headLine + strings.Replace(repeatLine, `"workers":1`, `"workers":-1`, 1), "line 2: workers is -1"},
		{"a number that is none", headLine + strings.Replace(repeatLine, `"seconds":0.5`, `"seconds":1e999`, 1), "line 2"},
		{"an endless line", headLine + strings.Repeat("x", maxLineBytes+1), "line 2"},
	} {
		got, err := ReadRecords(strings.NewReader(c.data))
		if !errors.Is(err, ErrRecords) || got != nil {
			t.Errorf("%s: ReadRecords = %v, %v; want an error that wraps ErrRecords", c.name, got, err)
		} else if !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: %q does not say %q", c.name, err, c.say)
		}
	}
	broken := io.MultiReader(strings.NewReader(headLine), &failing{})
	if _, err := ReadRecords(broken); !errors.Is(err, ErrRecords) || !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("ReadRecords of a reader that fails = %v; want its error too", err)
	}
}

// What a killed writer leaves can be read, and is known to be incomplete.
func TestReadRecordsCutOff(t *testing.T) {
	for _, c := range []struct {
		name, data string
		repeats    int
		cut        bool
	}{
		{"in the middle of a line", headLine + repeatLine + repeatLine[:60], 1, true},
		{"at the end of a line", headLine + repeatLine, 1, false},
		{"before the end of a line", headLine + repeatLine + strings.TrimSpace(repeatLine), 2, false},
	} {
		got, err := ReadRecords(strings.NewReader(c.data))
		if err != nil || len(got) != 1 || len(got[0].Repeats) != c.repeats || got[0].Cut != c.cut {
			t.Errorf("cut off %s: ReadRecords = %+v, %v; want %d repeats, cut: %t", c.name, got, err, c.repeats, c.cut)
			continue
		}
		var table bytes.Buffer
		if err := WriteTable(&table, got); err != nil {
			t.Fatal(err)
		}
		if said := strings.Contains(table.String(), "INCOMPLETE"); said != c.cut {
			t.Errorf("cut off %s: the table says so: %t; want %t", c.name, said, c.cut)
		}
	}
}

type failing struct{}

func (*failing) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }

// FuzzReadRecords: a file gives measurements or an error, never both, and what
// it gives can be shown in every way.
func FuzzReadRecords(f *testing.F) {
	f.Add([]byte(headLine + repeatLine + stopLine))
	f.Add([]byte(headLine + strings.ReplaceAll(repeatLine, `"infer"`, `"end_to_end"`)))
	f.Add([]byte(headLine + strings.ReplaceAll(repeatLine, `"rows":10`, `"rows":9223372036854775807,"chosen":true,"joules":1e-12`)))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := ReadRecords(bytes.NewReader(data))
		if err != nil {
			if !errors.Is(err, ErrRecords) || all != nil {
				t.Fatalf("ReadRecords = %v, %v", all, err)
			}
			return
		}
		report(t, "", all)
		for _, b := range all {
			if _, err := json.Marshal(Summarize(b)); err != nil { // NaN and infinity cannot be written
				t.Fatal(err)
			}
		}
		if err := WriteTable(io.Discard, all); err != nil {
			t.Fatal(err)
		}
		if err := WriteBenchfmt(io.Discard, all); err != nil {
			t.Fatal(err)
		}
		if c, err := Compare(all, all); err == nil {
			if c.Regressed() {
				t.Error("a measurement is worse than itself")
			}
			if err := c.Text(io.Discard); err != nil {
				t.Fatal(err)
			}
		}
	})
}
