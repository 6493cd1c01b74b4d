package parquetfile

import (
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"golang.org/x/sync/errgroup"
)

// concurrentBytes are what rows must have for their columns to be encoded concurrently:
// less is encoded before a goroutine has begun.
const concurrentBytes = 128 << 10

// encode encodes n rows of a batch, from row at on, which have so many bytes: one column
// after the other, or several at a time where others who could do something do nothing.
// A column's pages depend on its rows alone.
func (f *flatFile) encode(batch arrow.RecordBatch, at, n int, bytes int64) error {
	var next atomic.Int64
	columns := func(dense []byte) (err error) {
		defer recoverEncoder(&err)
		for {
			i := int(next.Add(1)) - 1
			if i >= len(f.columns) {
				return nil
			}
			if err := f.columns[i].add(batch.Column(i).Data(), at, n, dense); err != nil {
				next.Store(int64(len(f.columns)))
				return f.columnError(i, err)
			}
		}
	}
	var others errgroup.Group
	if f.texts > 0 && bytes >= concurrentBytes {
		for range min(len(f.columns), cap(f.encoders)) - 1 {
			select {
			case f.encoders <- struct{}{}:
			default:
				continue
			}
			others.Go(func() error {
				defer func() { <-f.encoders }()
				dense := f.mem.Allocate(8 * stepRows)
				defer f.mem.Free(dense)
				return columns(dense)
			})
		}
	}
	err := columns(f.dense)
	if failed := others.Wait(); err == nil {
		err = failed
	}
	return err
}
