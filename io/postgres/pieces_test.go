package postgres

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// tupleOf is a tuple of values of so many bytes, each that of its row; below 0 it is null.
func tupleOf(row byte, lengths ...int) []byte {
	out := binary.BigEndian.AppendUint16(nil, uint16(len(lengths)))
	for _, n := range lengths {
		out = binary.BigEndian.AppendUint32(out, uint32(int32(n)))
		out = append(out, bytes.Repeat([]byte{row}, max(n, 0))...)
	}
	return out
}

// pack packs tuples. It gives the stream of the pieces' bytes, as the server would, and the
// rows and bytes of each.
func pack(t interface{ Fatalf(string, ...any) }, p *pieces, tuples [][]byte) (sent []byte, rows, size []int) {
	var chunk []byte
	for _, tuple := range tuples {
		chunk = p.open(chunk)
		start := len(chunk)
		var err error
		if chunk, err = p.took(append(chunk, tuple...), start); err != nil {
			t.Fatalf("%v", err)
		}
	}
	p.close(chunk)
	var values [][]byte
	for rest := chunk; len(rest) > 0; {
		if !bytes.HasPrefix(rest, []byte("\x00\x02\x00\x00\x00\x04")) {
			t.Fatalf("%q is no tuple of rows and bytes", rest)
		}
		n := int(binary.BigEndian.Uint32(rest[10:]))
		rows, size = append(rows, int(binary.BigEndian.Uint32(rest[6:]))), append(size, n)
		values = append(values, rest[pieceHead:pieceHead+n])
		rest = rest[pieceHead+n:]
	}
	if p.closed != int64(len(rows)) {
		t.Fatalf("%d pieces closed, and there are %d", p.closed, len(rows))
	}
	return stream(values...), rows, size
}

// TestPieces: every tuple is in one piece, and a piece is closed before it would be larger
// than a page by another tuple like those it has.
func TestPieces(t *testing.T) {
	number, text, null, long := []int{8, 4}, []int{8, 3}, []int{8, -1}, []int{8, 90}
	repeat := func(n int, lengths ...[]int) (all [][]int) {
		for range n {
			all = append(all, lengths...)
		}
		return all
	}
	tests := []struct {
		why    string
		tuples [][]int
		most   int
		rows   []int
		bytes  []int
	}{
		{"rows of numbers leave their lengths to the piece", repeat(20, number), 110, []int{8, 8, 4}, []int{110, 110, 62}},
		{"a row of other lengths begins a piece", [][]int{number, number, null, null, number}, 110, []int{2, 2, 1}, []int{38, 30, 26}},
		{"no room for several in a piece: tuples as they are", repeat(2, long), 110, []int{1, 1}, []int{108, 108}},
		{"a tuple that is larger than a page", [][]int{{8, 200}, number}, 110, []int{1, 1}, []int{218, 26}},
		{"rows of nothing but nulls are tuples", repeat(12, []int{-1, -1}), 110, []int{11, 1}, []int{110, 10}},
		{"texts of all lengths: after some pieces of one row, tuples as they are", repeat(12, number, text), 110, []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 5, 3}, nil},
		{"none", nil, 110, nil, nil},
	}
	for _, test := range tests {
		t.Run(test.why, func(t *testing.T) {
			tuples := make([][]byte, 0, len(test.tuples))
			for i, lengths := range test.tuples {
				tuples = append(tuples, tupleOf(byte(i), lengths...))
			}
			_, rows, size := pack(t, &pieces{most: test.most}, tuples)
			if !slices.Equal(rows, test.rows) || test.bytes != nil && !slices.Equal(size, test.bytes) {
				t.Errorf("pieces of %v rows and %v bytes; want %v and %v", rows, size, test.rows, test.bytes)
			}
		})
	}
}

// TestPackedRoundTrip: whatever tuples are packed, they come back in their order, with the
// field that is added.
func TestPackedRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fields := rapid.IntRange(1, 4).Draw(t, "fields")
		kinds := rapid.SliceOfN(rapid.SliceOfN(rapid.SampledFrom([]int{-1, 0, 1, 4, 8, 8, 8, 16, 200}), fields, fields), 1, 3).Draw(t, "kinds")
		rows := rapid.SliceOfN(rapid.IntRange(0, len(kinds)-1), 0, 300).Draw(t, "rows")
		tuples := make([][]byte, 0, len(rows))
		want := bytes.Clone(copyHeader)
		for i, kind := range rows {
			tuple := tupleOf(byte(i), kinds[kind]...)
			tuples = append(tuples, tuple)
			want = binary.BigEndian.AppendUint16(want, uint16(fields+1))
			want = append(append(want, tuple[2:]...), "\x00\x00\x00\x03run"...)
		}
		want = binary.BigEndian.AppendUint16(want, copyEnd)
		sent, _, _ := pack(t, &pieces{most: rapid.IntRange(20, 500).Draw(t, "most")}, tuples)
		got, err := io.ReadAll(NewUnpacked(bytes.NewReader(sent), fields, "run"))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%v: %q; want %q", err, got, want)
		}
	})
}
