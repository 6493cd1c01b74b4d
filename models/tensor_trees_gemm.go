package models

// gemm evaluates all splits of all trees at once, S of each: a Gather of columns,
// a comparison, and a product with 1, 2, 4 ... that makes of a tree's S results
// the row of a table of 2^S leaves. Nothing is rounded: the products are small
// integers, in TF32 too, and no feature is multiplied, so that NaN stays its own.
//
// (The form that multiplies the results with a matrix of paths, compares with the
// paths' lengths and multiplies a one-hot matrix with the values writes 3 times
// as much.)
//
// It gives the rows [N,T] or [T,N] and the leaf of each row of the table.
func (b *treeGraph) gemm(g *treeGroup) (at string, leaves []int32) {
	trees, splits := len(g.trees), g.depth
	rows := 1 << splits
	l := newLevelTable(trees * splits)
	leaves = make([]int32, trees*rows)
	for i, t := range g.trees {
		bit := make([]int, len(t.nodes)) // of splits
		next := 0
		for k := range t.nodes {
			if t.nodes[k].leaf >= 0 {
				continue
			}
			place := i*splits + next
			if b.transposed {
				place = next*trees + i
			}
			b.set(l, place, &t.nodes[k])
			bit[k] = next
			next++
		}
		for row := range rows {
			k := t.root
			for t.nodes[k].leaf < 0 {
				if row>>bit[k]&1 == 1 {
					k = t.nodes[k].yes
				} else {
					k = t.nodes[k].no
				}
			}
			leaves[i*rows+row] = t.nodes[k].leaf
		}
	}
	powers := make([]float32, splits)
	for i := range powers {
		powers[i] = float32(int(1) << i)
	}
	b.most = max(b.most, trees*splits)
	results := b.cast(b.firstLevel(l), Float32)
	var sums string
	if b.transposed { // [S*T,N]
		product := b.one("MatMul", b.floats([]int64{1, int64(splits)}, powers...), b.reshape(results, int64(splits), -1))
		sums = b.reshape(product, int64(trees), -1)
	} else { // [N,T*S]
		product := b.one("MatMul", b.reshape(results, 0, int64(trees), int64(splits)), b.floats([]int64{int64(splits), 1}, powers...))
		sums = b.reshape(product, 0, int64(trees))
	}
	return b.add(b.cast(sums, Int32), b.int32s(b.perTree(trees), steps(trees, rows, 0)...)), leaves
}
