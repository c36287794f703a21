package output

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"procman/actors"
	"procman/actors/record"
	"procman/messages"
)

const (
	// settle is how long a stream that had something new is left to write more before it is looked at again.
	settle = 10 * time.Millisecond
	// saveEvery is how often checkpoints are written down, and so about how much is repeated after kill -9.
	saveEvery = time.Second
	// pollEvery is how often a file is looked at that cannot be watched.
	pollEvery = time.Second
	// stallAfter is how long a start waits for a file system that does not answer.
	stallAfter = time.Second
	// drainTime is how long the last words of processes may keep a manager from its end.
	drainTime = 2 * time.Second
)

// Outputs follows, bounds and reads the output files of a state directory. It is safe for concurrent use. There must be
// one at a time for a state directory.
type Outputs struct {
	dir   messages.StateDir
	o     Options
	log   *slog.Logger
	began time.Time
	watch *watch // nil if files cannot be watched

	forwarded, skipped, givenUp      atomic.Int64
	large                            sync.Pool // of *[]byte, for turns that find much
	unwatchable, stalling, unbounded logOnce
	overTotal                        logOnce
	account                          atomic.Pointer[account] // nil: there is no total

	mu      sync.Mutex
	work    sync.Cond // due is not empty, or closed
	sources map[messages.InstanceID]*source
	due     []*source      // the queue of the workers
	stalled map[uint64]int // so many workers wait for a file system that does not answer, by its number
	closed  bool
	closing chan struct{}
	crew    sync.WaitGroup
}

var _ actors.Outputs = (*Outputs)(nil)

// New returns Outputs for the state directory; Close ends them. Where files cannot be watched, it warns once, and
// they are looked at every second.
func New(dir messages.StateDir, o Options) (*Outputs, error) {
	if dir == "" {
		return nil, errors.New("following output needs a state directory")
	}
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	u := &Outputs{dir: dir, o: o, log: o.Logger, sources: map[messages.InstanceID]*source{},
		closing: make(chan struct{}),
		began:   time.Now(), stalled: map[uint64]int{}}
	u.work.L = &u.mu
	w, err := newWatch(u)
	if err != nil {
		u.unwatchable.note(u.log, err, "output files cannot be watched and are looked at every second")
	} else {
		u.watch = w
	}
	for range workers() {
		u.crew.Go(u.run)
	}
	if o.Total > 0 {
		if err := u.SetTotal(o.Total); err != nil {
			return nil, errors.Join(err, u.Close())
		}
	}
	return u, nil
}

// age is how long the Outputs have been there: a time that takes a third of the room.
func (u *Outputs) age() time.Duration { return time.Since(u.began) }

// mask returns what hides the secrets of an instance; nil, which hides nothing.
func (u *Outputs) mask(id messages.InstanceID) *messages.Masker {
	if u.o.Mask == nil {
		return nil
	}
	return u.o.Mask(id)
}

// Counters returns how many bytes were forwarded, and how many skipped because there were too many, since New.
func (u *Outputs) Counters() (forwarded, skipped int64) { return u.forwarded.Load(), u.skipped.Load() }

// Begin notes how far the files of the instance have got before its next run. If their disk does not answer within a
// second, the error says so.
func (u *Outputs) Begin(ctx context.Context, id messages.InstanceID) error {
	if id.Validate() != nil {
		return nil // Follow says so
	}
	u.mu.Lock()
	if u.closed {
		u.mu.Unlock()
		return nil
	}
	s := u.source(id)
	s.expectant = true
	if s.disk == nil {
		s.disk = record.NewDisk(diskName, 1) // one: so the look of an earlier start never comes after that of this one
	}
	disk := s.disk
	u.mu.Unlock()
	_, err := disk.Do(ctx, stallAfter, func() error {
		device, none := deviceOf(u.dir.Instance(id))
		u.mu.Lock()
		s.device = device
		u.mu.Unlock()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.fresh = none
		for _, t := range s.tails {
			t.noteStart()
		}
		return nil
	}, nil)
	if err != nil && ctx.Err() == nil {
		return &messages.StartError{Fault: messages.FaultStateDir, Err: err,
			Help: "it goes on by itself as soon as the disk answers"}
	}
	return err
}

// diskName is what an error calls the file system that output is on.
const diskName = "the disk of its output"

// Follow forwards what the run of process pid writes, beginning with what an earlier follower of the instance left. It
// returns at once and reads nothing itself. A follower of the instance that is not stopped yet ends.
//
// What the follower of an earlier run left when its manager died, is forwarded as that run's.
func (u *Outputs) Follow(id messages.InstanceID, run, pid int) actors.Follower {
	f := &follower{run: run, pid: pid, until: [2]int64{-1, -1}}
	if err := id.Validate(); err != nil {
		u.log.Error("output is not followed", "error", err, "run", run, "pid", pid)
		return f
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return f
	}
	s := u.source(id)
	s.expectant = false
	if s.disk != nil {
		select {
		case <-s.disk.Idle():
			s.disk = nil // no look is under way
		default:
		}
	}
	for _, before := range s.followers {
		before.ending = true
	}
	f.source, s.followers = s, append(s.followers, f)
	u.wake(s)
	return f
}

// Close forwards what processes that are gone have left, for two seconds at the most; then it ends all followers where
// they are, after at most one more turn of each that is at work, and saves their checkpoints for the next manager,
// which forwards the rest. The error says which one could not be saved.
func (u *Outputs) Close() error {
	u.drain()
	u.mu.Lock()
	if u.closed {
		u.mu.Unlock()
		return nil
	}
	u.closed = true
	close(u.closing)
	for _, s := range u.sources {
		if s.timer != nil {
			s.timer.Stop()
		}
	}
	u.work.Broadcast()
	u.mu.Unlock()

	u.crew.Wait()
	var errs []error
	if u.watch != nil {
		errs = append(errs, u.watch.Close())
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, s := range u.sources {
		if s.unsaved {
			if err := s.save(); !errors.Is(err, errUnsettled) {
				errs = append(errs, err)
			}
		}
		for _, f := range s.followers {
			f.end()
		}
		s.followers = nil
		s.letGo()
	}
	return errors.Join(errs...)
}

// drain waits until the followers of processes that are gone have forwarded everything: who reports an end reports it
// before that, and may be closed at once.
func (u *Outputs) drain() {
	u.mu.Lock()
	var last []<-chan struct{}
	for _, s := range u.sources {
		for _, f := range s.followers {
			if f.ending || !alive(f.pid) {
				f.ending = true
				last = append(last, f.await())
				u.wake(s)
			}
		}
	}
	u.mu.Unlock()
	patience := time.NewTimer(drainTime)
	defer patience.Stop()
	for _, done := range last {
		select {
		case <-done:
		case <-u.closing:
			return
		case <-patience.C:
			u.log.Warn("some output is left for the next manager to forward", "after", drainTime.String())
			return
		}
	}
}

// follower is one run's output on its way.
type follower struct {
	source   *source // nil: there is nothing to follow
	run, pid int

	// Guarded by Outputs.mu.
	done   chan struct{} // closed once it is over; nil: nobody waits
	over   bool
	ending bool

	// Of the worker that has the source.
	ghost bool     // of an earlier run, whose manager died
	until [2]int64 // once it ends: up to where it forwards each file; -1: not known yet
	log   [2]slog.Handler
}

// Stop forwards what is there and returns when that is done. If the process is gone, what it wrote last is a line
// even without a line end; if it lives, that is a piece of a line of which a later follower forwards the rest. What
// comes to the file after Stop was called is left to the next follower.
func (f *follower) Stop() {
	if f.source != nil {
		<-f.source.u.stop(f)
	}
}

func (u *Outputs) stop(f *follower) (done <-chan struct{}) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !f.ending && !u.closed {
		f.ending = true
		u.wake(f.source)
	}
	return f.await()
}

// await returns a channel that is closed once the follower is over; Outputs.mu is held.
func (f *follower) await() <-chan struct{} {
	if f.done == nil {
		f.done = make(chan struct{})
		if f.over {
			close(f.done)
		}
	}
	return f.done
}

// end says that the follower is over; Outputs.mu is held.
func (f *follower) end() {
	f.over = true
	if f.done != nil {
		close(f.done)
	}
}

// handler is where the records of a file go.
func (f *follower) handler(t *tail) slog.Handler {
	if f.log[t.index] == nil {
		s := f.source
		f.log[t.index] = s.u.log.Handler().WithAttrs([]slog.Attr{
			slog.String("instance", string(s.id)), slog.Int("run", f.run), slog.Int("pid", f.pid),
			slog.String("stream", string(t.name())),
		})
	}
	return f.log[t.index]
}

// source returns the instance's, made if there is none; u.mu is held.
func (u *Outputs) source(id messages.InstanceID) *source {
	s := u.sources[id]
	if s == nil {
		s = newSource(u, id)
		u.sources[id] = s
	}
	return s
}

// forget forgets a source that nobody needs; u.mu is held.
func (u *Outputs) forget(s *source) {
	if len(s.followers) == 0 && s.readers == 0 && !s.expectant && !s.queued && !s.busy && u.sources[s.id] == s &&
		!s.holds() {
		if s.timer != nil {
			s.timer.Stop()
		}
		delete(u.sources, s.id)
		if a := u.account.Load(); a != nil {
			a.unfollowed(s.id)
		}
	}
}
