package output

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"procman/actors"
	opening "procman/actors/record"
	"procman/messages"
)

const (
	// settle is how long a stream that had something new is left to write more before it is looked at again.
	settle = 10 * time.Millisecond
	// saveEvery is how often a place is written down, and so about how much is repeated after kill -9.
	saveEvery = time.Second
	// pollEvery is how often a file is looked at that cannot be watched.
	pollEvery = time.Second
	// stallAfter is how long a start waits for a file system that does not answer, and turnPatience how long a turn may take until
	// another worker goes on: more than a loaded host makes of one.
	stallAfter   = time.Second
	turnPatience = 5 * time.Second
)

// Outputs follows, bounds and reads the output files of a state directory. It is safe for concurrent use. There must be
// one at a time for a state directory.
type Outputs struct {
	dir   messages.StateDir
	o     Options
	log   *slog.Logger
	watch *watch // nil if files cannot be watched

	forwarded, skipped atomic.Int64
	unwatchable        ailment
	stalling           ailment
	saying             sync.Mutex // held while stalling is told
	unbounded          ailment

	mu      sync.Mutex
	work    sync.Cond // ready is not empty, or closed
	spools  map[messages.InstanceID]*spool
	ready   []*spool
	stalled map[device]int // so many workers wait for a file system that does not answer
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
	u := &Outputs{dir: dir, o: o, log: o.Logger, spools: map[messages.InstanceID]*spool{}, closing: make(chan struct{}),
		stalled: map[device]int{}}
	u.work.L = &u.mu
	w, err := newWatch(u.wake, u.wakeAll)
	if err != nil {
		u.unwatchable.note(u.log, err, "output files cannot be watched and are looked at every second")
	} else {
		u.watch = w
	}
	for range workers() {
		u.crew.Go(u.labour)
	}
	return u, nil
}

// mask returns what hides the secrets of an instance; nil, which hides nothing.
func (u *Outputs) mask(id messages.InstanceID) *messages.Masker {
	if u.o.Mask == nil {
		return nil
	}
	return u.o.Mask(id)
}

// Counters returns how many bytes were forwarded, and how many skipped because there were too many, since New.
func (u *Outputs) Counters() (forwarded, skipped int64) { return u.forwarded.Load(), u.skipped.Load() }

// Begin notes how far the files of the instance have got before its next run. If their disk does not answer within a second,
// the error says so.
func (u *Outputs) Begin(ctx context.Context, id messages.InstanceID) error {
	if id.Validate() != nil {
		return nil // Follow says so
	}
	u.mu.Lock()
	if u.closed {
		u.mu.Unlock()
		return nil
	}
	s := u.spool(id)
	s.expectant = true
	if s.disk == nil {
		s.disk = opening.NewDisk(diskName, 1) // one: so the look of an earlier start never comes after that of this one
	}
	u.mu.Unlock()
	_, err := s.disk.Do(ctx, stallAfter, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, t := range s.streams {
			t.noteFirst()
		}
		return nil
	}, nil)
	if err != nil && ctx.Err() == nil {
		return &messages.StartError{Fault: messages.FaultStateDir, Err: err, Help: "it goes on by itself as soon as the disk answers"}
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
	f := u.newFollower(run, pid)
	if err := id.Validate(); err != nil {
		u.log.Error("output is not followed", "error", err, "run", run, "pid", pid)
		close(f.done)
		return f
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		close(f.done)
		return f
	}
	f.spool = u.spool(id)
	f.spool.expectant = false
	for _, before := range f.spool.followers {
		before.stopping = true
	}
	f.spool.followers = append(f.spool.followers, f)
	u.wakeLocked(f.spool)
	return f
}

// Close forwards what processes that are gone have left, for two seconds at the most; then it ends all followers where they
// are, after at most one more turn of each that is at work, and remembers their places for the next manager, which
// forwards the rest. The error says which place could not be remembered.
func (u *Outputs) Close() error {
	u.drain()
	u.mu.Lock()
	if u.closed {
		u.mu.Unlock()
		return nil
	}
	u.closed = true
	close(u.closing)
	for _, s := range u.spools {
		if s.timer != nil {
			s.timer.Stop()
		}
	}
	u.work.Broadcast()
	u.mu.Unlock()

	var errs []error
	if u.watch != nil {
		errs = append(errs, u.watch.Close())
	}
	u.crew.Wait()
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, s := range u.spools {
		if s.unsaved {
			if err := u.save(s); !errors.Is(err, errUnsettled) {
				errs = append(errs, err)
			}
		}
		for _, f := range s.followers {
			close(f.done)
		}
		s.followers = nil
		s.letGo()
	}
	return errors.Join(errs...)
}

// drainTime is how long the last words of processes may keep a manager from its end.
const drainTime = 2 * time.Second

// drain waits until the followers of processes that are gone have forwarded everything: who reports an end reports it before
// that, and may be closed at once.
func (u *Outputs) drain() {
	u.mu.Lock()
	var last []*follower
	for _, s := range u.spools {
		for _, f := range s.followers {
			if f.stopping || !alive(f.pid) {
				f.stopping = true
				last = append(last, f)
				u.wakeLocked(s)
			}
		}
	}
	u.mu.Unlock()
	patience := time.NewTimer(drainTime)
	defer patience.Stop()
	for _, f := range last {
		select {
		case <-f.done:
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
	u        *Outputs
	spool    *spool
	run, pid int
	done     chan struct{}
	stopping bool // guarded by u.mu

	// The rest belongs to the worker that has the spool.
	ghost bool     // of an earlier run, whose manager died
	until [2]int64 // once stopping: up to where it forwards each stream
	log   [2]slog.Handler
}

func (u *Outputs) newFollower(run, pid int) *follower {
	return &follower{u: u, run: run, pid: pid, done: make(chan struct{}), until: [2]int64{-1, -1}}
}

// Stop forwards what is there and returns when that is done. If the process is gone, what it wrote last is a line
// even without a line end; if it lives, that is a piece of a line of which a later follower forwards the rest. What
// comes to the file after Stop was called is left to the next follower.
func (f *follower) Stop() {
	f.u.mu.Lock()
	if !f.stopping && f.spool != nil && !f.u.closed {
		f.stopping = true
		f.u.wakeLocked(f.spool)
	}
	f.u.mu.Unlock()
	<-f.done
}

// handler is where the records of a stream go.
func (f *follower) handler(i int) slog.Handler {
	if f.log[i] == nil {
		s := f.spool.streams[i]
		f.log[i] = f.u.log.Handler().WithAttrs([]slog.Attr{
			slog.String("instance", string(f.spool.id)), slog.Int("run", f.run), slog.Int("pid", f.pid), slog.String("stream", string(s.name)),
		})
	}
	return f.log[i]
}

// spool returns the instance's spool, made if there is none; u.mu is held.
func (u *Outputs) spool(id messages.InstanceID) *spool {
	s := u.spools[id]
	if s == nil {
		s = newSpool(id, u.dir.Stdout(id), u.dir.Stderr(id), filepath.Join(u.dir.Instance(id), recordName))
		u.spools[id] = s
	}
	return s
}

// dropLocked forgets a spool that nobody needs; u.mu is held.
func (u *Outputs) dropLocked(s *spool) {
	if len(s.followers) == 0 && s.readers == 0 && !s.expectant && s.shift == idle && u.spools[s.id] == s && !s.holds() {
		if s.timer != nil {
			s.timer.Stop()
		}
		delete(u.spools, s.id)
	}
}
