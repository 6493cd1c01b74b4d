package objects

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/engine/ledger"
	"github.com/millrace/millrace/engine/sink"
	"github.com/millrace/millrace/io/blobstore"
)

// staging is an output in a store that nobody sees yet; see the package's comment.
type staging struct {
	opts    sink.Options
	place   *place
	store   *store
	lease   time.Duration
	during  func() context.Context // ends with the run: of what it waits for and reads
	writes  func() context.Context // ends a while after the run: of what it writes; see lingering
	told    func() error           // why the run was told to stop; nil while it was not
	work    *workspace
	notes   errgroup.Group // what nobody waits for
	records errgroup.Group // of parts that are on their way into the journal
	entered chan struct{}  // has a token when a part was begun: the next beat is due
	// allHanded is closed when all of the run's parts were handed to Record.
	allHanded chan struct{}
	moving    sync.Mutex   // held while the log's entry changes
	claimed   func() error // waits until the output is claimed, or says who has it
	cleared   func() error // waits until uploads that dead runs left are gone

	mu struct {
		sync.Mutex

		now     entry     // the log's newest, which is this run's
		sure    time.Time // when it was seen to be that
		dead    string    // the run that died with the output in hand; empty if none did
		lost    *ledger.HeldError
		beat    beat
		stop    func()     // ends the beating, and waits for its end
		begun   bool       // the journal is
		said    chan error // has the outcome of saying what the run is
		noted   chan error // has the outcome of the note that the model is being loaded
		swept   bool       // no upload of the run is left
		watched bool       // an earlier start died without a word: note parts before they are worked on

		parts   map[int]*partState
		open    map[int]bool // parts that are being worked on
		whole   *stagedFile
		rejects *stagedFile
		pieces  map[int]string // keys of taken and committed pieces and rejects, by part
		badRows map[int]string
		coming  map[string]*upload // all of whose bytes are on their way, by key
		handed  map[int]bool       // parts that Record got, from earlier starts too
		paths   map[string]string  // where objects can be read on this machine, by key

		before     *past
		stood      func() (present, error) // what stood there when the run began; waits for it
		first      int
		taken      *ledger.Journal
		chain      []string // runs that this one continues, oldest first
		head       *ledger.Head
		loadDeaths int
		handedAll  func() // closes allHanded
		closed     bool   // no more parts
		ended      bool
		untidy     error // what was not removed of a published run, for Discard to say
	}
}

// stagedFile is a committed object that is to be published.
type stagedFile struct {
	ledger.Output

	key string
}

// partState is what is staged of a part.
type partState struct {
	files []stagedFile
	done  bool
}

// endWithin bounds what is done after the run's context has ended.
const endWithin = 60 * time.Second

// anyway is a context for what must be done also after another has ended.
func anyway(ctx context.Context) (context.Context, context.CancelFunc) {
	return within(ctx, endWithin)
}

// within is anyway for a time.
func within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), d)
}

// lingers is how long what a run writes may go on after the run was told to stop: a piece
// of an upload takes that long on a slow link.
const lingers = 10 * time.Second

// lingering is a context that ends a while after another. A request that is broken off may
// still be done by the store, after what was written was looked for and removed; so those
// that write are let end.
func lingering(ctx context.Context) context.Context {
	late, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() {
		time.AfterFunc(lingers, func() { cancel(context.Cause(ctx)) })
	})
	return late
}

// newStaging is a staging that has nothing yet.
func newStaging(ctx context.Context, opts *sink.Options, p *place, bucket *store) *staging {
	writes := lingering(ctx)
	s := &staging{
		opts: *opts, place: p, store: bucket,
		during: func() context.Context { return ctx }, writes: func() context.Context { return writes }, told: func() error { return context.Cause(ctx) },
		work: &workspace{run: opts.RunID}, entered: make(chan struct{}, 1), // one wakes the beating
		claimed: func() error { return nil }, cleared: func() error { return nil }, allHanded: make(chan struct{}),
	}
	s.mu.handedAll = sync.OnceFunc(func() { close(s.allHanded) })
	return s
}

// stage takes the output.
func (d *Destination) stage(ctx context.Context, opts *sink.Options) (sink.Staging, error) {
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		return nil, fmt.Errorf("stage output: %w", err)
	}
	p, err := parsePlace(opts.Output, opts.Single)
	if err != nil {
		return nil, err
	}
	saw := d.Early.take(p)
	var bucket *store
	if saw != nil {
		bucket = saw.store
	} else if bucket, err = d.open(ctx, p); err != nil {
		return nil, outputError(p, err)
	}
	s := newStaging(ctx, opts, p, bucket)
	s.lease = d.Lease
	s.notes.SetLimit(atATime)
	s.mu.parts, s.mu.open, s.mu.pieces = map[int]*partState{}, map[int]bool{}, map[int]string{}
	s.mu.badRows, s.mu.paths, s.mu.coming, s.mu.handed = map[int]string{}, map[string]string{}, map[string]*upload{}, map[int]bool{}
	if err := s.prepare(ctx, saw); err != nil {
		return nil, errors.Join(err, s.Discard()) //nolint:contextcheck // a Staging has the run's context
	}
	return s, nil
}

// prepare claims the output and looks at what is there, unless that was seen before.
func (s *staging) prepare(ctx context.Context, saw *early) error {
	late := lingering(ctx) // of what it changes
	var found *sight
	won := false
	if saw != nil {
		found, won = s.claimEarly(ctx, saw)
	}
	if !won {
		if err := s.claim(ctx); err != nil {
			return s.failed(err)
		}
		if pending := s.newest().Pending; pending != "" {
			if err := s.finish(late, pending); err != nil {
				return s.failed(err)
			}
		}
		var err error
		if found, err = s.see(ctx); err != nil {
			return s.failed(err)
		}
	}
	s.clear(late)
	s.mu.before = found.before
	if !s.follows(found.before) {
		return &ledger.HeldError{Output: s.place.shown, Holder: ledger.Holder{Run: s.newest().Published}}
	}
	if err := s.publishedAlready(ctx); err != nil {
		return errors.Join(err, s.sweep(late, found.own))
	}
	if err := s.mayGiveWay(found.stands); err != nil {
		return s.failed(err)
	}
	s.lookAhead(found.stands) //nolint:contextcheck // a Staging has the run's context
	s.mu.first = found.before.firstFile(s.opts.IfExists)
	if err := s.takeOver(late, found.own); err != nil {
		return s.failed(err)
	}
	return nil
}

// outputError marks a store's refusal.
func outputError(p *place, err error) error {
	if err == nil || errors.Is(err, ledger.ErrHeld) || errors.Is(err, ledger.ErrExists) || errors.Is(err, ledger.ErrOtherJob) || errors.Is(err, ledger.ErrOutput) || errors.Is(err, ledger.ErrAccounts) {
		return err
	}
	return fmt.Errorf("output %q: %w: %w", p.shown, ledger.ErrOutput, blobstore.Clean(err))
}

// failed words an error of the store. When another run took the output, or this one was told
// to stop, that is what there is to say.
func (s *staging) failed(err error) error {
	if err == nil || errors.Is(err, ledger.ErrHeld) {
		return err
	}
	if told := s.told(); told != nil && (errors.Is(err, told) || errors.Is(err, context.Canceled)) {
		return told
	}
	if lost := s.lost(); lost != nil {
		return fmt.Errorf("%w: %w", lost, err)
	}
	return outputError(s.place, err)
}

// RunID is the id under which the run publishes.
func (s *staging) RunID() string { return s.opts.RunID }

// Job is the digest of the run's job.
func (s *staging) Job() string {
	if s.opts.Job == nil {
		return ""
	}
	return s.opts.Job.Digest()
}

// Taken is the journal of the run that this one continues.
func (s *staging) Taken() *ledger.Journal {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.taken
}

// Starts counts the processes that worked on the run.
func (s *staging) Starts() int {
	if t := s.Taken(); t != nil {
		return len(t.Starts) + 1
	}
	return 1
}

// CheckColumns holds columns to those that the run appends to.
func (s *staging) CheckColumns(columns []ledger.Column) error {
	if s.opts.IfExists != ledger.IfExistsAppend || len(s.mu.before.live) == 0 {
		return nil
	}
	if why := ledger.OtherColumns(s.mu.before.live, s.opts.Ext, columns); why != "" {
		return s.exists(why)
	}
	return nil
}

// exists words ErrExists.
func (s *staging) exists(why string) error {
	return fmt.Errorf("%w: %q: %s", ledger.ErrExists, s.place.shown, why)
}
