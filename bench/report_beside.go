package bench

import (
	"cmp"
	"fmt"

	"github.com/dustin/go-humanize"
)

// besideRow is one measure of several measurements; nil cells separate groups.
type besideRow struct {
	name  string
	cells []besideCell
}

// besideCell is one measurement's number. Best marks the highest, where higher
// is better and there is something to choose.
type besideCell struct {
	text string
	best bool
}

// beside lists what measurements are compared by. Measures that no measurement
// knows are left out.
func beside(all []*Summary) []besideRow {
	var rows []besideRow
	add := func(name string, write func(float64) string, of func(s *Summary) float64) {
		row := besideRow{name: name, cells: make([]besideCell, len(all))}
		best, known := -1, 0
		values := make([]float64, len(all))
		for i, s := range all {
			v := of(s)
			values[i], row.cells[i].text = v, unknown
			if v <= 0 {
				continue
			}
			known++
			row.cells[i].text = write(v)
			if best < 0 || v > values[best] {
				best = i
			}
		}
		if known == 0 {
			return
		}
		if known > 1 {
			row.cells[best].best = true
		}
		rows = append(rows, row)
	}
	words := func(name string, of func(s *Summary) string) {
		row := besideRow{name: name}
		for _, s := range all {
			row.cells = append(row.cells, besideCell{text: cmp.Or(of(s), unknown)})
		}
		rows = append(rows, row)
	}
	separate := func() {
		if n := len(rows); n > 0 && rows[n-1].cells != nil {
			rows = append(rows, besideRow{})
		}
	}
	estimate := func(of func(s *Summary) Estimate) func(s *Summary) float64 {
		return func(s *Summary) float64 { return of(s).Median }
	}

	words("cores", func(s *Summary) string { return humanize.Comma(int64(s.Head.Machine.Cores)) })
	if !same(each(all, func(s *Summary) string { return s.Head.Model.SHA256 })) {
		words("model", func(s *Summary) string { return plain(s.Head.Model.Name) })
	}
	separate()
	add("end to end, rows/s", countOf, estimate(func(s *Summary) Estimate {
		if s.EndToEnd == nil {
			return Estimate{}
		}
		return s.EndToEnd.RowsPerSecond
	}))
	add("rows/s per core", countOf, estimate(func(s *Summary) Estimate { return s.RowsPerSecondPerCore }))
	add("rows/s per watt", countOf, estimate(func(s *Summary) Estimate { return s.RowsPerJoule }))
	add("M rows per unit of money", func(v float64) string { return humanize.Comma(int64(v/1e6 + 0.5)) }, estimate(func(s *Summary) Estimate { return s.RowsPerUnit }))
	words("a billion rows", func(s *Summary) string { return timeOf(billion(s).Median) })
	separate()
	add("ceiling, rows/s", countOf, estimate(func(s *Summary) Estimate {
		if s.Ceiling == nil {
			return Estimate{}
		}
		return s.Ceiling.RowsPerSecond
	}))
	add("of the ceiling", percentOf, estimate(func(s *Summary) Estimate { return s.OfCeiling }))
	add("of bare inference", percentOf, estimate(func(s *Summary) Estimate { return s.OfBareInference }))
	separate()
	for _, stage := range Stages {
		add(stageName(stage)+" alone, rows/s", countOf, func(s *Summary) float64 {
			if a := s.Best[stage]; a != nil {
				return a.RowsPerSecond.Median
			}
			return 0
		})
	}
	separate()
	words("infer, CPU a row", func(s *Summary) string {
		if a := s.Best[StageInfer]; a != nil {
			return timeOf(a.CPUSecondsPerRow.Median)
		}
		return ""
	})
	words("fastest settings", func(s *Summary) string {
		switch {
		case s.BestFixed != nil:
			return settings(s.BestFixed.Arm, false)
		case s.Best[StageInfer] != nil:
			return settings(s.Best[StageInfer].Arm, false)
		default:
			return ""
		}
	})
	words("auto chose", func(s *Summary) string {
		if s.Auto == nil {
			return ""
		}
		return settings(s.Auto.Arm, false)
	})
	words("auto against best fixed", func(s *Summary) string { return changeOf(s.AutoOfBestFixed.Median) })
	words("peak memory", func(s *Summary) string {
		if s.EndToEnd == nil {
			return ""
		}
		return memoryOf(s.EndToEnd.PeakMemoryBytes)
	})
	words("price an hour", func(s *Summary) string {
		if s.Head.PricePerHour <= 0 {
			return ""
		}
		return fmt.Sprintf("%g", s.Head.PricePerHour)
	})
	return rows
}

func each[T any](all []*Summary, of func(s *Summary) T) []T {
	out := make([]T, len(all))
	for i, s := range all {
		out[i] = of(s)
	}
	return out
}
