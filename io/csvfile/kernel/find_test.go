package kernel

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/internal/cpulevel/leveltest"
)

func TestLevel(t *testing.T) { leveltest.Choice(t, levels(), plain, best.name) }

// Each kernel finds what a loop over bytes finds, in memory that ends where the text does.
func TestFindLevels(t *testing.T) {
	leveltest.Each(t, levels(), 2, func(t *rapid.T, l *level, g *leveltest.Guards) {
		delimiter := rapid.SampledFrom([]byte{',', ';', '\t', '|', 0, 0xff, 0x80}).Draw(t, "delimiter")
		// Those that are looked for, and those that differ from them by one bit.
		alphabet := []byte{delimiter, delimiter ^ 1, delimiter ^ 0x80, '"', '"' + 1, '\n', '\n' | 0x80, '\r', '\r' - 1, 'x', 0, 0x80}
		want := rapid.SliceOfN(rapid.SampledFrom(alphabet), 0, 400).Draw(t, "text")
		text := leveltest.Slice[byte](g, len(want))
		copy(text, want)
		blocks := (len(text) + Block - 1) / Block
		marks := leveltest.Slice[Marks](g, blocks)
		find(l, marks, text, delimiter)
		for kind, b := range []byte{delimiter, '"', '\n', '\r'} {
			wanted := make([]uint64, blocks)
			for i, c := range want {
				if c == b {
					wanted[i/Block] |= 1 << (i % Block)
				}
			}
			got := make([]uint64, blocks)
			for i, m := range marks {
				got[i] = []uint64{m.Delimiter, m.Quote, m.Feed, m.Return}[kind]
			}
			if !slices.Equal(got, wanted) {
				t.Fatalf("find of %q in %q = %b; want %b", b, want, got, wanted)
			}
		}
		for i, m := range marks {
			if want := Within(m.Quote); m.Within != want {
				t.Fatalf("find in %q: block %d has within %064b; want %064b", text, i, m.Within, want)
			}
		}
		if !leveltest.Intact[Marks](g, blocks) {
			t.Fatalf("find in %d bytes wrote before the marks", len(text))
		}
	})
}

func TestWithin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		quotes := uint64(0)
		for _, at := range rapid.SliceOfN(rapid.IntRange(0, 63), 0, 12).Draw(t, "quotes") {
			quotes |= 1 << at
		}
		want, within := uint64(0), uint64(0)
		for i := range Block {
			within ^= quotes >> i & 1
			want |= within << i
		}
		if got := Within(quotes); got != want {
			t.Fatalf("Within(%064b) = %064b; want %064b", quotes, got, want)
		}
	})
}

func BenchmarkFind(b *testing.B) {
	text := slices.Repeat([]byte("12,3.25,\"abc\",,2026-11-28\r\n"), 300)
	marks := make([]Marks, len(text)/Block+1)
	for _, l := range levels() {
		b.Run("level="+l.name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				find(l, marks, text, ',')
			}
		})
	}
}
