package engine

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/io/csvfile"
	"github.com/millrace/millrace/io/format"
	"github.com/millrace/millrace/io/rowtext"
)

// textJoiner copies lines behind one header, and compresses them. So the file is the one
// that a single writer would have made, and lines are made by all workers.
type textJoiner struct {
	collector *collector
	out       io.WriteCloser
}

func (s *single) newTextJoiner() (joiner, error) {
	c := s.collector
	opts := c.writeOptions()
	out, err := rowtext.Compressed(s.file, opts.Compression)
	if err != nil {
		return nil, err
	}
	j := &textJoiner{collector: c, out: out}
	if c.plan.Options.Format == format.CSV {
		c.mu.Lock()
		names := make([]string, len(c.columns))
		for i := range c.columns {
			names[i] = c.columns[i].Name
		}
		c.mu.Unlock()
		_, err = out.Write(csvfile.Header(names, opts))
	}
	return j, err
}

func (j *textJoiner) add(path string, piece int) (rows int64, err error) {
	c := j.collector
	c.mu.Lock()
	rows = c.parts[piece].Written()
	var written int64
	for _, o := range c.outputs[piece] {
		written += o.Bytes
	}
	c.mu.Unlock()
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	n, err := io.Copy(j.out, f)
	if err == nil && n != written {
		err = fmt.Errorf("%w: it has %d bytes and was written with %d", ledger.ErrAccounts, n, written)
	}
	return rows, err
}

func (j *textJoiner) close() error { return j.out.Close() }
