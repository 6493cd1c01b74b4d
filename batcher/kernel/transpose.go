package kernel

// Transpose writes columns as rows: dst[r*len(cols)+c] = cols[c][r] for every
// r < rows. dst holds at least rows*len(cols) values, each column at least
// rows.
//
// Eight columns are read side by side, so that each pass over a tile writes
// eight neighbouring values and the tile's lines of dst stay in cache between
// passes.
func Transpose[T any](dst []T, cols [][]T, rows int) {
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
			at += width
		}
	}
	for ; c < width; c++ {
		at := c
		for _, v := range cols[c][:rows] {
			dst[at] = v
			at += width
		}
	}
}
