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

// Bounds of a flow: the bytes written at a time, a multiple of any word's, and the
// largest window of a zstd frame, which is kept as it is decompressed.
const (
	flowBytes      = 256 << 10
	flowDropBytes  = 8 << 20 // of the mapping, between drops of its pages
	mostFlowWindow = 64 << 20
)

// into copies what a buffer holds to the scratch file from at on, in the machine's byte
// order, and returns how many bytes that are; at least need.
func (f *flow) into(p *pieces, l *loader, raw []byte, need int64, w word) (size int64, err error) {
	stored := bytes.NewReader(raw)
	size, from, err := f.open(l, stored, raw, need)
	if err != nil {
		return 0, err
	}
	if f.step == nil {
		f.step = make([]byte, flowBytes)
	}
	dropped := int64(0)
	for done := int64(0); done < size; {
		step := f.step[:min(size-done, flowBytes)]
		if n, err := io.ReadFull(from, step); err != nil {
			return 0, damaged("%d bytes decompressed; %d were announced: %v", done+int64(n), size, err)
		}
		if l.swap && w != bytesWord {
			swap(step, w)
		}
		if err := p.write(step); err != nil {
			return 0, err
		}
		done += int64(len(step))
		if used := int64(len(raw) - stored.Len()); used-dropped >= flowDropBytes {
			p.passed(l.bodyAt(raw) + used)
			dropped = used
		}
	}
	var more [1]byte
	if n, err := io.ReadFull(from, more[:]); n > 0 || !errors.Is(err, io.EOF) {
		return 0, damaged("a buffer goes on after %d bytes: %v", size, err)
	}
	return size, nil
}

// open gives a reader of what a buffer holds, and its size; stored reads raw.
func (f *flow) open(l *loader, stored *bytes.Reader, raw []byte, need int64) (size int64, from io.Reader, err error) {
	if l.meta.codec == codecNone {
		return int64(len(raw)), stored, checkLength(int64(len(raw)), need)
	}
	size, frame, err := l.frameOf(raw, need)
	if err != nil {
		return 0, nil, err
	}
	if _, err := stored.Seek(int64(len(raw)-len(frame)), io.SeekStart); err != nil {
		return 0, nil, err
	}
	switch {
	case size < 0:
		return int64(len(frame)), stored, checkLength(int64(len(frame)), need)
	case l.meta.codec != codecZSTD:
		return size, lz4.NewReader(stored), nil
	}
	if f.zstd == nil {
		if f.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(mostFlowWindow)); err != nil {
			return 0, nil, fmt.Errorf("make zstd decoder: %w", err)
		}
	}
	if err := f.zstd.Reset(stored); err != nil {
		return 0, nil, damaged("zstd: %v", err)
	}
	return size, f.zstd, nil
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
		err = fmt.Errorf("%w: no room in %s for a record batch decompressed: %w; give the folder more room, name another by TMPDIR, or write the file with smaller record batches", scratch.ErrWrite, scratch.Dir(""), err)
	}
	p.size += int64(len(b))
	return err
}
