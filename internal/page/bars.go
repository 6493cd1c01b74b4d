package page

import (
	"fmt"
	"math"
)

// Bars is a list of horizontal bars with one scale.
type Bars struct {
	Title, Desc string
	Rows        []Bar
	Legend      []Legend
	Level       string // where to draw a line through all bars, in percent; "" for none
	Columns     []string
	Table       []Fact // the same in numbers, where the bars do not say them
}

// Bar is one of them, of one part or several. Cut says that it goes on beyond
// the scale.
type Bar struct {
	Label, Note, Value string
	Parts              []BarPart
	Low, High          string // interval, in percent; "" for none
	Cut, Strong        bool
}

// BarPart is one colour of a bar. Wide says that its label needs a wide chart.
type BarPart struct {
	Class, X, Width, Label, Tip string
	Wide                        bool
}

// Legend names a colour.
type Legend struct{ Class, Label string }

// Percentage is a share in percent, at most 100, as an attribute of SVG has it.
func Percentage(v, of float64) string {
	if of <= 0 {
		return "0"
	}
	return fmt.Sprintf("%.2f", min(100, 100*v/of))
}

// Fact is one line of a table of facts: a cell for each thing that they are about.
type Fact struct {
	Name  string
	Cells []string
}

// NiceStep divides 0 to most by 1, 2 or 5 times a power of ten.
func NiceStep(most float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(most/4)))
	for _, m := range []float64{1, 2, 2.5, 5} {
		if power*m*5 >= most {
			return power * m
		}
	}
	return power * 10
}
