package engine

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/engine/ledger"
)

// digestShare is how much of a run digests may take unless they are asked for.
const digestShare = 0.03

// smallBytes is how much is digested by SHA-256 without asking what it costs: 3 ms,
// less than it takes to find that out.
const smallBytes = 4 << 20

// enough is the processor time after which the run is known to cost what it costs
// a row: before, caches are cold.
const enough = 250 * time.Millisecond

// budget is what a run costs in all, as far as is known when it is asked.
type budget struct {
	processor time.Duration // of all its threads, to the end
	wall      time.Duration // to the end
	left      time.Duration // of wall: during which digests can be taken aside
}

// allows says whether the run hardly notices a cost in one thread's time. It must be
// a small share of all processor time; and where it cannot be over before the run is,
// because the run is, or many cores make it short, a small share of the wall clock.
func (b budget) allows(cost time.Duration) bool {
	return seconds(cost) <= digestShare*seconds(b.processor) && (cost <= b.left/2 || seconds(cost) <= digestShare*seconds(b.wall))
}

func seconds(d time.Duration) float64 { return d.Seconds() }

// price is what an algorithm costs.
type price struct {
	algorithm string
	perByte   float64 // nanoseconds of one thread, reading included
}

// meter measures what digests cost and what the run does. It is a struct of funcs so
// that tests can say what time it is.
type meter struct {
	processor func() time.Duration // of the process, since the run began
	wall      func() time.Duration // since the run began
	// prices are those of a file's first bytes, the strongest algorithm first.
	prices func(file io.Reader) ([]price, error)
}

func newMeter() meter {
	before, began := processTime(), time.Now()
	return meter{
		processor: func() time.Duration { return processTime() - before },
		wall:      func() time.Duration { return time.Since(began) },
		prices:    measurePrices,
	}
}

// afford finds the strongest algorithm that the budget allows, and says why it is
// that one; empty where it allows none.
func (d *digests) afford(ctx context.Context) (algorithm, reason string, err error) {
	files, size := d.unproved(), int64(0)
	for i := range files {
		size += files[i].Size
	}
	if size <= smallBytes {
		return ledger.SHA256, "the input is small", nil
	}
	p := d.progress
	before, began, scored := d.meter.processor(), d.meter.wall(), p.RowsScored.Load()
	err = d.await(ctx, func() bool {
		return d.meter.processor()-before >= enough && p.RowsScored.Load() > scored
	})
	if err != nil {
		return "", "", err
	}
	b := budget{processor: d.meter.processor(), wall: d.meter.wall()}
	if rows := p.RowsScored.Load() - scored; rows > 0 && !d.over() {
		rowsLeft := float64(d.rows - p.RowsTaken.Load() - p.RowsScored.Load())
		perRow := float64(b.processor-before) / float64(rows)
		b.left = time.Duration(float64(b.wall-began) * rowsLeft / float64(rows))
		b.processor += time.Duration(perRow * rowsLeft)
		b.wall += b.left
	}
	largest := slices.MaxFunc(files, func(a, b digestFile) int { return cmp.Compare(a.Size, b.Size) })
	prices, err := d.priced(ctx, &largest)
	if err != nil {
		return "", "", digestError(largest.Path, err)
	}
	algorithm, reason = b.choose(prices, size)
	return algorithm, reason, nil
}

// choose takes the first of some algorithms that the budget allows for size bytes.
func (b budget) choose(prices []price, size int64) (algorithm, reason string) {
	said := make([]string, 0, len(prices))
	for _, p := range prices {
		cost := time.Duration(p.perByte * float64(size))
		share := percent(seconds(cost) / max(seconds(b.processor), 1e-9))
		if len(said) == 0 {
			share = "takes " + share + " of the run's processor time"
		}
		said = append(said, p.algorithm+" "+share)
		if b.allows(cost) {
			return p.algorithm, strings.Join(said, ", ")
		}
	}
	return "", strings.Join(said, ", ") + fmt.Sprintf("; more than %s, or than there is time for", percent(digestShare))
}

// percent is a share in words, of two digits where it is below a tenth.
func percent(share float64) string {
	if share >= 0.1 {
		return fmt.Sprintf("%.0f%%", 100*share)
	}
	return fmt.Sprintf("%.2g%%", 100*share)
}

// pricePieces is how many pieces of a file are digested to find what that costs.
const pricePieces = 4

// priced is what the meter says of a file.
func (d *digests) priced(ctx context.Context, f *digestFile) ([]price, error) {
	file, err := d.open(ctx, f.first)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	return d.meter.prices(file)
}

// measurePrices reads the first MiB of a file and digests it by each algorithm. Times
// are of the thread, so that what else the machine does does not count.
func measurePrices(file io.Reader) ([]price, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	algorithms := []string{ledger.SHA256, ledger.XXH3}
	best := make([]float64, len(algorithms))             // the others were disturbed, or cold
	piece := bytes.Repeat([]byte{1}, ledger.DigestBytes) // touched, so that its faults do not count
	for k := range pricePieces {
		began := threadTime()
		n, err := io.ReadFull(file, piece)
		read := threadTime() - began
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, err
		}
		for i, algorithm := range algorithms {
			h, err := ledger.NewHash(algorithm)
			if err != nil {
				return nil, err
			}
			began := threadTime()
			h.Write(piece[:n])
			perByte := float64(read+threadTime()-began) / float64(max(n, 1))
			if k == 0 || n > 0 && perByte < best[i] {
				best[i] = perByte
			}
		}
	}
	prices := make([]price, len(algorithms))
	for i := range prices {
		prices[i] = price{algorithms[i], best[i]}
	}
	return prices, nil
}

// threadTime is the processor time of the calling thread.
func threadTime() time.Duration { return clock(unix.CLOCK_THREAD_CPUTIME_ID) }

// processTime is the processor time of all threads, those that ended among them.
func processTime() time.Duration { return clock(unix.CLOCK_PROCESS_CPUTIME_ID) }

func clock(id int32) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(id, &t); err != nil {
		return 0 // both clocks exist wherever this is built
	}
	return time.Duration(t.Nano())
}
