package kernel

import (
	"encoding/binary"
	"os"

	"github.com/millrace/millrace/internal/cpulevel"
)

//go:generate go -C asm run . -out ../kernels_amd64.s -stubs ../kernels_amd64.go -pkg kernel

// Block is how many bytes have one Marks.
const Block = 64

// Marks are where some bytes are in a block of text: bit i is that of byte i. Kernels
// write its words one after the other.
type Marks struct {
	Delimiter uint64
	Quote     uint64 // "
	Feed      uint64 // LF
	Return    uint64 // CR
	Within    uint64 // Within of Quote
}

// From are the marks without those before a bit.
func (m Marks) From(bit uint) Marks {
	from := ^uint64(0) << bit
	return Marks{m.Delimiter & from, m.Quote & from, m.Feed & from, m.Return & from, Within(m.Quote & from)}
}

// level is one kernel.
type level struct {
	name string
	find func(marks *uint64, text *byte, n int, delimiter uint64)
}

// Name is the level's name.
func (l *level) Name() string { return l.name }

// plain is the level of machines that no kernel is for.
var plain = &level{name: "plain"}

// best is the level of this process.
var best = cpulevel.Choose(levels(), os.Getenv(cpulevel.Variable))

// Find gives the marks of a text of at most Block bytes for each of marks, which it
// fills as far as the text goes; bits beyond its end are 0.
func Find(marks []Marks, text []byte, delimiter byte) { find(best, marks, text, delimiter) }

func find(l *level, marks []Marks, text []byte, delimiter byte) {
	whole := len(text) / Block
	rest := text[whole*Block:]
	if len(rest) > 0 {
		var last [Block]byte
		copy(last[:], rest)
		m := markBlock(last[:], delimiter)
		within := uint64(1)<<len(rest) - 1
		marks[whole] = Marks{m.Delimiter & within, m.Quote & within, m.Feed & within, m.Return & within, Within(m.Quote & within)}
	}
	if whole == 0 {
		return
	}
	marks = marks[:whole]
	if l.find != nil {
		l.find(&marks[0].Delimiter, &text[0], whole, uint64(delimiter))
		return
	}
	for i := range marks {
		marks[i] = markBlock(text[i*Block:(i+1)*Block], delimiter)
	}
}

// markBlock is Find for one block, eight bytes at a time.
func markBlock(block []byte, delimiter byte) (m Marks) {
	for i := 0; i < Block; i += 8 {
		w := binary.LittleEndian.Uint64(block[i : i+8])
		m.Delimiter |= equal(w, delimiter) << i
		m.Quote |= equal(w, '"') << i
		m.Feed |= equal(w, '\n') << i
		m.Return |= equal(w, '\r') << i
	}
	m.Within = Within(m.Quote)
	return m
}

// equal has a bit for each byte of a word: whether it is b.
func equal(w uint64, b byte) uint64 {
	const ones = 0x0101010101010101
	// The product's top byte gathers a bit of each byte, of which no two meet.
	return Zeros(w^uint64(b)*ones) >> 7 * 0x0102040810204080 >> 56
}

// Zeros has the top bit of each byte of a word that is 0, and no other.
func Zeros(w uint64) uint64 {
	const sevens = 0x7f7f7f7f7f7f7f7f
	return ^((w&sevens + sevens) | w | sevens)
}

// Within spreads quotes: bit i is set where an odd number of bits up to i is.
func Within(quotes uint64) uint64 {
	if quotes&(quotes-1) == 0 { // one or none
		return -quotes
	}
	for shift := 1; shift < Block; shift *= 2 {
		quotes ^= quotes << shift
	}
	return quotes
}
