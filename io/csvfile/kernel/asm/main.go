// Package main writes the vector kernels of io/csvfile/kernel as Go assembly:
//
//	go generate ./io/csvfile/kernel
//
// It is a module of its own, so that who builds millrace needs none of it.
//
// Not a byte is read or written outside of what the parameters name.
package main

import (
	. "github.com/mmcloughlin/avo/build" //nolint:revive // the language of the generator
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("amd64,!purego")
	findAVX2()
	findAVX512()
	Generate()
}

const (
	noSplit = 4 // NOSPLIT
	block   = 64
)

// The bytes that are looked for besides the delimiter, in the order of Marks.
var others = []byte{'"', '\n', '\r'}

func load(param string) Register { return Load(Param(param), GP64()) }

// function begins a kernel.
func function(name string) (marks, text, n Register) {
	TEXT(name, noSplit, "func(marks *uint64, text *byte, n int, delimiter uint64)")
	Pragma("noescape")
	Doc(name + " finds the marks of n blocks, one or more.")
	return load("marks"), load("text"), load("n")
}

// next goes on to the next block, if any.
func next(marks, text, n Register) {
	ADDQ(U8(block), text)
	ADDQ(U8(8*(2+len(others))), marks)
	DECQ(n)
	JNZ(LabelRef("next"))
	VZEROUPPER()
	RET()
}

// quote is the place of quotes among Marks.
const quote = 1

// within stores, behind the others, the prefix sums of a block's quotes without carries, which are
// their product by ones (G. Langdale, D. Lemire, "Parsing Gigabytes of JSON per Second", 2019).
func within(quotes Register, ones VecVirtual, marks Register) {
	x := XMM()
	VMOVQ(quotes, x)
	VPCLMULQDQ(U8(0), ones, x, x)
	VMOVQ(x, Mem{Base: marks, Disp: 8 * (1 + len(others))})
}

func allOnes() VecVirtual {
	ones := XMM()
	VPCMPEQB(ones, ones, ones)
	return ones
}

func findAVX2() {
	marks, text, n := function("findAVX2")
	ones := allOnes()
	patterns := []VecVirtual{YMM()}
	first := XMM()
	VMOVQ(load("delimiter"), first)
	VPBROADCASTB(first, patterns[0])
	for _, b := range others {
		pattern, r, x := YMM(), GP32(), XMM()
		MOVL(U32(b), r)
		VMOVD(r, x)
		VPBROADCASTB(x, pattern)
		patterns = append(patterns, pattern)
	}
	Label("next")
	low, high := YMM(), YMM()
	VMOVDQU(Mem{Base: text}, low)
	VMOVDQU(Mem{Base: text, Disp: 32}, high)
	for i, pattern := range patterns {
		equal, lowBits, highBits := YMM(), GP64(), GP64()
		VPCMPEQB(low, pattern, equal)
		VPMOVMSKB(equal, lowBits.As32())
		VPCMPEQB(high, pattern, equal)
		VPMOVMSKB(equal, highBits.As32())
		SHLQ(U8(32), highBits)
		ORQ(lowBits, highBits)
		MOVQ(highBits, Mem{Base: marks, Disp: 8 * i})
		if i == quote {
			within(highBits, ones, marks)
		}
	}
	next(marks, text, n)
}

func findAVX512() {
	marks, text, n := function("findAVX512")
	ones := allOnes()
	patterns := []VecVirtual{ZMM()}
	first := XMM()
	VMOVQ(load("delimiter"), first)
	VPBROADCASTB(first, patterns[0])
	for _, b := range others {
		pattern, r := ZMM(), GP32()
		MOVL(U32(b), r)
		VPBROADCASTB(r, pattern)
		patterns = append(patterns, pattern)
	}
	Label("next")
	v := ZMM()
	VMOVDQU64(Mem{Base: text}, v)
	for i, pattern := range patterns {
		equal := K()
		VPCMPEQB(v, pattern, equal)
		KMOVQ(equal, Mem{Base: marks, Disp: 8 * i})
		if i == quote {
			bits := GP64()
			KMOVQ(equal, bits)
			within(bits, ones, marks)
		}
	}
	next(marks, text, n)
}
