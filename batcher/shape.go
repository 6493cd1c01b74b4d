package batcher

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/millrace/millrace/internal/storage"
	"github.com/millrace/millrace/models"
)

// maxWidth is the most elements that one row of an input may have; runtimes
// count them in 32 bits.
const maxWidth = math.MaxInt32

// itemElements is the number of elements of one row in a signature's shape,
// and how many dimensions after the first it leaves open.
func itemElements(s models.Shape) (elements int64, open int) {
	var sizes []int64
	for _, d := range s[1:] {
		if d.Size < 0 {
			open++
			continue
		}
		sizes = append(sizes, d.Size)
	}
	return product(sizes), open
}

// product multiplies dimensions; what is more than maxWidth is all the same.
func product(dims []int64) int64 {
	if slices.Contains(dims, 0) {
		return 0
	}
	total := int64(1)
	for _, d := range dims {
		if d > maxWidth/total {
			return maxWidth + 1
		}
		total *= d
	}
	return total
}

func isList(t arrow.DataType) bool {
	switch storage.Type(t).(type) {
	case *arrow.FixedSizeListType, *arrow.ListType, *arrow.LargeListType:
		return true
	default:
		return false
	}
}

// listShape descends a list type to its elements. known is false when some
// level is a list of any length; its entry in dims is -1.
func listShape(t arrow.DataType) (elem arrow.DataType, dims []int64, known bool) {
	known = true
	for {
		t = storage.Type(t)
		switch list := t.(type) {
		case *arrow.FixedSizeListType:
			dims = append(dims, int64(list.Len()))
			t = list.Elem()
		case *arrow.ListType:
			dims, known, t = append(dims, -1), false, list.Elem()
		case *arrow.LargeListType:
			dims, known, t = append(dims, -1), false, list.Elem()
		default:
			return t, dims, known
		}
	}
}

func describe(v *models.Value) string {
	if !v.HasShape {
		return v.Elem.String() + " of unknown shape"
	}
	return v.Elem.String() + v.Shape.String()
}

func columnNames(s *arrow.Schema) []string {
	names := make([]string, s.NumFields())
	for i, f := range s.Fields() {
		names[i] = f.Name
	}
	return names
}

// quotedMost is how many names a message lists before it only counts.
const quotedMost = 40

func quoted(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	var b strings.Builder
	for i, n := range names {
		if i == quotedMost {
			fmt.Fprintf(&b, " and %d more", len(names)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q", n)
	}
	return b.String()
}
