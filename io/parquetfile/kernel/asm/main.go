// Package main writes the vector kernels of io/parquetfile/kernel as Go
// assembly:
//
//	go generate ./io/parquetfile/kernel
//
// It is a module of its own, so that who builds millrace needs none of it.
//
// Conventions of all kernels: not a byte is read or written outside of what the
// parameters name. Every kernel of AVX-512 takes any number of values, by masks,
// unless it says otherwise.
package main

import (
	. "github.com/mmcloughlin/avo/build" //nolint:revive // the language of the generator
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("amd64,!purego")
	spreads()
	gathers()
	fills()
	runs()
	extremes()
	differences()
	Generate()
}

// The attributes of functions and tables.
const (
	noSplit  = 4      // NOSPLIT
	readOnly = 8 | 16 // RODATA|NOPTR
)

// table declares constants.
func table[T uint8 | uint32](name string, values []T) Mem {
	t := GLOBL(name, readOnly)
	for i, v := range values {
		switch v := any(v).(type) {
		case uint8:
			DATA(i, U8(v))
		case uint32:
			DATA(4*i, U32(v))
		}
	}
	return t
}

func load(param string) Register { return Load(Param(param), GP64()) }

// function begins a kernel.
func function(name, signature, doc string) {
	TEXT(name, noSplit, signature)
	Pragma("noescape")
	Doc(name + " " + doc)
}

func end() {
	VZEROUPPER()
	RET()
}
