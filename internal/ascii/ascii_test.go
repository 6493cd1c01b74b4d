package ascii

import "testing"

func TestPrefix(t *testing.T) {
	for n := range 80 {
		text := make([]byte, n)
		if got := Prefix(text); got != n || !Is(text) {
			t.Errorf("of %d zeros %d are ASCII", n, got)
		}
		for at := range text {
			for _, c := range []byte{0x80, 0xff} {
				text[at] = c
				if got := Prefix(text); got != at || Is(text) {
					t.Errorf("of %d bytes, byte %d is %#x: Prefix = %d, Is = %v", n, at, c, got, Is(text))
				}
			}
			text[at] = 0x7f
		}
	}
}
