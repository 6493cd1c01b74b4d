package ledger

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// FuzzParseManifest: a manifest or an error, never both, and what is read can be
// written and read again.
func FuzzParseManifest(f *testing.F) {
	out := appended(f)
	for n := 1; n <= 4; n++ {
		data, err := os.ReadFile(filepath.Join(out, "_millrace", runNumber(n), manifestName))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"version": "millrace.manifest/1", "parts": [{"read": -9223372036854775808, "scored": 1}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseManifest(data)
		if (m == nil) == (err == nil) {
			t.Fatalf("ParseManifest() = %v, %v", m, err)
		}
		if err != nil {
			return
		}
		_ = m.Check()
		again, err := m.Encode()
		if err != nil {
			t.Skip("a time that JSON cannot say")
		}
		if _, err := ParseManifest(again); err != nil {
			t.Fatalf("what Encode wrote is refused: %v\n%s", err, again)
		}
	})
}

// FuzzVerify damages an output in one place: whatever it is, Verify says so and
// neither panics nor waits. Only what nothing vouches for may pass: the newest
// manifest, edited and sealed again.
func FuzzVerify(f *testing.F) {
	for file := range uint8(14) {
		f.Add(file, uint8(0), uint16(40), []byte{0xff})
	}
	f.Add(uint8(3), uint8(1), uint16(0), []byte(`{"version": "millrace.manifest/1"}`))
	f.Add(uint8(5), uint8(2), uint16(9), []byte("more"))
	f.Add(uint8(0), uint8(3), uint16(0), []byte("../x"))
	f.Fuzz(func(t *testing.T, file, how uint8, at uint16, with []byte) {
		out := appended(t)
		files := under(t, out)
		path := files[int(file)%len(files)]
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		after := damaged(before, how, at, with)
		if string(after) == string(before) {
			t.Skip("nothing changed")
		}
		put(t, path, after)
		resealed := how%4 == 3 && filepath.Base(path) == manifestName
		if resealed {
			seal(t, filepath.Dir(path), after)
		}
		v, err := Verify(context.Background(), out, VerifyOptions{})
		if err != nil {
			t.Fatalf("Verify() = %v; want problems", err)
		}
		if v.Err() == nil && (!resealed || filepath.Base(filepath.Dir(path)) != runNumber(4)) {
			t.Errorf("Verify() finds nothing after %s was changed", path)
		}
	})
}

// damaged overwrites, replaces, inserts, or replaces and has it sealed again.
func damaged(data []byte, how uint8, at uint16, with []byte) []byte {
	out := append([]byte(nil), data...)
	switch how % 4 {
	case 0:
		if len(out) == 0 {
			return with
		}
		for i, b := range with {
			out[(int(at)+i)%len(out)] ^= b
		}
		return out
	case 1, 3:
		return with
	default:
		i := int(at) % (len(out) + 1)
		return append(append(out[:i:i], with...), data[i:]...)
	}
}

// under lists the files of an output.
func under(tb testing.TB, dir string) []string {
	tb.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return files
}
