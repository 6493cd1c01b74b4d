package agreement

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"slices"
)

// SampleRows is the most rows of a sample.
const SampleRows = 1 << 15

// leastSampleRows are what the sample of a part may have besides, however small the
// part: where filters leave rows in few parts, theirs are then not too few.
const leastSampleRows = 1 << 8

// Sample is the rows with the smallest hashes, so that samples of parts of the rows
// make the sample of all, in whatever order they are put together.
type Sample struct {
	points []Point
	rows   int      // the most, that count
	room   int      // of points, to begin with
	end    uint64   // rows were left out from this hash on; 0: none were
	hashes []uint64 // of the points, for cut
}

// Point is one row of a sample.
type Point struct {
	hash uint64
	a, b float64
}

// NewSample makes the sample of a part of the rows, or of all: part and all are rows that
// the input announces. Each part may have more than its share, since bad rows, filters
// and chance leave parts unevenly.
func NewSample(part, all int64) Sample {
	share := 1.0
	if all > 0 {
		share = min(1.25*float64(part)/float64(all), 1)
	}
	rows := min(int(math.Ceil(share*SampleRows))+leastSampleRows, SampleRows)
	return Sample{rows: rows, room: int(min(int64(2*rows), part))}
}

// below is the hash from which on no row is of use.
func (s *Sample) below() uint64 {
	if s.end == 0 {
		return math.MaxUint64
	}
	return s.end
}

func (s *Sample) add(p Point) {
	if s.points == nil { // at once: the system clears all that a slice grows through
		s.points = make([]Point, 0, s.room)
	}
	s.points = append(s.points, p)
	if len(s.points) >= 2*s.rows {
		s.cut()
	}
}

// cut leaves the rows that count: all of a hash, or none.
func (s *Sample) cut() {
	if len(s.points) > s.rows {
		s.hashes = slices.Grow(s.hashes[:0], len(s.points))
		for _, p := range s.points {
			s.hashes = append(s.hashes, p.hash)
		}
		s.end = min(s.below(), nth(s.hashes, s.rows))
	}
	if s.end != 0 {
		s.points = slices.DeleteFunc(s.points, func(p Point) bool { return p.hash >= s.end })
	}
}

// nth is the value that would have the index n if values, which it reorders, were
// sorted: Hoare's quickselect. Hashes need no better pivot than the middle one.
func nth(values []uint64, n int) uint64 {
	from, to := 0, len(values)-1
	for from < to {
		pivot := values[(from+to)/2]
		i, j := from, to
		for i <= j {
			for values[i] < pivot {
				i++
			}
			for values[j] > pivot {
				j--
			}
			if i <= j {
				values[i], values[j] = values[j], values[i]
				i, j = i+1, j-1
			}
		}
		switch {
		case n <= j:
			to = j
		case n >= i:
			from = i
		default:
			return values[n]
		}
	}
	return values[n]
}

// merge takes in the sample of other rows.
func (s *Sample) merge(other *Sample) {
	other.cut() // as it is where it comes from a journal
	if other.end != 0 {
		s.end = min(s.below(), other.end)
	}
	s.points = append(s.points, other.points...)
	if len(s.points) >= 2*s.rows {
		s.cut()
	}
}

// sides are the numbers of the sampled rows, in the order of their hashes.
func (s *Sample) sides() (a, b []float64) {
	s.cut()
	slices.SortFunc(s.points, func(p, other Point) int {
		if p.hash != other.hash {
			return cmp.Compare(p.hash, other.hash)
		}
		return cmp.Or(cmp.Compare(p.a, other.a), cmp.Compare(p.b, other.b))
	})
	a, b = make([]float64, len(s.points)), make([]float64, len(s.points))
	for i, p := range s.points {
		a[i], b[i] = p.a, p.b
	}
	return a, b
}

// sampleText is a sample as JSON: 24 bytes a row.
type sampleText struct {
	Rows   int    `json:"rows"`
	End    uint64 `json:"end,omitempty"`
	Points []byte `json:"points"`
}

// MarshalJSON writes the rows that count.
func (s Sample) MarshalJSON() ([]byte, error) {
	if len(s.points) > s.rows { // what it is a copy of stays
		s.points, s.hashes = slices.Clone(s.points), nil
		s.cut()
	}
	text := sampleText{Rows: s.rows, End: s.end, Points: make([]byte, 0, 24*len(s.points))}
	for _, p := range s.points {
		if p.hash >= s.below() {
			continue
		}
		text.Points = binary.LittleEndian.AppendUint64(text.Points, p.hash)
		text.Points = binary.LittleEndian.AppendUint64(text.Points, math.Float64bits(p.a))
		text.Points = binary.LittleEndian.AppendUint64(text.Points, math.Float64bits(p.b))
	}
	return json.Marshal(text)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *Sample) UnmarshalJSON(data []byte) error {
	var text sampleText
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	if len(text.Points)%24 != 0 || text.Rows < 0 || text.Rows > SampleRows {
		return errors.New("a sample of rows is not whole")
	}
	*s = Sample{rows: text.Rows, end: text.End}
	for rest := text.Points; len(rest) > 0; rest = rest[24:] {
		s.points = append(s.points, Point{
			binary.LittleEndian.Uint64(rest), math.Float64frombits(binary.LittleEndian.Uint64(rest[8:])), math.Float64frombits(binary.LittleEndian.Uint64(rest[16:])),
		})
	}
	return nil
}

// Rows are the places of a batch's rows, and which of them a sample may have.
type Rows struct {
	runs   []run
	count  int
	below  uint64 // no sample has rows from this hash on
	chosen []choice
}

// run is rows that follow each other in a file.
type run struct {
	first Place
	at    int // the first's index among the rows
}

// choice is a row that a sample may have.
type choice struct {
	at   int // its index among the rows
	hash uint64
}

// Reset makes the rows none. Those that follow are for the tallies' samples.
func (r *Rows) Reset(tallies []Tally) {
	r.runs, r.chosen, r.count, r.below = r.runs[:0], r.chosen[:0], 0, 0
	for i := range tallies {
		r.below = max(r.below, tallies[i].Sample.below())
	}
}

// Append adds count rows of a file from its row first on.
func (r *Rows) Append(file int, first int64, count int) {
	r.runs = append(r.runs, run{Place{file, first}, r.count})
	of := mix(uint64(file)) + uint64(first)
	for i := range count {
		if hash := mix(of + uint64(i)); hash < r.below {
			r.chosen = append(r.chosen, choice{r.count + i, hash})
		}
	}
	r.count += count
}

// within are the chosen of some rows.
func (r *Rows) within(from, to int) []choice {
	index := func(i int) int {
		at, _ := slices.BinarySearchFunc(r.chosen, i, func(c choice, i int) int { return cmp.Compare(c.at, i) })
		return at
	}
	return r.chosen[index(from):index(to)]
}

// place is where the i-th row lies.
func (r *Rows) place(i int) Place {
	at, found := slices.BinarySearchFunc(r.runs, i, func(r run, i int) int { return cmp.Compare(r.at, i) })
	if !found {
		at--
	}
	p := r.runs[at].first
	p.Row += int64(i - r.runs[at].at)
	return p
}

// mix is the finaliser of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom
// number generators, 2014). Of a row it is taken twice, so that neither its file nor
// its number can be told from the hash.
func mix(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
