package timeline

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"
)

// event is one of Chrome's trace events ("Trace Event Format", by the Chromium
// project): X is a span, with times in microseconds, and M names a process or a row of
// it.
type event struct {
	Phase   string         `json:"ph"`
	Name    string         `json:"name"`
	Kind    string         `json:"cat,omitempty"`
	Process int            `json:"pid"`
	Row     int            `json:"tid"`
	Start   float64        `json:"ts"`
	Length  float64        `json:"dur"`
	More    map[string]any `json:"args,omitempty"`
}

// workers is the process that workers' rows are in; devices follow by their numbers.
const workers = 1

// WriteTrace writes spans as a Chrome trace: a process for the workers and one for each
// device. A row of workers is what one of them could have done, one thing after the
// other; a row of a device is a stream.
func WriteTrace(w io.Writer, spans []Span) error {
	spans = slices.Clone(spans)
	slices.SortStableFunc(spans, func(a, b Span) int { return cmp.Or(a.Start.Compare(b.Start), b.End.Compare(a.End)) })
	out := &writer{to: bufio.NewWriter(w), rows: map[place]*row{}}
	out.text(`{"displayTimeUnit":"ms","traceEvents":[`)
	if len(spans) > 0 {
		out.began = spans[0].Start
	}
	for _, s := range spans {
		out.span(s)
	}
	out.text("\n]}\n")
	return cmp.Or(out.err, out.to.Flush())
}

type writer struct {
	to     *bufio.Writer
	began  time.Time
	events int
	err    error // the first

	rows   map[place]*row
	number int   // of the last row, over all processes
	named  []int // processes that have a name
}

// place is where spans stand: one stream of a device, or all workers.
type place struct{ process, stream int }

// row is a line of the picture, and others below it for what would lie on top of it.
type row struct {
	number int
	end    time.Time
	next   *row
}

func (o *writer) text(s string) {
	if _, err := o.to.WriteString(s); o.err == nil {
		o.err = err
	}
}

func (o *writer) event(e *event) {
	if o.events++; o.events > 1 {
		o.text(",")
	}
	line, err := json.Marshal(e)
	if o.err == nil {
		o.err = err
	}
	o.text("\n" + string(line))
}

// span writes a span into the first row of its place that is free.
func (o *writer) span(s Span) {
	at, name := place{process: workers}, string(s.Work)
	e := event{Phase: "X", Name: name, Kind: name, Length: micros(s.End.Sub(s.Start)), Start: micros(s.Start.Sub(o.began))}
	if d := s.Device; d != nil {
		at = place{workers + 1 + d.Device, d.Stream}
		if d.Bytes > 0 {
			e.More = map[string]any{"bytes": d.Bytes}
		}
		e.Name = cmp.Or(d.Name, name)
	}
	r := o.row(at, s.Start)
	r.end = s.End
	e.Process, e.Row = at.process, r.number
	o.event(&e)
}

// row finds the first row of a place that is free from a time on, or begins one.
func (o *writer) row(at place, from time.Time) *row {
	var last *row
	n := 1
	for r := o.rows[at]; r != nil; r = r.next {
		if !r.end.After(from) {
			return r
		}
		last = r
		n++
	}
	o.process(at.process)
	o.number++
	fresh := &row{number: o.number}
	if last == nil {
		o.rows[at] = fresh
	} else {
		last.next = fresh
	}
	name := fmt.Sprintf("worker %d", n)
	if at.process != workers {
		name = fmt.Sprintf("stream %d", at.stream)
		if n > 1 {
			name += fmt.Sprintf(", beside it (%d)", n)
		}
	}
	o.event(&event{Phase: "M", Name: "thread_name", Process: at.process, Row: fresh.number, More: map[string]any{"name": name}})
	return fresh
}

// process names a process, once.
func (o *writer) process(process int) {
	if slices.Contains(o.named, process) {
		return
	}
	o.named = append(o.named, process)
	name := "workers"
	if process != workers {
		name = fmt.Sprintf("device %d", process-workers-1)
	}
	o.event(&event{Phase: "M", Name: "process_name", Process: process, More: map[string]any{"name": name}})
	o.event(&event{Phase: "M", Name: "process_sort_index", Process: process, More: map[string]any{"sort_index": process}})
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
