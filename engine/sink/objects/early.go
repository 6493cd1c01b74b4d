package objects

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Early is what Held saw of an output, for the Stage that follows: so that a run looks at its
// output while it plans, and then needs one way to the store, to claim it. It may be old by
// then: the claim is the log's next entry after the one that was read before anything else, so
// of an output where any run did something since, the claim is refused, and Stage looks anew.
type Early struct {
	mu  sync.Mutex
	saw *early
}

// early is an output nobody has, as it was seen.
type early struct {
	store *store
	place *place
	at    time.Time // when the log was read
	now   entry
	sight func() (*sight, error) // waits for it
}

// sight is what stands at an output's name.
type sight struct {
	own    *own
	stands standing
	before *past
}

// keep takes the place of what was seen before.
func (e *Early) keep(saw *early) {
	e.mu.Lock()
	before := e.saw
	e.saw = saw
	e.mu.Unlock()
	before.close()
}

// take gives what was seen of a place, which is then the caller's to close; nil where nothing
// was.
func (e *Early) take(p *place) *early {
	if e == nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	saw := e.saw
	if saw == nil || *saw.place != *p || sinceByAnyClock(saw.at) > sureFor { // see keptEntries
		return nil
	}
	e.saw = nil
	return saw
}

// Close gives up what nobody took.
func (e *Early) Close() { e.keep(nil) }

func (e *early) close() {
	if e == nil {
		return
	}
	if e.sight != nil {
		_, _ = e.sight() // of no interest any more
	}
	_ = e.store.bucket.Close() // nothing was written
}

// look reads the log's end and, once it is known where that is, what stands there.
func (s *store) look(ctx context.Context, p *place) (*early, error) {
	at := time.Now()
	numbers, err := s.logNumbers(ctx, p)
	if err != nil {
		return nil, err
	}
	e := &early{store: s, place: p, at: at}
	looks, looking := errgroup.WithContext(ctx)
	found := &sight{}
	looks.Go(func() (err error) {
		found.own, err = s.listOwn(looking, p)
		return err
	})
	looks.Go(func() (err error) {
		found.stands, err = s.glance(looking, p)
		return err
	})
	if n := len(numbers); n > 0 {
		e.now, err = s.entry(ctx, p, numbers[n-1])
	}
	seen := make(chan error, 1) // the one outcome
	go func() {
		err := looks.Wait()
		if err == nil {
			found.before, err = s.readPast(ctx, p, found.own, e.now.Published)
		}
		seen <- err
	}()
	e.sight = sync.OnceValues(func() (*sight, error) { return found, <-seen })
	return e, err
}

// idle says that no run has the output, nor left anything to do.
func (e *entry) idle() bool { return e.Holder == nil && e.Pending == "" }

// see looks at what stands at the name of an output that the run has.
func (s *staging) see(ctx context.Context) (*sight, error) {
	var v sight
	looks, looking := errgroup.WithContext(ctx)
	looks.Go(func() (err error) {
		v.own, err = s.store.listOwn(looking, s.place)
		return err
	})
	looks.Go(func() (err error) {
		v.stands, err = s.store.glance(looking, s.place)
		return err
	})
	err := looks.Wait()
	if err == nil {
		v.before, err = s.store.readPast(ctx, s.place, v.own, s.newest().Published)
	}
	return &v, err
}

// plain says that nothing keeps the run from beginning at once, and nothing is there to clean
// up or to go on with: the claim can be on its way while the model is loaded and the first
// rows are scored. Nothing but a beat is written before its answer: whoever has the output
// would take more for what a dead run left.
func (s *staging) plain(v *sight) bool {
	job := s.Job()
	for _, m := range v.before.live {
		if job != "" && m.Job == job && !s.opts.Restart {
			return false
		}
	}
	s.mu.before = v.before
	return len(v.own.left) == 0 && s.follows(v.before) && s.mayGiveWay(v.stands) == nil
}

// follows says whether the newest manifest is the one that the run was planned after.
func (s *staging) follows(before *past) bool {
	return s.opts.Follows == nil || *s.opts.Follows == before.sum
}

// claimEarly claims the output by what was seen of it before. Where it is not the run's then,
// nothing is changed.
func (s *staging) claimEarly(ctx context.Context, e *early) (v *sight, won bool) {
	v, err := e.sight()
	if err != nil {
		return nil, false
	}
	if !s.plain(v) {
		return v, s.claimAfter(ctx, &e.now) == nil
	}
	claimed := make(chan error, 1) // the one outcome
	go func() { claimed <- s.failed(s.claimAfter(ctx, &e.now)) }()
	s.claimed = sync.OnceValue(func() error { return <-claimed })
	return v, true
}

// putClaimed stages a small object as soon as the output is claimed.
func (s *staging) putClaimed(ctx context.Context, name string, text []byte) error {
	if err := s.claimed(); err != nil {
		return err
	}
	return s.store.put(ctx, s.place.staging(s.opts.RunID)+name, text)
}

// clear ends the uploads that dead runs have left, while this one works: nobody else has any,
// once it has the output.
func (s *staging) clear(ctx context.Context) {
	cleared := make(chan error, 1) // the one outcome
	go func() {
		if s.claimed() != nil {
			cleared <- nil
			return
		}
		cleared <- s.store.abortUploads(ctx, s.place.own, s.place.run(s.opts.RunID))
	}()
	s.cleared = sync.OnceValue(func() error { return <-cleared })
}
