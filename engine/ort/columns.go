package ort

import (
	"fmt"
	"math"
	"runtime"
	"unsafe"

	"github.com/millrace/millrace/models"
)

// Column is one column's values in a segment of a matrix: float32, of which those
// without a bit in Validity, from Bit on, are Fill. A nil Validity means that all are
// there, and nil Values that none is.
type Column struct {
	Values   []float32
	Validity []byte
	Bit      int
	Fill     float32
}

// Columns is a matrix for a model that takes columns (models.TakeColumns): not its
// values, but where they lie. It belongs to one goroutine and is made again for each
// batch in the same memory.
//
// Its tensor is a matrix [words,1] of int64, which columns.h reads:
//
//	head      magic "MRCRMLC1", rows, width, segments
//	matrix    where rows lie that are made already, if there are no segments
//	segment   rows, and for each column where its values lie, where its validity does
//	          (0: nowhere), the bit of the first value there, and the fill's bits
type Columns struct {
	words  []int64
	n      int
	tensor *Tensor
	pinner runtime.Pinner
}

const (
	columnsMagic = 0x31434c4d5243524d // "MRCRMLC1", as an integer
	columnsHead  = 4
	columnWords  = 4
)

// start makes room for n words.
func (c *Columns) start(n, rows, width, segments int) ([]int64, error) {
	c.pinner.Unpin()
	if rows < 0 || width <= 0 {
		return nil, fmt.Errorf("%w: columns of a matrix [%d,%d]", ErrTensor, rows, width)
	}
	if n != c.n {
		if err := c.closeTensor(); err != nil {
			return nil, err
		}
		if n > len(c.words) {
			c.words = make([]int64, n)
		}
		c.n = n
	}
	copy(c.words, []int64{columnsMagic, int64(rows), int64(width), int64(segments)})
	return c.words[columnsHead:n], nil
}

// SetMatrix describes a matrix whose rows are made, in the machine's byte order. It
// borrows data until the next Set or Close.
func (c *Columns) SetMatrix(rows, width int, data []byte) (*Tensor, error) {
	if len(data) != rows*width*4 {
		return nil, fmt.Errorf("%w: [%d,%d] of float32, but %d bytes of data", ErrTensor, rows, width, len(data))
	}
	words, err := c.start(columnsHead+1, rows, width, 0)
	if err != nil {
		return nil, err
	}
	words[0] = c.address(unsafe.Pointer(unsafe.SliceData(data)))
	return c.made()
}

// SetColumns describes a matrix by segments of rows, each as columns: all have the same
// number. It borrows them until the next Set or Close.
func (c *Columns) SetColumns(rows []int, segments [][]Column) (*Tensor, error) {
	width, total := 0, 0
	for i, s := range segments {
		width = len(segments[0])
		if len(s) != width || len(rows) != len(segments) {
			return nil, fmt.Errorf("%w: segment %d of %d has %d columns, and the first %d", ErrTensor, i, len(rows), len(s), width)
		}
		total += rows[i]
	}
	size := 1 + columnWords*width
	words, err := c.start(columnsHead+size*len(segments), total, width, len(segments))
	if err != nil {
		return nil, err
	}
	for i, s := range segments {
		words[0] = int64(rows[i])
		words = words[1:]
		for k := range s {
			col := &s[k]
			if col.Values != nil && len(col.Values) < rows[i] || col.Validity != nil && len(col.Validity)*8 < col.Bit+rows[i] {
				return nil, fmt.Errorf("%w: column %d has fewer than %d rows", ErrTensor, k, rows[i])
			}
			to := words[:columnWords:columnWords]
			to[0] = c.address(unsafe.Pointer(unsafe.SliceData(col.Values)))
			to[1] = c.address(unsafe.Pointer(unsafe.SliceData(col.Validity)))
			to[2], to[3] = int64(col.Bit), int64(math.Float32bits(col.Fill))
			words = words[columnWords:]
		}
	}
	return c.made()
}

// address is where memory lies that C reads until the pinner lets it go.
func (c *Columns) address(p unsafe.Pointer) int64 {
	if p == nil {
		return 0
	}
	c.pinner.Pin(p)
	return int64(uintptr(p))
}

func (c *Columns) made() (*Tensor, error) {
	if c.tensor != nil {
		return c.tensor, nil
	}
	var err error
	c.tensor, err = Of(models.Int64, []int64{int64(c.n), 1}, c.words[:c.n])
	return c.tensor, err
}

func (c *Columns) closeTensor() error {
	if c.tensor == nil {
		return nil
	}
	err := c.tensor.Close()
	c.tensor = nil
	return err
}

// Close closes the tensor and lets go of the columns' memory.
func (c *Columns) Close() error {
	c.pinner.Unpin()
	return c.closeTensor()
}
