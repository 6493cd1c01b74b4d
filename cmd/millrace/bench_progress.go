package main

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/millrace/millrace/bench"
)

// benchLogEvery is how often a line is logged where nobody watches.
const benchLogEvery = 30 * time.Second

// showBenchProgress shows what is being measured, and the time left: a bar on a
// terminal, a log line now and then elsewhere.
func showBenchProgress(s streams, common *commonOptions, opts *bench.Options) (finish func(ok bool)) {
	log := common.logger(s)
	if common.Quiet {
		return func(bool) {}
	}
	if !drawsBars(s.Err) || common.LogFormat == "json" {
		last := time.Now().Add(-benchLogEvery)
		opts.OnStep = func(what string, done float64, left time.Duration) {
			if time.Since(last) < benchLogEvery {
				return
			}
			last = time.Now()
			if left == 0 { // nothing is known yet
				log.Info("measuring", "what", what)
				return
			}
			log.Info("measuring", "what", what, "share", fmt.Sprintf("%.0f%%", 100*done), "left", left.Round(time.Second).String())
		}
		return func(bool) {}
	}
	const whole = 1000
	var now atomic.Value // of what is measured
	now.Store("")
	container, ended := s.newBars(200 * time.Millisecond)
	bar := container.AddBar(whole, mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name("measuring  "), decor.Percentage(decor.WC{W: 5})),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return " " + now.Load().(string) })), // apart, where there is no room for the bar
	)
	opts.OnStep = func(what string, done float64, left time.Duration) {
		bar.SetCurrent(min(int64(done*whole), whole-1))
		if left == 0 {
			now.Store(what)
			return
		}
		now.Store(fmt.Sprintf("%s left  %s", left.Round(time.Second), what))
	}
	return func(ok bool) {
		if ok {
			bar.SetCurrent(whole)
		} else {
			bar.Abort(true)
		}
		ended()
	}
}
