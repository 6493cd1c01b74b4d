package kernel

import (
	"os"

	"github.com/millrace/millrace/internal/cpulevel"
)

//go:generate go -C asm run . -out ../kernels_amd64.s -stubs ../kernels_amd64.go -pkg kernel

// level is one set of vector kernels; what it lacks is done by plain loops.
type level struct {
	name string
	// spreads and gathers are by the size of a value; gathers, those for the
	// smallest dictionaries first, all take indices of up to maxWidth bits.
	spreads [9]func(v, bits *byte, k, n int)
	gathers [9][]gatherKernel
	unpack  func(out *byte, n int, packed *byte, bit, width int)
	fill    func(out *byte, bytes int, value uint64)
	pairs   func(bitmap *byte, at, n int, word uint64, runs *byte, size int) (levels, bytes int, last uint64)
	// differences subtracts a multiple of 4 values from the next ones.
	differences func(out *uint64, values *int64, n int)
	rebase      func(block, set *uint64) (least int64)
	minMax      minMaxes
	// eights: gathers and unpack take eight indices at a time and read more
	// bytes than those of the last eight; else any number, and no byte more.
	eights bool
}

type gatherKernel struct {
	entries int // of the largest dictionary; 0 stands for any
	run     func(out *byte, n int, dict *byte, size int, packed *byte, bit, width int) (beyond int)
}

// maxWidth is how many bits an index has at most that a kernel takes: it and the
// bits before it in its first byte fit 4 bytes.
const maxWidth = 25

// plain is the level of machines that no kernel is for.
var plain = &level{name: "plain"}

// best is the level of this process.
var best = cpulevel.Choose(levels(), os.Getenv(cpulevel.Variable))

// Name is the level's name.
func (l *level) Name() string { return l.name }

// Level names the vector kernels that are used: plain, avx2 or avx512.
func Level() string { return best.name }
