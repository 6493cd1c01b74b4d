package parquetfile

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"

	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/dustin/go-humanize"

	"github.com/millrace/millrace/internal/scratch"
	"github.com/millrace/millrace/io/mapped"
)

// longPage is a page in a scratch file, which is mapped. What was read of the mapping is
// given back after every chunk of rows.
type longPage struct{ file *mapped.File }

// newLongPage makes a file of size bytes, which fill writes, and maps it.
func newLongPage(size int, fill func(*os.File) error) (*longPage, error) {
	dir := scratch.Dir("")
	file, err := scratch.Create(dir, "page")
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // the mapping has a descriptor of its own
	if err := fill(file); err != nil {
		if scratch.Full(err) {
			return nil, noRoom(dir, int64(size), err)
		}
		return nil, err
	}
	m, err := mapped.FromFile(file)
	if err != nil {
		return nil, fmt.Errorf("map a page of %s: %w", humanize.IBytes(uint64(size)), err)
	}
	return &longPage{m}, nil
}

// close gives the file up; of no page it does nothing.
func (l *longPage) close() {
	if l != nil {
		l.file.Release()
	}
}

// giveBack takes what was read of long pages out of the process. The error says that it
// could not be read and was zeros.
func (p *pages) giveBack() error {
	for _, l := range []*longPage{p.long, p.longDictionary} {
		if l == nil {
			continue
		}
		if err := l.file.Err(); err != nil {
			return fmt.Errorf("%w: %w", scratch.ErrWrite, err)
		}
		l.file.DropUnused(0, l.file.Size())
	}
	return nil
}

// nextLong gives a page that goes through a file.
func (p *pages) nextLong(h pageHeader) (page, error) {
	p.long.close()
	p.long = nil
	if h.kind != dataPageV2 {
		data, err := p.unpack(h.stored, h.uncompressed, true)
		if err != nil {
			return page{}, err
		}
		return p.version1(h, data)
	}
	levels, err := p.levels2(h)
	if err != nil {
		return page{}, err
	}
	if err := p.need(levels); err != nil {
		return page{}, err
	}
	head := p.window[p.from : p.from+levels]
	p.from += levels
	out := page{kind: dataPage, levels: h.values, encoding: h.encoding, reps: head[:h.repLen], defs: head[h.repLen:]}
	if out.values, err = p.unpack(h.stored-levels, h.uncompressed-levels, h.compressed); err != nil {
		return page{}, err
	}
	return out, nil
}

// unpack puts the size bytes that the next stored bytes of the chunk stand for into a file,
// and gives them where it is mapped. The window keeps what was read before.
func (p *pages) unpack(stored, size int, compressed bool) ([]byte, error) {
	codec := p.codec
	if !compressed {
		codec = compress.Codecs.Uncompressed
	}
	from := p.stream(stored)
	long, err := newLongPage(size, func(to *os.File) error {
		if err := unpack(codec, to, from, size); err != nil {
			if scratch.Full(err) {
				return err
			}
			return damaged("page of %d bytes, %d uncompressed: %v", stored, size, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	p.long = long
	return long.file.Bytes(), nil
}

// stream reads the next n bytes, of which the chunk has as many, and passes over them.
func (p *pages) stream(n int) *bufio.Reader {
	have := min(n, p.to-p.from)
	head := bytes.NewReader(p.window[p.from : p.from+have])
	rest := io.NewSectionReader(p.src, p.at, int64(n-have))
	p.skip(n)
	return bufio.NewReaderSize(io.MultiReader(head, rest), readAheadBytes)
}

// noRoom words the error of a scratch file that cannot grow.
func noRoom(dir string, bytes int64, err error) error {
	return scratch.NoRoom(dir, humanize.IBytes(uint64(bytes))+" of columns whose pages are too many to hold in memory", "write the file with smaller row groups", err)
}
