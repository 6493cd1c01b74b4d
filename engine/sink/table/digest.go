package table

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/zeebo/xxh3"

	"github.com/millrace/millrace/engine/ledger"
)

// Digest is the sum of the XXH3-64 digests of rows: whatever their order, the same rows have
// the same. It tells accidents, not forgery.
type Digest uint64

// Add adds a row, in an encoding that tells it from all others.
func (d *Digest) Add(row []byte) { *d += Digest(xxh3.Hash(row)) }

// digestName is how ledger.Output.RowDigest begins.
const digestName = "xxh3-sum:"

// String is sixteen hexadecimal digits.
func (d Digest) String() string { return fmt.Sprintf("%016x", uint64(d)) }

// Recorded is the digest as ledger.Output.RowDigest has it.
func (d Digest) Recorded() string { return digestName + d.String() }

// DigestOf is that of all outputs; ok is false where one has none.
func DigestOf(outputs []ledger.Output) (sum Digest, ok bool) {
	for _, o := range outputs {
		text, has := strings.CutPrefix(o.RowDigest, digestName)
		n, err := strconv.ParseUint(text, 16, 64)
		if !has || err != nil {
			return 0, false
		}
		sum += Digest(n)
	}
	return sum, true
}
