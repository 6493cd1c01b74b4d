package feature

import (
	"encoding/binary"
	"math/bits"
)

// shortXXH64 is XXH64 of fewer than 32 bytes (github.com/Cyan4973/xxHash, doc/xxhash_spec.md), behind
// which eight bytes may be read. How many there are behind the last whole word cannot be foreseen, so
// what that asks for is no branch.
func shortXXH64(text []byte, seed uint64) uint64 {
	const (
		prime1 = 0x9e3779b185ebca87
		prime2 = 0xc2b2ae3d27d4eb4f
		prime3 = 0x165667b19e3779f9
		prime4 = 0x85ebca77c2b2ae63
		prime5 = 0x27d4eb2f165667c5
	)
	n := len(text)
	h := seed + prime5 + uint64(n)
	text = text[:n+8]
	for ; n >= 8; n -= 8 {
		k := bits.RotateLeft64(binary.LittleEndian.Uint64(text)*prime2, 31) * prime1
		h = bits.RotateLeft64(h^k, 27)*prime1 + prime4
		text = text[8:]
	}
	w := binary.LittleEndian.Uint64(text)
	next := bits.RotateLeft64(h^(w&0xffffffff)*prime1, 23)*prime2 + prime3
	shifted := w >> 32
	if n&4 != 0 {
		h = next
	}
	if n&4 != 0 {
		w = shifted
	}
	next = bits.RotateLeft64(h^(w&0xff)*prime5, 11) * prime1
	if n&3 > 0 {
		h = next
	}
	next = bits.RotateLeft64(h^(w>>8&0xff)*prime5, 11) * prime1
	if n&3 > 1 {
		h = next
	}
	next = bits.RotateLeft64(h^(w>>16&0xff)*prime5, 11) * prime1
	if n&3 > 2 {
		h = next
	}
	h = (h ^ h>>33) * prime2
	h = (h ^ h>>29) * prime3
	return h ^ h>>32
}
