package arrowfile

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"
)

// flips is how many damaged copies of each seed are read.
const flips = 200

// One flipped bit anywhere gives rows or an error, never a panic, a hang or
// memory that is not given back. Half of the flips hit the bytes that matter
// most: the metadata at the start and at the end.
func TestBitFlips(t *testing.T) {
	if testing.Short() {
		t.Skip("slow, and all in one goroutine")
	}
	for name, data := range seeds(t) {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "flipped.arrow")
			rng := rand.New(rand.NewPCG(1, uint64(len(data))))
			for i := range flips {
				at := rng.IntN(len(data))
				if n := min(len(data), 3000); i%2 == 0 {
					at = rng.IntN(n)
					if i%4 == 0 {
						at = len(data) - 1 - at
					}
				}
				bit := byte(1) << rng.IntN(8)
				broken := slices.Clone(data)
				broken[at] ^= bit
				if err := os.WriteFile(path, broken, 0o600); err != nil {
					t.Fatal(err)
				}
				mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
				func() {
					defer func() {
						if v := recover(); v != nil {
							t.Errorf("byte %d, bit %#x: panic: %v", at, bit, v)
							panic(v)
						}
					}()
					_ = exhaust(t, path, mem)
				}()
				mem.AssertSize(t, 0)
				if t.Failed() {
					t.Fatalf("byte %d, bit %#x", at, bit)
				}
			}
		})
	}
}

// A file cut at any byte gives rows or an error. Cut at the end of a message, a
// stream is a shorter stream: the format has no way to tell.
func TestTruncations(t *testing.T) {
	for _, name := range []string{"delta.arrow", "delta.stream", "replaced.stream", "nocolumns.arrow"} {
		data := seeds(t)[name]
		path := filepath.Join(t.TempDir(), "cut.arrow")
		mem := checkedAllocator(t)
		for n := range data {
			if err := os.WriteFile(path, data[:n], 0o600); err != nil {
				t.Fatal(err)
			}
			err := exhaust(t, path, mem)
			if err == nil && filepath.Ext(name) == ".arrow" {
				t.Errorf("%s cut to %d bytes reads without an error", name, n)
			}
		}
	}
}

// FuzzReader reads any bytes as a file or stream.
//
//	go test -run '^$' -fuzz FuzzReader -fuzztime 60s -fuzzminimizetime 10x ./io/arrowfile
func FuzzReader(f *testing.F) {
	for _, data := range seeds(f) {
		f.Add(data)
	}
	path := filepath.Join(f.TempDir(), "fuzz.arrow")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
		_ = exhaust(t, path, mem)
		mem.AssertSize(t, 0)
	})
}
