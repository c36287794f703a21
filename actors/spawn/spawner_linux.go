package spawn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"procman/actors/cgroup"
	"procman/actors/kernel"
	"procman/actors/record"
	"procman/messages"
)

// Spawner is the one user of a state directory. It starts processes, keeps the records of them and finds them again,
// and it remembers what the root must not forget. Its methods may be called by several goroutines.
type Spawner struct {
	dir  messages.StateDir // absolute, symlinks resolved: it is compared with what processes carry
	log  *slog.Logger
	env  []string
	proc kernel.Procfs
	boot string
	init atomic.Uint64 // see initStart

	locking sync.Mutex
	lock    *os.File // of the state directory
	// the locks of other state directories under which processes were started, by their names
	claims map[string]*os.File

	patience time.Duration // for an instance's lock
	store    FDStore       // may be nil
	room     func() error  // see Options
	cgroups  *cgroup.Tree  // may be nil
	old      bool          // leave out what Linux before 6.9 has not; for tests

	searched atomic.Bool // Survivors has seen all processes: none is unknown, unless its instance's lock is held

	exits    *exits
	forkers  forkers
	checks   checks
	census   *census
	readings *readings // of census
	// begins a reading at the first start: the first end need not wait until all of the host are looked at
	first sync.Once

	starting   chan struct{} // a token for each start under way, see enterStart
	startsOver atomic.Int64

	quit chan struct{}  // closed by Close
	work sync.WaitGroup // goroutines
	runs sync.WaitGroup // calls under way

	mu     sync.Mutex
	closed bool
	table  map[messages.InstanceID]*instance
	looks  map[string]*looking // at programs, by what they need
	// handles of an earlier manager that nobody has asked for yet, by the name in the store
	stored  map[string]*os.File
	given   []string              // the names of all of them, until what nobody needs is removed
	fds     map[*kernel.Pidfd]int // that are open, with the pid of the process each one means
	oom     oomScore
	forking int // starts whose process has no handle yet
	// the tags of processes that are being ended because they are one too many
	ending map[string]bool
	others map[messages.InstanceID][]kernel.Process // processes of other state directories, by the newest scan

	disk    *record.Disk       // for whatever must not wait for the state directory's file system
	unsaved map[*instance]bool // whose run's record could not be written; guarded by mu
}

// Bounds for a file system that does not answer.
const (
	diskPatience = time.Second // how long a start waits for it
	diskThreads  = 8           // how many threads it can hold
	saveAgain    = time.Second // until what could not be written is tried again
	closeTime    = 3 * time.Second
)

// instance is what the Spawner knows of one.
type instance struct {
	id         messages.InstanceID
	inspection *inspection // by a look that came late; guarded by the Spawner's mu
	turn       turn        // of who starts or looks for its process

	mu      sync.Mutex // never held over a call to a file system, which may stall; guards what follows
	newest  *process   // nil: none is known
	unsaved *runRecord // of newest, and not on disk as it is; nil: it is
	doubt   *doubt     // whether a process is the instance's; nil: none

	pen   turn       // of who writes the record of its run
	files sync.Mutex // held while what is remembered of it is written; guards what follows
	held  hold       // Memory.Held as it is on disk
}

// Open takes the state directory and makes it if it is missing. If another manager has it, the error is ErrInUse.
// From then on no descriptor greater than 2 that this process has now reaches a program it executes.
func Open(dir messages.StateDir, o Options) (*Spawner, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Env == nil {
		o.Env = DefaultEnv()
	}
	if o.Proc == "" {
		o.Proc = "/proc"
	}
	if o.Room == nil {
		o.Room = func() error { return nil }
	}
	boot, err := bootID(o)
	if err != nil {
		return nil, err
	}
	if err := pidfdsWork(); err != nil {
		return nil, err
	}
	// Go opens everything close-on-exec, but what this process was started with it may have to keep from its children.
	if err := unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		o.Logger.Debug("descriptors inherited by the manager may reach its children", "error", err)
	}
	dir, err = prepare(dir)
	if err != nil {
		return nil, fmt.Errorf("the state directory cannot be used: %w", err)
	}
	var lock, old *os.File
	if o.Lock != nil {
		lock, old, err = inherit(dir, o.Lock)
	} else {
		lock, err = lockDir(dir)
	}
	if err != nil {
		return nil, err
	}
	s := &Spawner{
		store: o.Store, room: o.Room, stored: maps.Clone(o.Stored), given: slices.Sorted(maps.Keys(o.Stored)),
		dir: dir, log: o.Logger, env: slices.Clone(o.Env), proc: kernel.Procfs(o.Proc), boot: boot, lock: lock,
		starting: make(chan struct{}, runtime.GOMAXPROCS(0)+1),
		patience: instancePatience, quit: make(chan struct{}), oom: newOOMScore(kernel.Procfs(o.Proc), o.Logger),
		disk: record.NewDisk("the state disk", diskThreads), unsaved: map[*instance]bool{},
		table: map[messages.InstanceID]*instance{}, looks: map[string]*looking{}, fds: map[*kernel.Pidfd]int{},
		claims: map[string]*os.File{}, ending: map[string]bool{},
	}
	if old != nil {
		s.claims["handed over"] = old
		s.log.Error("the state directory was moved or replaced before this manager took over", "dir", string(dir),
			"moved_to", movedTo(old))
	}
	s.checks.mark = newTag()
	s.census = newCensus(s.proc, s.log)
	s.census.quit = s.quit
	if s.exits, err = newExits(s.work.Go); err != nil {
		return nil, errors.Join(fmt.Errorf("the ends of processes cannot be waited for: %w", err), lock.Close())
	}
	s.work.Go(s.exits.run)
	if s.forkers, err = newForkers(s.work.Go, s.log); err != nil {
		s.exits.close()
		return nil, errors.Join(fmt.Errorf("no process can be started: %w", err), lock.Close())
	}
	if o.Cgroups {
		s.cgroups = cgroup.Open(dir, s.log)
	}
	s.readings = &readings{start: s.work.Go, read: s.census.read}
	if o.Orphans {
		s.work.Go(s.reapOrphans)
	}
	return s, nil
}

func bootID(o Options) (string, error) {
	if o.BootID != nil {
		return o.BootID(), nil
	}
	text, err := os.ReadFile(filepath.Join(o.Proc, "sys/kernel/random/boot_id"))
	if err != nil {
		return "", fmt.Errorf("no process could be told from one before a restart of the host: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// pidfdsWork reports why processes cannot be watched on this host.
func pidfdsWork() error {
	fd, err := kernel.OpenPidfd(os.Getpid())
	if err != nil {
		return fmt.Errorf("pidfds do not work; procman needs Linux 5.4 or later, and a sandbox that lets pidfd_open "+
			"pass: %w", err)
	}
	fd.Close()
	return nil
}

// prepare makes the directories, and returns the one name of the state directory.
func prepare(dir messages.StateDir) (messages.StateDir, error) {
	path, err := filepath.Abs(string(dir))
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", err
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", err
	}
	dir = messages.StateDir(path)
	if err := os.MkdirAll(dir.Instances(), 0o700); err != nil {
		return "", err
	}
	return dir, trust(dir)
}

// Close gives up the state directory. It touches no process. It waits for starts that are under way, which may take as
// long as an exec takes, and for all goroutines of the Spawner; Wait of a process that still runs returns.
// The second call does nothing.
func (s *Spawner) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.quit)
	s.mu.Unlock()
	if err := within(closeTime, &s.runs); err != nil {
		return errors.Join(err, s.disk.Stalled(0))
	}
	s.mu.Lock()
	for fd := range s.fds {
		fd.Close()
	}
	clear(s.fds)
	s.exits.close()
	closed := errors.Join(s.forkers.close(), s.checks.close())
	for _, f := range s.stored {
		if f != nil {
			_ = f.Close() // the store has its own
		}
	}
	clear(s.stored)
	s.mu.Unlock()
	err := within(closeTime, &s.work)
	late := time.NewTimer(closeTime)
	defer late.Stop()
	select {
	case <-s.disk.Idle():
	case <-late.C:
		err = errors.Join(err, s.disk.Stalled(0))
	}
	s.locking.Lock()
	defer s.locking.Unlock()
	for _, f := range s.claims {
		_ = f.Close() // what is to be read in it was written when it was taken
	}
	return errors.Join(err, closed, s.cgroups.Close(), s.lock.Close())
}

// Cgroups returns the cgroups of the runs; nil: none has one.
func (s *Spawner) Cgroups() *cgroup.Tree { return s.cgroups }

// within waits for the group, but not for ever: who hangs in the kernel is left there.
func within(patience time.Duration, g *sync.WaitGroup) error {
	done := make(chan struct{})
	go func() { g.Wait(); close(done) }()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-done:
		return nil
	case <-late.C:
		return errors.New("something of the spawner still waits for the operating system, and is left behind")
	}
}

// enter begins a call. Close waits until the function it returns is called.
func (s *Spawner) enter() (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	s.runs.Add(1)
	return s.runs.Done, nil
}

func (s *Spawner) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// keep has the pidfd closed by Close, if drop has not done so before.
func (s *Spawner) keep(fd *kernel.Pidfd, pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fds[fd] = pid
}

func (s *Spawner) drop(fd *kernel.Pidfd) {
	fd.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.fds, fd)
}

// sleep returns false if the Spawner is closed meanwhile.
func (s *Spawner) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.quit:
		return false
	}
}

// pause is sleep for a call with a context.
func (s *Spawner) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.quit:
		return ErrClosed
	}
}

func (s *Spawner) instance(id messages.InstanceID) *instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.table[id]
	if i == nil {
		i = &instance{id: id}
		s.table[id] = i
	}
	return i
}

// take waits until nobody else starts or looks for the instance's process. It is followed by give.
func (i *instance) take(ctx context.Context) error { return i.turn.take(ctx) }

func (i *instance) give() { i.turn.give() }

func (i *instance) process() *process {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.newest
}

// live returns the process of the instance if it has not ended.
func (i *instance) live() *process {
	if p := i.process(); p != nil && !p.ended() {
		return p
	}
	return nil
}

func (i *instance) doubts() *doubt {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.doubt
}

func (i *instance) setDoubt(d *doubt) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.doubt = d
}

// begin makes p the newest process of the instance and watches it. With write, its record is replaced; p is known and
// watched by then, whatever becomes of its record. then is for save.
func (s *Spawner) begin(i *instance, p *process, write bool, then func()) {
	s.keep(p.fd, p.pid)
	i.mu.Lock()
	s.census.lead(i.newest, p)
	if !p.child {
		s.census.meet(p)
	}
	i.newest = p
	if write {
		i.unsaved = &p.record
	}
	i.mu.Unlock()
	if p.child {
		// the end of a run asks again, and says why it failed
		s.first.Do(func() { s.work.Go(func() { _ = s.readings.after(time.Now()) }) })
	}
	p.watch()
	if write {
		s.save(i, then)
	}
}

// conclude adds to the record of a run how it ended, unless a newer one has taken its place. The end was reported
// before: a disk that stalls hides no death.
func (s *Spawner) conclude(p *process) {
	i := s.instance(p.id)
	r := p.record
	r.Exit = readClock().exitRecord(*p.ending())
	i.mu.Lock()
	newest := i.newest == p
	if newest {
		i.unsaved = &r
	}
	i.mu.Unlock()
	if newest {
		s.save(i, nil)
	}
}

// known returns the instances that have a directory.
func (s *Spawner) known() ([]messages.InstanceID, error) {
	entries, err := os.ReadDir(s.dir.Instances())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var ids []messages.InstanceID
	for _, e := range entries {
		if id := messages.InstanceID(e.Name()); e.IsDir() && id.Validate() == nil {
			ids = append(ids, id)
		}
	}
	return ids, err
}
