package budget

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"procman/messages"
)

// Shares is how the descriptors of the manager are divided.
type Shares struct {
	Reserve     int // kept for control; no start takes of it
	Probes      int // health checks at the same time
	Connections int // callers at the same time
}

// Of divides so many descriptors.
func Of(limit uint64) Shares {
	n := int(min(limit, 1<<20))
	return Shares{
		Reserve:     min(max(n/4, min(24, n/2)), 1280),
		Probes:      min(max(n/8, 8), 256),
		Connections: min(max(n/8, 8), 1024),
	}
}

// What a start has open while it is under way, at the most: the port and a look who else has it, the lock, the two
// output files, /dev/null, a pipe to the child, its pidfd twice.
const perStart = 10

// OwnFiles is what the manager has open without any instance, as measured: logs, locks, watches, listeners, cgroups.
const OwnFiles = 22

// Each is what an instance keeps open in the manager: its pidfd, and the socket that holds its port.
func Each(hold bool) int {
	if hold {
		return 2
	}
	return 1
}

// Fits returns how many instances fit into the limit, of which the manager itself has own open and each instance keeps
// some.
func Fits(limit uint64, own, each int) int {
	room := int(min(limit, 1<<30)) - Of(limit).Reserve - own - perStart
	if room < 0 {
		return 0
	}
	return room/max(each, 1) + 1
}

// Options are what a Budget may be told. The zero value is good.
type Options struct {
	// Relieve lets go of descriptors that can be spared, and reports whether there were any; nil: there are none.
	Relieve func() bool

	look func(tasks bool) usage // nil: at this process
}

// Budget admits starts.
type Budget struct {
	relieve  func() bool
	look     func(tasks bool) usage // what is used of tasks only if asked for: that is in many files
	deciding chan struct{}
	landed   chan struct{}

	lent atomic.Int64 // of the reserve

	looked time.Time // and then so many more had room for sure; used by who decides
	ample  int

	mu     sync.Mutex
	flying int
}

// While there is ample room it is not looked at for each of many starts at once: a look takes a dozen of system calls.
const (
	ampleStarts = 32
	ampleTime   = time.Second
)

// hasRoom returns nil if there is room for one more start beside those under way.
func (b *Budget) hasRoom(flying int) *shortage {
	if b.ample > 0 && time.Since(b.looked) < ampleTime {
		b.ample--
		return nil
	}
	b.looked, b.ample = time.Now(), 0
	u := b.left(b.look(true))
	short := u.short(flying + 1)
	if short == nil && u.short(flying+2*ampleStarts) == nil {
		b.ample = ampleStarts
	}
	return short
}

// Lend says that control, or who probes, has so many more descriptors open, or fewer: they are taken from the reserve,
// not from the instances.
func (b *Budget) Lend(n int) { b.lent.Add(int64(n)) }

// left returns what is used without what is lent.
func (b *Budget) left(u usage) usage {
	u.filesUsed -= min(int(b.lent.Load()), Of(uint64(u.files)).Reserve)
	return u
}

// usage is what there is and what is used. A limit of 0 is none, or not known.
type usage struct {
	files, filesUsed int
	tasks, tasksUsed int
	each             int    // tasks of an instance
	tasksBy          string // what limits them
}

// New returns the budget of this process.
func New(o Options) *Budget {
	if o.look == nil {
		o.look = look
	}
	if o.Relieve == nil {
		o.Relieve = func() bool { return false }
	}
	return &Budget{relieve: o.Relieve, look: o.look, deciding: make(chan struct{}, 1), landed: make(chan struct{}, 1)}
}

// Admit returns when there is room for one more process; then the caller starts one and calls the function returned,
// whatever became of it. The error is a *messages.StartError, unless ctx ended first.
func (b *Budget) Admit(ctx context.Context) (landed func(), err error) {
	select {
	case b.deciding <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-b.deciding }()
	relieved := false
	for {
		b.mu.Lock()
		flying := b.flying
		b.mu.Unlock()
		short := b.hasRoom(flying)
		switch {
		case short == nil:
			b.mu.Lock()
			b.flying++
			b.mu.Unlock()
			return sync.OnceFunc(b.land), nil
		case !relieved && short.files && b.relieve():
			relieved = true
		case flying == 0:
			return nil, short.fault()
		default: // those under way may have been counted for more than they take
			select {
			case <-b.landed:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
	}
}

func (b *Budget) land() {
	b.mu.Lock()
	b.flying--
	b.mu.Unlock()
	select {
	case b.landed <- struct{}{}:
	default:
	}
}

// Room returns nil if the manager may hold one more process that exists already, and else why not: what it needs for
// that is one descriptor, and the reserve is kept for control.
func (b *Budget) Room() error {
	if u := b.left(b.look(false)); u.shortOfFiles(1) {
		return fmt.Errorf("%s; %s", u.filesLeft(), moreFiles)
	}
	return nil
}

// shortage is what is missing.
type shortage struct {
	files bool
	usage
}

// shortOfFiles reports whether so many more would be taken of the reserve.
func (u usage) shortOfFiles(more int) bool {
	return u.files > 0 && u.filesUsed+more > u.files-Of(uint64(u.files)).Reserve
}

func (u usage) filesLeft() string {
	return fmt.Sprintf("of %d file descriptors %d are open, %d are kept for status, stop and reload",
		u.files, u.filesUsed, Of(uint64(u.files)).Reserve)
}

const moreFiles = "raise the limit (LimitNOFILE= of the service, ulimit -n before the daemon is started), or run " +
	"fewer instances"

// short returns what is missing for so many starts at once; nil: nothing.
func (u usage) short(starts int) *shortage {
	switch {
	case u.shortOfFiles(starts * perStart):
		return &shortage{true, u}
	case u.tasks > 0 && u.tasksUsed+starts*u.each+tasksReserve(u.tasks) > u.tasks:
		return &shortage{false, u}
	}
	return nil
}

// tasksReserve is how many of a user's processes and threads are left to the manager, and to the commands that steer
// it: one has six threads.
func tasksReserve(limit int) int { return min(limit/4, 24) }

func (s *shortage) fault() error {
	if s.files {
		return &messages.StartError{
			Fault: messages.FaultResources,
			Err:   fmt.Errorf("%s, and a start needs up to %d", s.filesLeft(), perStart),
			Help:  moreFiles,
		}
	}
	return &messages.StartError{
		Fault: messages.FaultResources,
		Err: fmt.Errorf("of the %d processes and threads that %s allows %d exist, %d are kept for the manager and "+
			"its commands, "+
			"and an instance has about %d",
			s.tasks, s.tasksBy, s.tasksUsed, tasksReserve(s.tasks), s.each),
		Help: "raise that limit, or run fewer instances",
	}
}

// ErrNoThreads says that there is no room for threads to be made in advance.
var ErrNoThreads = errors.New("the limit of processes leaves no room for spare threads: if more are needed later, " +
	"the manager ends")

// Threads makes threads that the runtime uses later, when it must not depend on the kernel to give it one: no more than
// want, and none that would take room from the first instances.
func Threads(want int) error {
	if u := look(true); u.tasks > 0 {
		room := u.tasks - u.tasksUsed
		if want = min(want, room/4); want < 2 {
			return ErrNoThreads
		}
	}
	var made, ended sync.WaitGroup
	release := make(chan struct{})
	made.Add(want)
	for range want {
		ended.Go(func() {
			runtime.LockOSThread() // each needs a thread of its own while it is locked
			made.Done()
			<-release
			runtime.UnlockOSThread() // and leaves it to the runtime
		})
	}
	made.Wait()
	close(release)
	ended.Wait()
	return nil
}
