package objects

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
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
	during  func() context.Context // ends with the run: of what it writes
	work    *workspace
	notes   errgroup.Group // what nobody waits for
	entered chan struct{}  // has a token when a part was begun: the next beat is due
	moving  sync.Mutex     // held while the log's entry changes

	mu struct {
		sync.Mutex

		now     entry // the log's newest, which is this run's
		lost    *ledger.HeldError
		beat    beat
		stop    func()     // ends the beating, and waits for its end
		begun   bool       // the journal is
		noted   chan error // has the outcome of the note that the model is being loaded
		watched bool       // an earlier start died without a word: note parts before they are worked on

		parts   map[int]*partState
		open    map[int]bool // parts that are being worked on
		whole   *stagedFile
		rejects *stagedFile
		pieces  map[int]string // keys of taken and committed pieces and rejects, by part
		badRows map[int]string
		paths   map[string]string // where objects can be read on this machine, by key

		before     *past
		first      int
		taken      *ledger.Journal
		chain      []string // runs that this one continues, oldest first
		head       *ledger.Head
		loadDeaths int
		closed     bool // no more parts
		ended      bool
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
	return context.WithTimeout(context.WithoutCancel(ctx), endWithin)
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
	bucket, err := d.open(ctx, p)
	if err != nil {
		return nil, outputError(p, err)
	}
	s := &staging{
		opts: *opts, place: p, store: bucket, lease: d.Lease, during: func() context.Context { return ctx },
		work: &workspace{run: opts.RunID}, entered: make(chan struct{}, 1), // one wakes the beating
	}
	s.notes.SetLimit(atATime)
	s.mu.parts, s.mu.open, s.mu.pieces = map[int]*partState{}, map[int]bool{}, map[int]string{}
	s.mu.badRows, s.mu.paths = map[int]string{}, map[string]string{}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, s.Discard())
	}
	return s, nil
}

// prepare claims the output and looks at what is there.
func (s *staging) prepare(ctx context.Context) error {
	if err := s.claim(ctx); err != nil {
		return s.failed(err)
	}
	if pending := s.newest().Pending; pending != "" {
		if err := s.finish(ctx, pending); err != nil {
			return s.failed(err)
		}
	}
	var own *own
	looks, looking := errgroup.WithContext(ctx)
	looks.Go(func() error {
		_, err := s.store.abortUploads(looking, s.place.own) // nobody else's: who began them is dead
		return err
	})
	looks.Go(func() (err error) {
		own, err = s.store.listOwn(looking, s.place)
		return err
	})
	if err := looks.Wait(); err != nil {
		return s.failed(err)
	}
	before, err := s.store.readPast(ctx, s.place, own, s.newest().Published)
	if err != nil {
		return s.failed(err)
	}
	s.mu.before = before
	if follows := s.opts.Follows; follows != nil && *follows != before.sum {
		return &ledger.HeldError{Output: s.place.shown, Holder: ledger.Holder{Run: s.newest().Published}}
	}
	if err := s.publishedAlready(ctx); err != nil {
		return err
	}
	if _, err := s.look(ctx); err != nil {
		return s.failed(err)
	}
	s.mu.first = before.firstFile(s.opts.IfExists)
	if err := s.takeOver(ctx, own); err != nil {
		return s.failed(err)
	}
	return nil
}

// claim takes the output for this run, or says who has it.
func (s *staging) claim(ctx context.Context) error {
	now, err := s.store.newest(ctx, s.place)
	if err != nil {
		return err
	}
	if err := s.store.alive(ctx, s.place, &now, s.lease); err != nil {
		return err
	}
	if err := s.beatOnce(ctx); err != nil { // first: who looks whether the run lives finds it
		return err
	}
	claim := entry{Run: s.opts.RunID, Holder: newHolder(s.opts.RunID), Pending: now.Pending, Published: now.Published}
	won, err := s.store.next(ctx, s.place, now.Number, &claim)
	if err != nil {
		return errors.Join(err, s.store.remove(ctx, s.place.staging(s.opts.RunID)+beatName))
	}
	if !won {
		return errors.Join(s.heldBy(ctx), s.store.remove(ctx, s.place.staging(s.opts.RunID)+beatName))
	}
	s.mu.now, s.mu.watched = claim, now.Holder != nil // who died, and may again
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		s.beating(context.WithoutCancel(ctx), stop)
	}()
	s.mu.stop = sync.OnceFunc(func() {
		close(stop)
		<-stopped
	})
	return nil
}

// ask looks in the log whether this run still has the output.
func (s *staging) ask(ctx context.Context) {
	if s.TakenOver() != nil {
		return
	}
	if passed, err := s.passed(ctx); err == nil && passed {
		s.lose()
	}
}

// heldBy says which run has the output.
func (s *staging) heldBy(ctx context.Context) error {
	held := &ledger.HeldError{Output: s.place.shown}
	if now, err := s.store.newest(ctx, s.place); err == nil && now.Holder != nil {
		held.Holder = now.Holder.Holder
	} else if err == nil {
		held.Holder.Run = now.Run
	}
	return held
}

// newest is the log's newest entry, as far as this run knows.
func (s *staging) newest() entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.now
}

// move puts the log's next entry, of this run. Where another run has put one, this one has
// lost the output.
func (s *staging) move(ctx context.Context, change func(*entry)) error {
	s.moving.Lock()
	defer s.moving.Unlock()
	next := s.newest()
	number := next.Number
	next.Run = s.opts.RunID
	change(&next)
	won, err := s.store.next(ctx, s.place, number, &next)
	if err != nil {
		return err
	}
	if !won {
		s.lose()
		return s.TakenOver()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.now = next
	return nil
}

// lose notes that another run has the output.
func (s *staging) lose() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.during()), s.lease)
	defer cancel()
	held, ok := errors.AsType[*ledger.HeldError](s.heldBy(ctx))
	s.mu.Lock()
	defer s.mu.Unlock()
	if ok && s.mu.lost == nil {
		s.mu.lost = held
	}
}

// TakenOver says who took the output.
func (s *staging) TakenOver() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.lost == nil {
		return nil
	}
	return fmt.Errorf("%w, which took it over while this one was stalled; this one publishes nothing", s.mu.lost)
}

// outputError marks a store's refusal.
func outputError(p *place, err error) error {
	if err == nil || errors.Is(err, ledger.ErrHeld) || errors.Is(err, ledger.ErrExists) || errors.Is(err, ledger.ErrOtherJob) || errors.Is(err, ledger.ErrOutput) || errors.Is(err, ledger.ErrAccounts) {
		return err
	}
	return fmt.Errorf("output %q: %w: %w", p.shown, ledger.ErrOutput, blobstore.Clean(err))
}

// failed words an error of the store. When another run took the output, that is what there
// is to say.
func (s *staging) failed(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, ledger.ErrHeld) {
		return err
	}
	if s.newest().Number > 0 {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(s.during()), s.lease)
		defer cancel()
		s.ask(ctx)
	}
	if lost := s.TakenOver(); lost != nil {
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
	if why := ledger.OtherColumns(s.mu.before.live[0].Schema, columns); why != "" {
		return s.exists(why)
	}
	return nil
}

// exists words ErrExists.
func (s *staging) exists(why string) error {
	return fmt.Errorf("%w: %q: %s", ledger.ErrExists, s.place.shown, why)
}

// Suspend keeps what is recorded and gives the output up.
func (s *staging) Suspend(why string) (parts int, err error) {
	s.mu.Lock()
	for _, p := range s.mu.parts {
		if p.done {
			parts++
		}
	}
	keep := s.mu.begun && s.mu.lost == nil && (parts > 0 || s.mu.watched) || s.mu.now.Pending != ""
	s.mu.Unlock()
	if !keep {
		return 0, s.Discard()
	}
	ctx, cancel := anyway(s.during())
	defer cancel()
	errs := []error{s.endWriting(ctx)}
	if s.newest().Pending == "" {
		errs = append(errs, s.store.put(ctx, s.place.staging(s.opts.RunID)+stoppedName, []byte(why)))
	}
	errs = append(errs, s.giveUp(ctx))
	return parts, s.failed(errors.Join(errs...))
}

// Discard removes what is staged and gives the output up.
func (s *staging) Discard() error {
	s.mu.Lock()
	over, ours := s.mu.ended, s.mu.now.Number > 0
	s.mu.Unlock()
	if over {
		return nil
	}
	ctx, cancel := anyway(s.during())
	defer cancel()
	errs := []error{s.endWriting(ctx)}
	ours = ours && s.newest().Holder != nil // else it has published, and nothing is left
	if ours {
		s.ask(ctx)
	}
	// What a run did that was taken over is the other's now, which goes on with it.
	if ours && s.newest().Pending == "" && s.TakenOver() == nil {
		errs = append(errs, s.store.drop(ctx, s.place, append(slices.Clone(s.mu.chain), s.opts.RunID)))
	}
	errs = append(errs, s.giveUp(ctx))
	return s.failed(errors.Join(errs...))
}

// endWriting ends what is under way: no upload of this run's may be left.
func (s *staging) endWriting(ctx context.Context) error {
	s.mu.Lock()
	s.mu.closed = true
	stop := s.mu.stop
	s.mu.Unlock()
	_ = s.notes.Wait() // they report to nobody
	errs := []error{s.work.close()}
	if stop != nil {
		stop()
		_, err := s.store.abortUploads(ctx, s.place.run(s.opts.RunID))
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// giveUp says in the log that nobody holds the output.
func (s *staging) giveUp(ctx context.Context) error {
	var err error
	if now := s.newest(); now.Holder != nil && s.TakenOver() == nil {
		err = s.move(ctx, func(e *entry) { e.Holder = nil })
	}
	if errors.Is(err, ledger.ErrHeld) { // nothing is left to give up
		err = nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.ended = err == nil
	if err == nil {
		err = s.store.bucket.Close()
	}
	return err
}

// drop removes what runs have staged, the oldest first, so that what is left after a crash
// is not taken for a run that can be continued.
func (s *store) drop(ctx context.Context, p *place, runs []string) error {
	for _, run := range runs {
		prefix := p.staging(run)
		if err := s.remove(ctx, prefix+startName); err != nil {
			return err
		}
		found, err := s.all(ctx, prefix)
		if err != nil {
			return err
		}
		keys := make([]string, len(found))
		for i, o := range found {
			keys[i] = o.key
		}
		if err := s.remove(ctx, keys...); err != nil {
			return err
		}
	}
	return nil
}

// LoadDeaths counts the starts that died while the model was loaded.
func (s *staging) LoadDeaths() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.loadDeaths
}

// loading is what stands in the store while the model is loaded.
type loading struct {
	Job    string `json:"job"`
	Deaths int    `json:"deaths"`
}

// Loading notes that the model is about to be loaded.
func (s *staging) Loading() error {
	if s.opts.Job == nil {
		return nil
	}
	text, err := json.Marshal(loading{Job: s.opts.Job.Digest(), Deaths: s.LoadDeaths()})
	if err != nil {
		return err
	}
	key := s.place.staging(s.opts.RunID) + loadingName
	noted := make(chan error, 1) // the one outcome
	go func() { noted <- s.store.put(s.during(), key, text) }()
	s.mu.Lock()
	watched := s.mu.watched
	s.mu.noted = noted
	s.mu.Unlock()
	if !watched { // a first death goes unseen if it comes before the note: the next start waits
		return nil
	}
	err = <-noted
	noted <- err
	return s.failed(err)
}

// Loaded notes that it went well. Nobody waits for that.
func (s *staging) Loaded() error {
	s.mu.Lock()
	noted := s.mu.noted
	s.mu.Unlock()
	if noted == nil {
		return nil
	}
	s.notes.Go(func() error {
		<-noted
		ctx, cancel := anyway(s.during())
		defer cancel()
		return s.store.remove(ctx, s.place.staging(s.opts.RunID)+loadingName)
	})
	return nil
}

// readLoading counts the starts of the job, of dead runs, that died while it was loaded.
func (s *staging) readLoading(ctx context.Context, dead map[string]*leftover) error {
	for run, left := range dead {
		if !left.loading || s.opts.Job == nil || s.opts.Restart {
			continue
		}
		text, err := s.store.get(ctx, s.place.staging(run)+loadingName, maxSmallBytes)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		var l loading
		if json.Unmarshal(text, &l) == nil && l.Job == s.opts.Job.Digest() && l.Deaths >= 0 {
			s.mu.loadDeaths = max(s.mu.loadDeaths, l.Deaths+1)
		}
	}
	return nil
}
