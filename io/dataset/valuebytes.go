package dataset

import "github.com/millrace/millrace/io/format"

// sizedReader is a reader that knows how large values are whose type does not say.
type sizedReader interface {
	// ValueBytes is about the size in bytes of a value of a column, on average; 0
	// where it is not known.
	ValueBytes(column int) int64
}

// ValueBytes is about the size in bytes of a value of a column, on average of the
// file where it is largest; 0 where no file says.
func (d *Dataset) ValueBytes(column string) (most int64) {
	for _, src := range d.unique {
		if at := src.shape.index[column]; len(at) == 1 && at[0] < len(src.sizes) {
			most = max(most, src.sizes[at[0]])
		}
	}
	return most
}

// wholeReader is a reader that reads large spans in pieces, if all columns let it.
type wholeReader interface {
	// ReadWhole reports whether large spans are read whole where a column is asked for.
	ReadWhole(column int) bool
}

// ReadWhole reports whether large spans of some mapped file are read whole where a column
// is asked for. Others are read in pieces, or decoded so.
func (d *Dataset) ReadWhole(column string) bool {
	for _, src := range d.unique {
		if at := src.shape.index[column]; len(at) == 1 && at[0] < len(src.whole) && src.whole[at[0]] {
			return true
		}
	}
	return false
}

// keepSizes copies what a reader knows of sizes.
func (s *source) keepSizes(reader format.Reader) {
	if stored, ok := reader.(*storedReader); ok {
		reader = stored.Reader // which knows more than a Reader has to
	}
	if pieces, ok := reader.(wholeReader); ok {
		s.whole = make([]bool, s.shape.schema.NumFields())
		for i := range s.whole {
			s.whole[i] = pieces.ReadWhole(i)
		}
	}
	sized, ok := reader.(sizedReader)
	if !ok {
		return
	}
	s.sizes = make([]int64, s.shape.schema.NumFields())
	for i := range s.sizes {
		s.sizes[i] = max(sized.ValueBytes(i), 0)
	}
}
