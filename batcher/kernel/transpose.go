package kernel

import "unsafe"

// Transpose writes columns as rows: dst[r*stride+c] = cols[c][r] for every
// r < rows. Rows lie stride values apart, which is at least the number of
// columns; each column holds at least rows values.
func Transpose[T Number](dst []T, stride int, cols [][]T, rows int) {
	transpose(best, dst, stride, cols, rows)
}

func transpose[T Number](l *level, dst []T, stride int, cols [][]T, rows int) {
	width := len(cols)
	if rows == 0 || width == 0 {
		return
	}
	// Here and nowhere else it is checked that all is there.
	dst = dst[:(rows-1)*stride+width]
	for _, c := range cols {
		_ = c[rows-1]
	}
	done := transposeVectors(l, dst, stride, cols, rows)
	transposePlain(dst[done:], stride, cols[done:], rows)
}

// transposeVectors does as many columns as its level has kernels for.
func transposeVectors[T Number](l *level, dst []T, stride int, cols [][]T, rows int) (done int) {
	width, size := len(cols), sizeOf[T]()
	for i := range l.transposes[size] {
		k := &l.transposes[size][i]
		if rows < k.rows {
			continue
		}
		if groups := (width - done) / k.columns; groups > 0 {
			transposeGroups(k, dst[done:], stride, cols[done:], groups, rows)
			done += groups * k.columns
		}
	}
	// A group that would be too narrow is made whole by columns that are done
	// already: the same values are written again.
	for i := len(l.transposes[size]) - 1; i >= 0 && done < width; i-- {
		k := &l.transposes[size][i]
		if rows >= k.rows && width >= k.columns && width-done <= k.columns {
			transposeGroups(k, dst[width-k.columns:], stride, cols[width-k.columns:], 1, rows)
			done = width
		}
	}
	return done
}

// transposeGroups runs a kernel, and once more over the last rows when they
// are no multiple of its step, from a row that is done already.
func transposeGroups[T Number](k *transposeKernel, dst []T, stride int, cols [][]T, groups, rows int) {
	d, c := pointer(dst), (*byte)(unsafe.Pointer(unsafe.SliceData(cols)))
	even := rows - rows%k.rows
	k.run(d, c, stride*sizeOf[T](), groups, 0, even)
	if even < rows {
		k.run(d, c, stride*sizeOf[T](), groups, rows-k.rows, rows)
	}
}

// transposePlain reads eight columns side by side, so that each pass over a
// tile writes eight neighbouring values and the tile's lines of dst stay in
// cache between passes.
func transposePlain[T any](dst []T, stride int, cols [][]T, rows int) {
	width := len(cols)
	c := 0
	for ; c+8 <= width; c += 8 {
		c0, c1, c2, c3 := cols[c][:rows], cols[c+1][:rows], cols[c+2][:rows], cols[c+3][:rows]
		c4, c5, c6, c7 := cols[c+4][:rows], cols[c+5][:rows], cols[c+6][:rows], cols[c+7][:rows]
		at := c
		for r := range rows {
			d := (*[8]T)(dst[at : at+8])
			d[0], d[1], d[2], d[3] = c0[r], c1[r], c2[r], c3[r]
			d[4], d[5], d[6], d[7] = c4[r], c5[r], c6[r], c7[r]
			at += stride
		}
	}
	for ; c < width; c++ {
		at := c
		for _, v := range cols[c][:rows] {
			dst[at] = v
			at += stride
		}
	}
}
