package arrowfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/millrace/millrace/internal/scratch"
)

// flow decompresses buffers into a scratch file, some bytes at a time, so that a buffer
// may be of any size.
type flow struct {
	zstd *zstd.Decoder // nil before the first frame
	step []byte        // what is decompressed and not yet written
}

// Bounds of a flow: the bytes written at a time, a multiple of any word's, and of the
// mapping that are read between drops of its pages.
const (
	flowBytes     = 256 << 10
	flowDropBytes = 8 << 20
)

// flowing is a buffer on its way to scratch.
type flowing struct {
	stored []byte // in the mapping: a frame, or the bytes as they are
	plain  bool
	size   int64 // of all that it holds
	kept   int64 // of it, from the beginning on
	word   word
}

// into writes what is kept of a buffer to the end of scratch, in the machine's byte order.
// What is not has to be there all the same.
func (f *flow) into(p *pieces, l *loader, b flowing) error {
	stored, codec := bytes.NewReader(b.stored), "lz4"
	if l.meta.codec == codecZSTD {
		codec = "zstd"
	}
	from, err := f.open(l, stored, b.plain)
	if err != nil {
		return err
	}
	if f.step == nil {
		f.step = make([]byte, flowBytes)
	}
	dropped := int64(0)
	for done := int64(0); done < b.size; {
		step := f.step[:min(b.size-done, flowBytes)]
		if n, err := io.ReadFull(from, step); err != nil {
			return damaged("%s gives %d bytes; %d were announced: %v", codec, done+int64(n), b.size, err)
		}
		if l.swap && b.word != bytesWord {
			swap(step, b.word)
		}
		if done < b.kept {
			if err := p.write(step[:min(b.kept-done, int64(len(step)))]); err != nil {
				return err
			}
		}
		done += int64(len(step))
		if used := int64(len(b.stored) - stored.Len()); used-dropped >= flowDropBytes {
			p.passed(l.bodyAt(b.stored) + used)
			dropped = used
		}
	}
	var more [1]byte
	if n, err := io.ReadFull(from, more[:]); n > 0 || !errors.Is(err, io.EOF) {
		return damaged("%s goes on after %d bytes: %v", codec, b.size, err)
	}
	return nil
}

// open gives a reader of what a buffer holds, which stored reads.
func (f *flow) open(l *loader, stored *bytes.Reader, plain bool) (from io.Reader, err error) {
	switch {
	case plain:
		return stored, nil
	case l.meta.codec != codecZSTD:
		return lz4.NewReader(stored), nil
	}
	if f.zstd == nil { // windows of any size that newZstd's takes: a frame has one of 128 MiB at level 22
		if f.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true)); err != nil {
			return nil, fmt.Errorf("make zstd decoder: %w", err)
		}
	}
	if err := f.zstd.Reset(stored); err != nil {
		return nil, damaged("zstd: %v", err)
	}
	return f.zstd, nil
}

func (f *flow) close() {
	if f.zstd != nil {
		f.zstd.Close()
	}
}

// write appends to the scratch file, which it makes.
func (p *pieces) write(b []byte) (err error) {
	if p.scratch == nil {
		if p.scratch, err = scratch.Create(scratch.Dir(""), "batch"); err != nil {
			return fmt.Errorf("decompress: %w", err)
		}
	}
	if _, err = p.scratch.WriteAt(b, p.size); scratch.Full(err) {
		err = scratch.NoRoom(scratch.Dir(""), "a record batch decompressed", "write the file with smaller record batches", err)
	}
	p.size += int64(len(b))
	return err
}
