package main

import (
	"fmt"
	"math/bits"

	. "github.com/mmcloughlin/avo/build" //nolint:revive // the language of the generator
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// spreads move k values at the front of v to the slots of n whose bits are set, k
// of them, and zero the others:
//
//	func(v *byte, bits *byte, k, n int)    n is a multiple of 64
//
// They go from the last slot to the first, a register of slots at a time. The
// slots before a register are at least as many as the values before its own, so
// a register loaded from its first value on ends no later than its last slot: it
// is inside of v, and none of it was written yet. Once there are as many values
// as slots, all are in place.
func spreads() {
	for _, elem := range []int{1, 2, 4, 8} {
		spread512(elem)
	}
	ranks := table("ranks", ranksOf(8))
	halfRanks := table("halfRanks", ranksOf(4))
	pairs, odd := lanes32("pairs", 0x02020202), lanes32("odd", 0x01000100)
	for _, elem := range []int{1, 2, 4, 8} {
		spread256(elem, ranks, halfRanks, pairs, odd)
	}
}

const spreadSignature = "func(v *byte, bits *byte, k int, n int)"

// slots are the registers of a spread.
type slots struct {
	v, bits, k, n, out Register
	elem               int
}

// openSlots loads the parameters; bits and out are at their ends.
func openSlots(elem int) *slots {
	s := &slots{v: load("v"), bits: load("bits"), k: load("k"), n: load("n"), out: GP64(), elem: elem}
	LEAQ(Mem{Base: s.v, Index: s.n, Scale: uint8(elem)}, s.out)
	at := GP64()
	MOVQ(s.n, at)
	SHRQ(U8(3), at)
	ADDQ(at, s.bits)
	return s
}

// values is the memory from the first of count values on, which are taken.
func (s *slots) values(count Register) Mem {
	SUBQ(count, s.k)
	return Mem{Base: s.v, Index: s.k, Scale: uint8(s.elem)}
}

func spread512(elem int) {
	lanes := 64 / elem
	function(fmt.Sprintf("spread%dAVX512", elem), spreadSignature,
		fmt.Sprintf("spreads values of %d bytes over n slots, a multiple of 64.", elem))
	s := openSlots(elem)
	Label("word")
	CMPQ(s.k, s.n)
	JEQ(LabelRef("done"))
	SUBQ(U8(8), s.bits)
	SUBQ(U32(64*elem), s.out)
	SUBQ(U8(64), s.n)
	word := GP64()
	MOVQ(Mem{Base: s.bits}, word)
	for g := elem - 1; g >= 0; g-- {
		group, count, set, x := word, GP64(), K(), ZMM()
		if elem > 1 {
			group = GP64()
			MOVQ(word, group)
			if g > 0 {
				SHRQ(U8(g*lanes), group)
			}
		}
		switch lanes {
		case 64:
			KMOVQ(group, set)
			POPCNTQ(group, count)
		case 32:
			KMOVD(group.As32(), set)
			POPCNTL(group.As32(), count.As32())
		case 16:
			MOVWLZX(group.As16(), group.As32())
			KMOVW(group.As32(), set)
			POPCNTL(group.As32(), count.As32())
		default:
			MOVBLZX(group.As8(), group.As32())
			KMOVW(group.As32(), set)
			POPCNTL(group.As32(), count.As32())
		}
		VMOVDQU64(s.values(count), x)
		switch elem {
		case 1:
			VPEXPANDB_Z(x, set, x)
		case 2:
			VPEXPANDW_Z(x, set, x)
		case 4:
			VPEXPANDD_Z(x, set, x)
		default:
			VPEXPANDQ_Z(x, set, x)
		}
		VMOVDQU64(x, Mem{Base: s.out, Disp: 64 * g})
	}
	TESTQ(s.n, s.n)
	JNZ(LabelRef("word"))
	Label("done")
	end()
}

// none is the rank of a slot without a value. A shuffle of bytes makes it zero.
const none = 0x80

// ranksOf gives, for each set of slots, which of its values each slot has. Slots
// are 8, or 4 of two lanes each.
func ranksOf(slots int) []uint8 {
	var t []uint8
	for set := range uint(1) << slots {
		for lane := range 8 {
			slot := lane * slots / 8
			rank := uint8(none)
			if set>>slot&1 == 1 {
				rank = uint8(bits.OnesCount(set & (1<<slot - 1)))
				if slots == 4 {
					rank = 2*rank + uint8(lane&1)
				}
			}
			t = append(t, rank)
		}
	}
	return t
}

// lanes32 is a register of 8 lanes alike.
func lanes32(name string, v uint32) Mem {
	return table(name, []uint32{v, v, v, v, v, v, v, v})
}

// spread256 takes 8 slots at a time, of 8 bytes 4 twice.
func spread256(elem int, ranks, halfRanks, pairs, odd Mem) {
	function(fmt.Sprintf("spread%dAVX2", elem), spreadSignature,
		fmt.Sprintf("spreads values of %d bytes over n slots, a multiple of 64.", elem))
	s := openSlots(elem)
	base := GP64()
	if elem == 8 {
		LEAQ(halfRanks, base)
	} else {
		LEAQ(ranks, base)
	}
	two, one := XMM(), XMM()
	if elem == 2 {
		VMOVDQU(pairs, two)
		VMOVDQU(odd, one)
	}
	Label("slots")
	CMPQ(s.k, s.n)
	JEQ(LabelRef("done"))
	DECQ(s.bits)
	SUBQ(U8(8*elem), s.out)
	SUBQ(U8(8), s.n)
	set := GP64()
	MOVBLZX(Mem{Base: s.bits}, set.As32())
	if elem == 8 {
		for g := 1; g >= 0; g-- {
			half := GP64()
			MOVL(set.As32(), half.As32())
			if g == 1 {
				SHRL(U8(4), half.As32())
			} else {
				ANDL(U8(15), half.As32())
			}
			s.permute256(half, base, Mem{Base: s.out, Disp: 32 * g})
		}
	} else if elem == 4 {
		s.permute256(set, base, Mem{Base: s.out})
	} else {
		count, x, rank := GP64(), XMM(), XMM()
		POPCNTL(set.As32(), count.As32())
		at := s.values(count)
		if elem == 1 {
			VMOVQ(at, x)
			VMOVQ(Mem{Base: base, Index: set, Scale: 8}, rank)
			VPSHUFB(rank, x, x)
			VMOVQ(x, Mem{Base: s.out})
		} else {
			missing := XMM()
			VMOVDQU(at, x)
			VPMOVSXBW(Mem{Base: base, Index: set, Scale: 8}, rank)
			VPSRAW(U8(15), rank, missing)
			VPMULLW(two, rank, rank)
			VPADDB(one, rank, rank)
			VPOR(missing, rank, rank)
			VPSHUFB(rank, x, x)
			VMOVDQU(x, Mem{Base: s.out})
		}
	}
	TESTQ(s.n, s.n)
	JNZ(LabelRef("slots"))
	Label("done")
	end()
}

// permute256 fills a register of slots.
func (s *slots) permute256(set, ranks Register, out Mem) {
	count, x, rank, missing := GP64(), YMM(), YMM(), YMM()
	POPCNTL(set.(GP).As32(), count.As32())
	VMOVDQU(s.values(count), x)
	VPMOVSXBD(Mem{Base: ranks, Index: set, Scale: 8}, rank)
	VPSRAD(U8(31), rank, missing)
	VPERMD(x, rank, x)
	VPANDN(x, missing, x)
	VMOVDQU(x, out)
}
