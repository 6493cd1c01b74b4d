package objects

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/ledger"
)

// entry is what one object of the log says: all that holds of the output from then on. The
// log is a register that can only be changed by who knows what it holds: the next entry is
// created where none is, and of two who try one is refused. So a run that lost the output
// while it was stalled can decide nothing any more, whenever it wakes up.
//
//	claim    Holder is set: a run works on the output
//	publish  Published and Pending are the run: THE STEP
//	done     Pending is empty: all names are final; Holder is gone
//	release  Holder is gone: a run stopped, and left its progress or nothing
type entry struct {
	Number    int64   `json:"number"`
	Run       string  `json:"run"` // that wrote it
	Holder    *holder `json:"holder,omitempty"`
	Pending   string  `json:"pending,omitempty"`   // the published run whose names are not all final
	Published string  `json:"published,omitempty"` // the newest published run
}

// keptEntries is how many old entries stay at least, and keptFor how long they do. Where one
// is missing a stalled run may create it anew; so who did not see for sureFor that the log
// ends in its own entry looks, after it put one, that this is the newest. Between the two
// lies an hour and more, and stores refuse a request whose clock is off by a quarter of one:
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html (RequestTimeTooSkewed)
const (
	keptEntries = 128
	keptFor     = 2 * time.Hour
	sureFor     = 15 * time.Minute
)

// sinceByAnyClock is how long ago something was at most: one clock stands still while a
// machine sleeps, and the other can be set back.
func sinceByAnyClock(t time.Time) time.Duration {
	return max(time.Since(t), time.Since(t.Round(0)))
}

func (p *place) logKey(number int64) string { return fmt.Sprintf("%s%s%010d", p.own, logName, number) }

// logNumber is the number of a log's entry, by its key.
func (p *place) logNumber(key string) (number int64, ok bool) {
	digits, ok := strings.CutPrefix(key, p.own+logName)
	if !ok || len(digits) != 10 {
		return 0, false
	}
	number, err := strconv.ParseInt(digits, 10, 64)
	return number, err == nil && number > 0
}

// newest reads the log's newest entry; one without a number where there is none.
func (s *store) newest(ctx context.Context, p *place) (e entry, err error) {
	numbers, err := s.logNumbers(ctx, p)
	if err != nil || len(numbers) == 0 {
		return entry{}, err
	}
	return s.entry(ctx, p, numbers[len(numbers)-1])
}

// entry reads one of the log.
func (s *store) entry(ctx context.Context, p *place, number int64) (e entry, err error) {
	data, err := s.get(ctx, p.logKey(number), maxSmallBytes)
	if err != nil {
		return entry{}, err
	}
	if json.Unmarshal(data, &e) != nil || e.Number != number || e.Pending != "" && !ledger.ValidRunID(e.Pending) {
		return entry{}, fmt.Errorf("%s is no entry of a log of runs: move it away, or choose another place", p.uri(p.logKey(number)))
	}
	return e, nil
}

// logNumbers lists the entries, oldest first.
func (s *store) logNumbers(ctx context.Context, p *place) (numbers []int64, err error) {
	err = s.listLog(ctx, p, func(number int64, _ object) { numbers = append(numbers, number) })
	return numbers, err
}

func (s *store) listLog(ctx context.Context, p *place, yield func(number int64, o object)) error {
	return s.list(ctx, p.own+logName, "", func(o object) error {
		if number, ok := p.logNumber(o.key); ok {
			yield(number, o)
		}
		return nil
	})
}

// next tries to put an entry after the one at hand, and says whether it stands there.
func (s *store) next(ctx context.Context, p *place, at int64, e *entry) (bool, error) {
	e.Number = at + 1
	data, err := json.Marshal(e)
	if err != nil {
		return false, err
	}
	return s.create(ctx, p.logKey(e.Number), data)
}

// trim removes old entries. How old they are is by the store's own clock.
func (s *store) trim(ctx context.Context, p *place) error {
	var all []object
	err := s.listLog(ctx, p, func(_ int64, o object) { all = append(all, o) })
	if err != nil {
		return err
	}
	return s.removeAll(ctx, tooOld(all))
}

// tooOld are the entries of a log, oldest first, that nobody can still know.
func tooOld(all []object) []object {
	if len(all) <= keptEntries {
		return nil
	}
	newest := all[len(all)-1].modTime
	return slices.DeleteFunc(all[:len(all)-keptEntries], func(o object) bool { return newest.Sub(o.modTime) < keptFor })
}
