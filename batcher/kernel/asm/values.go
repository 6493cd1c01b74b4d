package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build" //nolint:revive // the language of the generator
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// block is how many values a kernel takes at a time: as many validity bits fit
// one 32-bit lane.
const block = 32

// Tables: which bit of a block stands for a lane.
var (
	bits4 [4]Mem // eight 4-byte lanes
	bits8 [8]Mem // four 8-byte lanes
	bits1 Mem    // 32 1-byte lanes, after spread1
	// spread1 spreads four bytes, eight times each.
	spread1 Mem
)

func tables() {
	for g := range bits4 {
		bits4[g] = table32(fmt.Sprintf("bits4x%d", g), func(i int) uint32 { return 1 << (8*g + i) })
	}
	for g := range bits8 {
		bits8[g] = table64(fmt.Sprintf("bits8x%d", g), func(i int) uint64 { return 1 << (4*g + i) })
	}
	bits1 = table64("bits1", func(int) uint64 { return 0x8040201008040201 })
	spread1 = table64("spread1", func(i int) uint64 { return uint64(i) * 0x0101010101010101 })
}

// bitmap reads validity bits, a block at a time, from any bit of a byte on.
type bitmap struct {
	low, high, shift Register
	word             GPVirtual
	// all holds the block's bits in every 32-bit lane.
	all VecVirtual
}

// openBitmap takes the parameters bits, a pointer, and bit, 0 to 7.
//
// A block that begins inside a byte ends in a fifth, one that does not has no
// fifth: its high part is read from its first byte, and shifted out.
func openBitmap() *bitmap {
	b := &bitmap{low: Load(Param("bits"), GP64()), shift: Load(Param("bit"), GP64()), word: GP64(), all: YMM()}
	high := GP64()
	LEAQ(Mem{Base: b.low, Disp: 4}, high)
	TESTQ(b.shift, b.shift)
	CMOVQEQ(b.low, high)
	b.high = high
	return b
}

func (b *bitmap) next() {
	b.nextWord()
	x := XMM()
	VMOVD(b.word.As32(), x)
	VPBROADCASTD(x, b.all)
}

// nextWord leaves the bits in the word, for masks taken from there.
func (b *bitmap) nextWord() {
	top := GP64()
	MOVL(Mem{Base: b.low}, b.word.As32())
	MOVBLZX(Mem{Base: b.high}, top.As32())
	SHLQ(U8(32), top)
	ORQ(top, b.word)
	SHRXQ(b.shift, b.word, b.word)
	ADDQ(U8(4), b.low)
	ADDQ(U8(4), b.high)
}

// valid4 is the mask of eight 4-byte values, valid8 that of four 8-byte values.
func (b *bitmap) valid4(g int) VecVirtual {
	m := YMM()
	VPAND(bits4[g], b.all, m)
	VPCMPEQD(bits4[g], m, m)
	return m
}

func (b *bitmap) valid8(g int) VecVirtual {
	m := YMM()
	VPAND(bits8[g], b.all, m)
	VPCMPEQQ(bits8[g], m, m)
	return m
}

// loop runs body for every block; each of pointers moves on by its bytes.
func loop(n Register, body func(), pointers map[Register]int, order ...Register) {
	Label("block")
	body()
	for _, p := range order {
		ADDQ(U32(pointers[p]), p)
	}
	SUBQ(U8(block), n)
	JNZ(LabelRef("block"))
}

// fills are kernels without arithmetic.
//
//	fill4, fill8, fill1: func(dst, src *byte, n int, bits *byte, bit int, fill uint64)
//
// copy n values, and write fill where the bit is 0; src may be dst.
//
//	spread4, spread8, spread1: func(dst *byte, n int, bits *byte, bit int, one uint64)
//
// write one where the bit is 1 and zeros where it is 0.
func fills() {
	const fillSignature = "func(dst *byte, src *byte, n int, bits *byte, bit int, fill uint64)"
	const spreadSignature = "func(dst *byte, n int, bits *byte, bit int, one uint64)"
	for _, elem := range []int{4, 8, 1} {
		TEXT(fmt.Sprintf("fill%dAVX2", elem), noSplit, fillSignature)
		Pragma("noescape")
		Doc(fmt.Sprintf("fill%dAVX2 copies n values of %d bytes and writes fill where the validity bit is 0.", elem, elem))
		dst, src, n := Load(Param("dst"), GP64()), Load(Param("src"), GP64()), Load(Param("n"), GP64())
		fill := broadcast("fill", elem)
		b := openBitmap()
		bytes := newByteMask(elem)
		loop(n, func() {
			b.next()
			for g := range elem {
				at := 32 * g
				v := YMM()
				VMOVUPS(Mem{Base: src, Disp: at}, v)
				switch elem {
				case 4:
					VBLENDVPS(b.valid4(g), v, fill, v)
				case 8:
					VBLENDVPD(b.valid8(g), v, fill, v)
				default:
					VPBLENDVB(bytes.valid1(b), v, fill, v)
				}
				VMOVUPS(v, Mem{Base: dst, Disp: at})
			}
		}, map[Register]int{dst: block * elem, src: block * elem}, dst, src)
		VZEROUPPER()
		RET()
	}
	for _, elem := range []int{4, 8, 1} {
		TEXT(fmt.Sprintf("spread%dAVX2", elem), noSplit, spreadSignature)
		Pragma("noescape")
		Doc(fmt.Sprintf("spread%dAVX2 writes n values of %d bytes: one where the bit is 1, else 0.", elem, elem))
		dst, n := Load(Param("dst"), GP64()), Load(Param("n"), GP64())
		one := broadcast("one", elem)
		b := openBitmap()
		bytes := newByteMask(elem)
		loop(n, func() {
			b.next()
			for g := range elem {
				var m VecVirtual
				switch elem {
				case 4:
					m = b.valid4(g)
				case 8:
					m = b.valid8(g)
				default:
					m = bytes.valid1(b)
				}
				VPAND(one, m, m)
				VMOVUPS(m, Mem{Base: dst, Disp: 32 * g})
			}
		}, map[Register]int{dst: block * elem}, dst)
		VZEROUPPER()
		RET()
	}
}

// ones counts the 1 bits of words, eight at a time:
//
//	func(bits *byte, words int) int
func ones() {
	TEXT("onesAVX2", noSplit, "func(bits *byte, words int) int")
	Pragma("noescape")
	Doc("onesAVX2 counts the 1 bits of words, a multiple of eight.")
	from, n := Load(Param("bits"), GP64()), Load(Param("words"), GP64())
	sums := []GPVirtual{GP64(), GP64(), GP64(), GP64()}
	for _, sum := range sums {
		XORQ(sum, sum)
	}
	Label("words")
	for w := range 8 {
		count := GP64()
		POPCNTQ(Mem{Base: from, Disp: 8 * w}, count)
		ADDQ(count, sums[w%4])
	}
	ADDQ(U8(64), from)
	SUBQ(U8(8), n)
	JNZ(LabelRef("words"))
	for _, sum := range sums[1:] {
		ADDQ(sum, sums[0])
	}
	Store(sums[0], ReturnIndex(0))
	RET()
}

// ones512 is the same with the processor's count of eight words.
func ones512() {
	TEXT("onesAVX512", noSplit, "func(bits *byte, words int) int")
	Pragma("noescape")
	Doc("onesAVX512 counts the 1 bits of words, a multiple of eight.")
	from, n := Load(Param("bits"), GP64()), Load(Param("words"), GP64())
	sum, half, count := ZMM(), YMM(), GP64()
	VPXORQ(sum, sum, sum)
	Label("words")
	words := ZMM()
	VPOPCNTQ(Mem{Base: from}, words)
	VPADDQ(words, sum, sum)
	ADDQ(U8(64), from)
	SUBQ(U8(8), n)
	JNZ(LabelRef("words"))
	VEXTRACTI64X4(U8(1), sum, half)
	VPADDQ(half, sum.AsY(), half)
	x, y := half.AsX(), XMM()
	VEXTRACTI128(U8(1), half, y)
	VPADDQ(x, y, y)
	VPSHUFD(U8(0b01001110), y, x)
	VPADDQ(x, y, y)
	VMOVQ(y, count)
	Store(count, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// broadcast loads a uint64 parameter's low bytes into every lane.
func broadcast(param string, elem int) VecVirtual {
	v, x, r := YMM(), XMM(), GP64()
	Load(Param(param), r)
	VMOVQ(r, x)
	switch elem {
	case 1:
		VPBROADCASTB(x, v)
	case 4:
		VPBROADCASTD(x, v)
	default:
		VPBROADCASTQ(x, v)
	}
	return v
}

// byteMask makes masks of bytes: the block's four bytes are spread over eight
// lanes of a byte each, and each lane is left its own bit.
type byteMask struct{ spread, bit VecVirtual }

func newByteMask(elem int) byteMask {
	if elem != 1 {
		return byteMask{}
	}
	m := byteMask{spread: YMM(), bit: YMM()}
	VMOVDQU(spread1, m.spread)
	VMOVDQU(bits1, m.bit)
	return m
}

func (m byteMask) valid1(b *bitmap) VecVirtual {
	v := YMM()
	VPSHUFB(m.spread, b.all, v)
	VPAND(m.bit, v, v)
	VPCMPEQB(m.bit, v, v)
	return v
}
