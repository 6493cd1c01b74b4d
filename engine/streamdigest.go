package engine

import (
	"encoding/hex"
	"hash"
	"io"
	"time"

	"github.com/millrace/millrace/engine/ledger"
)

// digestedReader digests what it reads.
type digestedReader struct {
	in   io.Reader
	hash hash.Hash
}

// Read implements io.Reader.
func (r *digestedReader) Read(b []byte) (int, error) {
	n, err := r.in.Read(b)
	_, _ = r.hash.Write(b[:n]) // a hash has no errors
	return n, err
}

// SetReadDeadline is that of what it reads; see arrowfile.Stream.
func (r *digestedReader) SetReadDeadline(t time.Time) error {
	if timed, ok := r.in.(interface{ SetReadDeadline(t time.Time) error }); ok {
		return timed.SetReadDeadline(t)
	}
	return nil
}

// digestedInput is the run's stream, which is digested on its way where a manifest is to
// say what it was.
func (p *Plan) digestedInput() (io.Reader, error) {
	algorithm := p.streamDigest()
	if algorithm == "" {
		return p.Options.Piped.In, nil
	}
	var err error
	if p.received, err = ledger.NewHash(algorithm); err != nil {
		return nil, err
	}
	return &digestedReader{in: p.Options.Piped.In, hash: p.received}, nil
}

// streamDigest is the algorithm that a stream is digested by: what was asked for, and
// otherwise XXH3, since how long the run takes that must not notice it nobody knows.
func (p *Plan) streamDigest() string {
	switch o := &p.Options; {
	case o.Piped.Manifest == "" || o.Digest == DigestSizeMTime:
		return ""
	case o.Digest == DigestSHA256:
		return ledger.SHA256
	default:
		return ledger.XXH3
	}
}

// receivedDigest is the digest of the stream when all of it was read, as of a file.
func (p *Plan) receivedDigest() *digests {
	algorithm := p.streamDigest()
	if algorithm == "" {
		return nil
	}
	p.digested = &DigestChoice{Asked: p.Options.Digest, Algorithm: algorithm, Reason: "as it came"}
	return &digests{files: []digestFile{{digest: algorithm + ":" + hex.EncodeToString(p.received.Sum(nil))}}, listed: []int{0}}
}
