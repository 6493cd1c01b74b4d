package ledger

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestRowsCheck(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.Int64Range(-2, 1<<40)
		r := Rows{Scored: count.Draw(t, "scored"), Rejected: count.Draw(t, "rejected"), Filtered: count.Draw(t, "filtered")}
		r.Read = r.Scored + r.Rejected + r.Filtered
		negative := r.Scored < 0 || r.Rejected < 0 || r.Filtered < 0 || r.Read < 0
		if err := r.Check(); (err != nil) != negative {
			t.Fatalf("%+v.Check() = %v", r, err)
		}
		r.Read++
		if err := r.Check(); !errors.Is(err, ErrAccounts) {
			t.Fatalf("%+v.Check() = %v; want ErrAccounts", r, err)
		}
	})
}

func TestRunID(t *testing.T) {
	at := time.Date(2026, 11, 23, 14, 15, 0, 0, time.FixedZone("", 3600))
	id := NewRunID(at)
	if !strings.HasPrefix(id, "20261123T131500Z-") || !ValidRunID(id) {
		t.Errorf("NewRunID() = %q", id)
	}
	if later := NewRunID(at.Add(time.Second)); later <= id {
		t.Errorf("%q does not sort after %q", later, id)
	}
	for _, bad := range []string{"", "x", id + "0", "../" + id, strings.ToUpper(id[:17]) + "ABCDEF"} {
		if ValidRunID(bad) {
			t.Errorf("ValidRunID(%q) = true", bad)
		}
	}
}

func TestManifestRoundTrip(t *testing.T) {
	start := time.Date(2026, 11, 23, 14, 15, 0, 0, time.FixedZone("", 3600))
	rows := Rows{Read: 3, Scored: 1, Rejected: 2, Nulled: 1}
	m := &Manifest{
		Version: ManifestVersion, Run: oldRun, Started: start, Finished: start.Add(time.Minute),
		Model:    ModelFile{Path: "m.onnx", SHA256: "ab", Bytes: 9},
		Inputs:   []Input{{Path: "a<b>.parquet", Format: "parquet", Bytes: 1, Rows: 3, ModTime: start, Ledger: rows, Spans: []Rows{rows}}},
		Outputs:  []Output{{Name: "part-00000.parquet", SHA256: "cd", Bytes: 2, Rows: 2}},
		Rejects:  &Output{Name: "rejects.parquet", Rows: 2},
		Schema:   Columns(arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.PrimitiveTypes.Int64}}, nil)),
		Settings: map[string]any{"features": []any{"a", "b"}, "compression": "zstd"},
		Versions: Versions{Millrace: "1", Commit: "c", Go: "g", ORT: "o", Arrow: "a"},
		Machine:  Machine{CPU: "x", Cores: 2}, Ledger: rows, Parts: []Rows{rows},
	}
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"started": "2026-11-23T13:15:00Z"`, `"mtime": "2026-11-23T13:15:00Z"`, `"a<b>.parquet"`, `"type": "int64"`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("manifest lacks %s:\n%s", want, data)
		}
	}
	got, err := ParseManifest(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m, got); diff != "" {
		t.Errorf("round trip (-want +got):\n%s", diff)
	}
}

// Spans add up to their file, each of them by itself too.
func TestCheckSpans(t *testing.T) {
	whole := Rows{Read: 5, Scored: 3, Rejected: 2}
	for name, c := range map[string]struct {
		spans []Rows
		wrong string
	}{
		"no spans":                  {nil, ""},
		"spans that add up":         {[]Rows{{Read: 3, Scored: 1, Rejected: 2}, {}, {Read: 2, Scored: 2}}, ""},
		"a row is missing":          {[]Rows{{Read: 3, Scored: 1, Rejected: 2}, {Read: 1, Scored: 1}}, "spans {"},
		"a span is wrong in itself": {[]Rows{{Read: 3, Scored: 2, Rejected: 2}, {Read: 2, Scored: 1}}, "span 0"},
	} {
		m := &Manifest{Inputs: []Input{{Path: "a", Rows: 5, Ledger: whole, Spans: c.spans}}, Ledger: whole, Parts: []Rows{whole}, Outputs: []Output{{Rows: 3}}}
		err := m.Check()
		if (err != nil) != (c.wrong != "") || err != nil && (!errors.Is(err, ErrAccounts) || !strings.Contains(err.Error(), c.wrong)) {
			t.Errorf("%s: Check() = %v; want %q", name, err, c.wrong)
		}
	}
}

// Rejected rows that stand in the output are counted as such, in every account.
func TestCheckNulled(t *testing.T) {
	for name, c := range map[string]struct {
		rows    Rows
		written int64
		ok      bool
	}{
		"none":                       {Rows{Read: 5, Scored: 3, Rejected: 2}, 3, true},
		"some are in the output":     {Rows{Read: 5, Scored: 3, Rejected: 2, Nulled: 1}, 4, true},
		"one of them is missing":     {Rows{Read: 5, Scored: 3, Rejected: 2, Nulled: 2}, 4, false},
		"more than were rejected":    {Rows{Read: 5, Scored: 3, Rejected: 2, Nulled: 3}, 6, false},
		"fewer than none":            {Rows{Read: 5, Scored: 3, Rejected: 2, Nulled: -1}, 2, false},
		"left out of the scored too": {Rows{Read: 5, Scored: 2, Rejected: 2, Nulled: 1}, 3, false},
	} {
		m := &Manifest{
			Inputs: []Input{{Path: "a", Rows: 5, Ledger: c.rows, Spans: []Rows{c.rows}}}, Ledger: c.rows, Parts: []Rows{c.rows},
			Outputs: []Output{{Rows: c.written}}, Rejects: &Output{Rows: 2},
		}
		if err := m.Check(); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrAccounts) {
			t.Errorf("%s: Check() = %v; want ok = %t", name, err, c.ok)
		}
	}
}

func TestParseManifestRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON":         `{`,
		"another version": `{"version": "millrace.manifest/2"}`,
		"unknown field":   `{"version": "millrace.manifest/1", "signature": 1}`,
		"a wrong type":    `{"version": "millrace.manifest/1", "run": 1}`,
	} {
		if _, err := ParseManifest([]byte(text)); !errors.Is(err, ErrManifest) {
			t.Errorf("%s: ParseManifest() = %v; want ErrManifest", name, err)
		}
	}
}
