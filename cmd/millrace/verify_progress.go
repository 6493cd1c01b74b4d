package main

import (
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/millrace/millrace/engine/ledger"
)

// showVerifyProgress shows how much of an output has been read until the returned
// function is called: a bar on a terminal, log lines elsewhere, nothing when quiet.
// What is done within a moment shows nothing.
func showVerifyProgress(s streams, common *commonOptions, p *ledger.VerifyProgress) (finish func()) {
	if common.Quiet {
		return func() {}
	}
	onTerminal := drawsBars(s.Err) && common.LogFormat == "text"
	every := logEvery
	if onTerminal {
		every = 200 * time.Millisecond
	}
	log, started := common.logger(s), time.Now()
	done := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		var bar *verifyBar
		defer func() { bar.finish() }()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			if onTerminal {
				bar = bar.update(s, p, started)
				continue
			}
			log.Info("verifying", "files", p.Files.Load(), "of_files", p.TotalFiles.Load(), "bytes", p.Bytes.Load(), "of_bytes", p.TotalBytes.Load(),
				"bytes_per_second", int64(float64(p.Bytes.Load())/time.Since(started).Seconds()))
		}
	})
	return func() {
		close(done)
		wait.Wait()
	}
}

// verifyBar is made with the first update; nil before.
type verifyBar struct {
	bar  *mpb.Bar
	done func()
}

func (b *verifyBar) update(s streams, p *ledger.VerifyProgress, started time.Time) *verifyBar {
	if b == nil {
		container, done := s.newBars(100 * time.Millisecond)
		b = &verifyBar{done: done}
		b.bar = container.AddBar(0, mpb.BarRemoveOnComplete(),
			mpb.PrependDecorators(decor.Name("verifying  "), decor.Percentage(decor.WC{W: 5})),
			mpb.AppendDecorators(decor.Any(func(decor.Statistics) string {
				bytes := p.Bytes.Load()
				rate := float64(bytes) / time.Since(started).Seconds()
				return " " + humanize.IBytes(uint64(bytes)) + " of " + humanize.IBytes(uint64(p.TotalBytes.Load())) + "  " + humanize.IBytes(uint64(rate)) + "/s"
			})),
		)
	}
	b.bar.SetTotal(p.TotalBytes.Load()+1, false) // finish completes it
	b.bar.SetCurrent(p.Bytes.Load())
	return b
}

func (b *verifyBar) finish() {
	if b == nil {
		return
	}
	b.bar.Abort(true)
	b.done()
}
