package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// journalLines are those of a run that was killed once, stopped once and goes on.
func journalLines(t *testing.T) []string {
	t.Helper()
	part := func(n int) *int { return &n }
	lines := []*Line{
		{Head: &Head{Version: JournalVersion, Run: oldRun, Started: time.Unix(0, 0).UTC(), Job: Job{Facts: []Fact{{Name: "model", Value: "a"}}}, Frozen: json.RawMessage(`{"rows":4096}`)}},
		{Start: &Start{Run: oldRun, PID: 1}},
		{Begun: part(0)},
		{Begun: part(1)},
		{Digest: &DigestRecord{File: 2, Digest: "xxh3:00"}},
		{Part: &PartRecord{Part: 0, Outputs: []Output{{Name: "part-00000.parquet", Bytes: 3}}}},
		{Start: &Start{Run: newRun, PID: 2}}, // the first was killed in part 1
		{Begun: part(1)},
		{Stopped: "interrupted"},
		{Start: &Start{Run: thirdRun, PID: 3}},
		{Begun: part(1)},
		{Part: &PartRecord{Part: 1, Outputs: []Output{{Name: "part-00001.parquet", Bytes: 4}}}},
		{Begun: part(2)},
	}
	text := make([]string, len(lines))
	for i, l := range lines {
		b, err := EncodeLine(l)
		if err != nil {
			t.Fatal(err)
		}
		text[i] = string(b)
	}
	return text
}

func TestJournal(t *testing.T) {
	text := strings.Join(journalLines(t), "")
	j := ParseJournal([]byte(text))
	if j.Head == nil || j.Head.Run != oldRun || string(j.Head.Frozen) != `{"rows":4096}` || len(j.Starts) != 3 || j.size != int64(len(text)) {
		t.Errorf("ParseJournal() = %+v, head %+v", j, j.Head)
	}
	if len(j.Parts) != 2 || j.Parts[0].Outputs[0].Bytes != 3 || j.Parts[1].Part != 1 {
		t.Errorf("parts = %+v; want 0 and 1", j.Parts)
	}
	if diff := cmp.Diff(map[int]string{2: "xxh3:00"}, j.Digests); diff != "" {
		t.Errorf("digests (-want +got):\n%s", diff)
	}
	// Part 1 killed the first start; the second stopped and knew why; part 2 was
	// open when the third ended.
	if diff := cmp.Diff(map[int]int{1: 1, 2: 1}, j.Deaths); diff != "" {
		t.Errorf("deaths (-want +got):\n%s", diff)
	}
}

// TestJournalDamaged cuts and flips a journal anywhere: what is read is the lines
// before the damage, and nothing else.
func TestJournalDamaged(t *testing.T) {
	lines := journalLines(t)
	text := strings.Join(lines, "")
	rapid.Check(t, func(t *rapid.T) {
		data := []byte(text)
		at := rapid.IntRange(0, len(data)-1).Draw(t, "at")
		if rapid.Bool().Draw(t, "cut") {
			data = data[:at]
		} else {
			data[at] ^= byte(rapid.IntRange(1, 255).Draw(t, "flip"))
		}
		var whole int64 // bytes of the lines before the damage
		for _, l := range lines {
			if whole+int64(len(l)) > int64(at) {
				break
			}
			whole += int64(len(l))
		}
		j := ParseJournal(data)
		if j.size != whole {
			t.Errorf("damage at %d: %d bytes count; want %d", at, j.size, whole)
		}
	})
}

// Every bit of a checksum counts, also the one that makes a small digit a capital.
func TestJournalDamagedChecksum(t *testing.T) {
	text := strings.Join(journalLines(t), "")
	for bit := range 64 {
		data := []byte(text)
		data[bit/8] ^= 1 << (bit % 8)
		if j := ParseJournal(data); j.size != 0 {
			t.Errorf("bit %d of the first checksum flipped, %q in place of %q: %d bytes count; want 0", bit, data[:8], text[:8], j.size)
		}
	}
}

func TestJournalIsNoJournal(t *testing.T) {
	for _, text := range []string{"", "x", "00000000 {}\n", strings.Repeat("a", 100) + "\n", "\n\n\n"} {
		if j := ParseJournal([]byte(text)); j.Head != nil || j.size != 0 {
			t.Errorf("ParseJournal(%q) = %+v; want nothing", text, j)
		}
	}
	// Another version's head, and a head that is not the first line.
	other, err := EncodeLine(&Line{Head: &Head{Version: "millrace.journal/99"}})
	if err != nil {
		t.Fatal(err)
	}
	if j := ParseJournal(other); j.Head != nil {
		t.Errorf("head of another version was read: %+v", j.Head)
	}
	lines := journalLines(t)
	if j := ParseJournal([]byte(lines[1] + lines[0])); j.size != 0 {
		t.Errorf("a journal without a head first was read to %d", j.size)
	}
}

func FuzzJournal(f *testing.F) {
	f.Add([]byte("00000000 {}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		j := ParseJournal(data)
		if j.size > int64(len(data)) || j.size > 0 && j.Head == nil {
			t.Errorf("ParseJournal() = %+v of %d bytes", j, len(data))
		}
	})
}

func TestJobDifferences(t *testing.T) {
	was := Job{Facts: []Fact{{Name: "model", Value: "a"}, {Name: "input x", Value: "1", Input: true}, {Name: "input y", Value: "2", Input: true}}}
	tests := []struct {
		name  string
		now   []Fact
		want  []string
		input bool // all that changed is the input
	}{
		{"equal", was.Facts, nil, false},
		{"a setting", []Fact{{Name: "model", Value: "b"}, was.Facts[1], was.Facts[2]}, []string{"model was a and is b"}, false},
		{"an input", []Fact{was.Facts[0], was.Facts[1], {Name: "input y", Value: "3", Input: true}}, []string{"input y was 2 and is 3"}, true},
		{"another and a missing input", []Fact{was.Facts[0], was.Facts[1], {Name: "input z", Value: "3", Input: true}}, []string{"input z is new: 3", "input y is gone; it was 2"}, true},
		{"both", []Fact{{Name: "model", Value: "b"}, was.Facts[1]}, []string{"model was a and is b", "input y is gone; it was 2"}, false},
		{"the model, from which its rewrites follow", []Fact{{Name: "model", Value: "b"}, {Name: "rewrites", Value: "some", Of: "model"}, was.Facts[1], was.Facts[2]}, []string{"model was a and is b"}, false},
		{"the rewrites of the same model", []Fact{was.Facts[0], {Name: "rewrites", Value: "some", Of: "model"}, was.Facts[1], was.Facts[2]}, []string{"rewrites is new: some"}, false},
		{"the order", []Fact{was.Facts[0], was.Facts[2], was.Facts[1]}, []string{"order of the inputs was one and is another"}, true},
	}
	for _, test := range tests {
		now := Job{Facts: test.now}
		var got []string
		changed := now.Differences(was)
		for _, d := range changed {
			got = append(got, d.String())
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
		if (now.Digest() == was.Digest()) != (test.want == nil) {
			t.Errorf("%s: digests %s and %s", test.name, now.Digest(), was.Digest())
		}
		if err := error(&OtherJobError{Differences: changed}); test.want != nil && (errors.Is(err, ErrInputChanged) != test.input || !errors.Is(err, ErrOtherJob)) {
			t.Errorf("%s: ErrInputChanged is %v; want %v", test.name, errors.Is(err, ErrInputChanged), test.input)
		}
	}
	many := Job{}
	for i := range 20 {
		many.Facts = append(many.Facts, Fact{Name: fmt.Sprint("f", i), Value: "1"})
	}
	err := &OtherJobError{Output: "o", Differences: many.Differences(Job{})}
	if text := err.Error(); !strings.Contains(text, "f7 is new") || strings.Contains(text, "f8") || !strings.Contains(text, "12 more") {
		t.Errorf("message: %s", text)
	}
}

// A long value is shown around what is different.
func TestDifferenceOfLongValues(t *testing.T) {
	was := strings.Repeat("é,", 300) + "was" + strings.Repeat(",z", 300)
	is := strings.Repeat("é,", 300) + "is now" + strings.Repeat(",z", 300)
	for _, d := range []Difference{
		{Fact: Fact{Name: "keep", Value: is}, Was: was},
		{Fact: Fact{Name: "keep", Value: is}},
		{Fact: Fact{Name: "keep"}, Was: was},
	} {
		got := d.String()
		if len(got) > 2*shownBytes+100 || !utf8.ValidString(got) || !strings.Contains(got, "…") {
			t.Errorf("%d bytes: %s", len(got), got)
		}
		if d.Was != "" && d.Value != "" && (!strings.Contains(got, "é,was,z") || !strings.Contains(got, "é,is now,z")) {
			t.Errorf("%s does not have what is different", got)
		}
	}
}
