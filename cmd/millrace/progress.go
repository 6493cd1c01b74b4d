package main

import (
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/millrace/millrace/engine"
)

// logEvery is the time between progress lines where no one watches.
const logEvery = 10 * time.Second

// showProgress shows a run's progress until the returned function is called:
// a bar with rate, share and time left on a terminal, log lines elsewhere, and
// nothing when quiet.
func showProgress(s streams, common *commonOptions, log *slog.Logger, p *engine.Progress) (finish func(ok bool)) {
	if common.Quiet {
		return func(bool) {}
	}
	started := time.Now()
	var bar *progressBar
	every := logEvery
	if drawsBars(s.Err) && common.LogFormat == "text" {
		bar = newProgressBar(s, p, started)
		every = 100 * time.Millisecond
	}
	done := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				if bar != nil {
					bar.update(p)
				} else {
					logProgress(log, p, time.Since(started))
				}
			}
		}
	})
	return func(ok bool) {
		close(done)
		wait.Wait()
		if bar != nil {
			bar.finish(p, ok)
		}
		if ok {
			log.Info("published", "scored", p.RowsWritten.Load(), "rejected", p.RowsRejected.Load(), "filtered", p.RowsFiltered.Load(), "seconds", round(time.Since(started).Seconds()))
		}
	}
}

func logProgress(log *slog.Logger, p *engine.Progress, elapsed time.Duration) {
	rows := doneRows(p)
	rate := float64(rows-p.RowsTaken.Load()) / elapsed.Seconds()
	attrs := []any{"rows", rows}
	if p.TotalRows != engine.UnknownRows {
		attrs = append(attrs, "of", p.TotalRows, "share", fmt.Sprintf("%.1f%%", share(rows, p.TotalRows)))
	}
	attrs = append(attrs, "rows_per_second", int64(rate), "rejected", p.RowsRejected.Load())
	if rate > 0 && p.TotalRows != engine.UnknownRows {
		left := time.Duration(float64(p.TotalRows-rows) / rate * float64(time.Second))
		attrs = append(attrs, "left", left.Round(time.Second).String())
	}
	log.Info("progress", attrs...)
}

// doneRows are the rows that have left the pipeline.
func doneRows(p *engine.Progress) int64 {
	return p.RowsWritten.Load() + p.RowsRejected.Load() + p.RowsFiltered.Load()
}

func share(rows, total int64) float64 {
	if total == 0 {
		return 100
	}
	return 100 * float64(rows) / float64(total)
}

func round(seconds float64) float64 { return float64(int64(seconds*100)) / 100 }

// screen is a stream for lines, which go above the bar while there is one: the bar is
// drawn again and again, over what was written behind it.
type screen struct {
	mu  sync.Mutex
	err io.Writer
	bar io.Writer // nil: there is none
}

// Write implements io.Writer, for whole lines.
func (s *screen) Write(line []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bar != nil {
		if n, err := s.bar.Write(line); err == nil {
			return n, nil // else the bar has ended
		}
	}
	return s.err.Write(line)
}

// lines is where log lines go.
func (s streams) lines() io.Writer {
	if s.screen == nil {
		return s.Err
	}
	return s.screen
}

// newBars begins a bar's place at the end of the screen; done must be called when it has ended.
func (s streams) newBars(refresh time.Duration) (container *mpb.Progress, done func()) {
	container = mpb.New(mpb.WithOutput(s.Err), mpb.WithWidth(26), mpb.WithRefreshRate(refresh))
	set := func(bar io.Writer) {
		if s.screen != nil {
			s.screen.mu.Lock()
			defer s.screen.mu.Unlock()
			s.screen.bar = bar
		}
	}
	set(container)
	return container, func() {
		container.Wait()
		set(nil)
	}
}

type progressBar struct {
	bar  *mpb.Bar
	done func()
}

func newProgressBar(s streams, p *engine.Progress, started time.Time) *progressBar {
	unknown := p.TotalRows == engine.UnknownRows
	container, done := s.newBars(100 * time.Millisecond)
	rate := func(decor.Statistics) string {
		rows := doneRows(p)
		speed := float64(rows-p.RowsTaken.Load()) / time.Since(started).Seconds() // of this start
		text := fmt.Sprintf("  %s/s", si(speed))
		if speed > 0 && rows < p.TotalRows {
			left := time.Duration(float64(p.TotalRows-rows) / speed * float64(time.Second))
			text += "  " + left.Round(time.Second).String() + " left"
		}
		return text
	}
	bar := container.AddBar(max(p.TotalRows, 0),
		mpb.PrependDecorators(decor.Name("scoring  "), decor.Conditional(!unknown, decor.Percentage(decor.WC{W: 5}), decor.Name(""))),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string {
			if unknown {
				return " " + si(float64(doneRows(p))) + " rows" // apart, where there is no room for the bar
			}
			return fmt.Sprintf(" %s of %s rows", si(float64(doneRows(p))), si(float64(p.TotalRows)))
		}), decor.Any(rate)),
	)
	return &progressBar{bar: bar, done: done}
}

func (b *progressBar) update(p *engine.Progress) {
	if p.TotalRows != engine.UnknownRows { // and without a total nothing fills
		b.bar.SetCurrent(min(doneRows(p), p.TotalRows-1))
	}
}

func (b *progressBar) finish(p *engine.Progress, ok bool) {
	if ok {
		total := p.TotalRows
		if total == engine.UnknownRows {
			total = doneRows(p)
		}
		b.bar.SetTotal(total, false)
		b.bar.SetCurrent(total)
		b.bar.SetTotal(total, true)
	} else {
		b.bar.Abort(false)
	}
	b.done()
}

// si writes a count in three figures, such as 1.23 M.
func si(n float64) string {
	value, prefix := humanize.ComputeSI(n)
	if prefix == "" {
		return fmt.Sprintf("%.0f", value)
	}
	return fmt.Sprintf("%.3g %s", value, prefix)
}
