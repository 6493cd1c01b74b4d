package bench

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/dustin/go-humanize"

	"github.com/millrace/millrace/internal/page"
)

// besideRow is one measure of several measurements; nil cells separate groups.
type besideRow struct {
	Name  string
	Cells []besideCell
}

// besideCell is one measurement's number. Best marks the highest where higher is
// better and no other's interval reaches its own.
type besideCell struct {
	Text string
	Best bool
}

// beside lists what measurements are compared by. Measures that no measurement
// knows are left out.
func beside(all []*Summary) []besideRow {
	var rows []besideRow
	oneTask := same(each(all, func(s *Summary) string { return s.Head.Model.SHA256 })) && sameData(all)
	add := func(name string, write func(float64) string, of func(s *Summary) Estimate) {
		row := besideRow{Name: name, Cells: make([]besideCell, len(all))}
		estimates := each(all, of)
		if !slices.ContainsFunc(estimates, Estimate.known) {
			return
		}
		for i, e := range estimates {
			if row.Cells[i].Text = page.Unknown; e.known() {
				row.Cells[i] = besideCell{write(e.Median), oneTask && clearly(i, estimates)}
			}
		}
		rows = append(rows, row)
	}
	words := func(name string, of func(s *Summary) string) {
		row := besideRow{Name: name}
		for _, s := range all {
			row.Cells = append(row.Cells, besideCell{Text: cmp.Or(of(s), page.Unknown)})
		}
		rows = append(rows, row)
	}
	separate := func() {
		if n := len(rows); n > 0 && rows[n-1].Cells != nil {
			rows = append(rows, besideRow{})
		}
	}
	words("cores", func(s *Summary) string { return humanize.Commaf(s.Head.Machine.Granted()) })
	if !same(each(all, func(s *Summary) string { return s.Head.Model.SHA256 })) {
		words("model", func(s *Summary) string { return page.Plain(s.Head.Model.Name) })
	}
	separate()
	add("end to end, rows/s", page.Count, func(s *Summary) Estimate {
		if s.EndToEnd == nil {
			return Estimate{}
		}
		return s.EndToEnd.RowsPerSecond
	})
	add("rows/s per core", page.Count, func(s *Summary) Estimate { return s.RowsPerSecondPerCore })
	add("rows/s per watt", page.Count, func(s *Summary) Estimate { return s.RowsPerJoule })
	add("M rows per unit of money", millionsOf, func(s *Summary) Estimate { return s.RowsPerUnit })
	words("a billion rows", func(s *Summary) string { return page.Time(billion(s).Median) })
	separate()
	add("ceiling, rows/s", page.Count, func(s *Summary) Estimate {
		if s.Ceiling == nil {
			return Estimate{}
		}
		return s.Ceiling.RowsPerSecond
	})
	add("of the ceiling", page.Percent, func(s *Summary) Estimate { return s.OfCeiling })
	add("of bare inference", page.Percent, func(s *Summary) Estimate { return s.OfBareInference })
	add("of ONNX Runtime's own kernels", timesOf, func(s *Summary) Estimate { return s.OfExported })
	separate()
	for _, stage := range Stages {
		add(stageName(stage)+" alone, rows/s", page.Count, func(s *Summary) Estimate {
			if a := s.Best[stage]; a != nil {
				return a.RowsPerSecond
			}
			return Estimate{}
		})
	}
	add("infer as exported, rows/s", page.Count, func(s *Summary) Estimate {
		if s.Exported == nil {
			return Estimate{}
		}
		return s.Exported.RowsPerSecond
	})
	separate()
	words("infer, CPU a row", func(s *Summary) string {
		if a := s.Best[StageInfer]; a != nil {
			return page.Time(a.CPUSecondsPerRow.Median)
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
	words("auto against best fixed", func(s *Summary) string { return page.Change(s.AutoOfBestFixed.Median) })
	words("peak memory", func(s *Summary) string {
		if s.EndToEnd == nil {
			return ""
		}
		return page.Memory(s.EndToEnd.PeakMemoryBytes)
	})
	if slices.ContainsFunc(all, anyDevice) {
		words("memory of the device", func(s *Summary) string {
			if s.EndToEnd == nil {
				return ""
			}
			return deviceMemoryOf(s.EndToEnd)
		})
	}
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

// clearly reports whether the i-th is above all the others, with no interval
// that reaches its own.
func clearly(i int, all []Estimate) bool {
	others := 0
	for j, o := range all {
		if j == i || !o.known() {
			continue
		}
		if others++; o.High >= all[i].Low {
			return false
		}
	}
	return others > 0
}
