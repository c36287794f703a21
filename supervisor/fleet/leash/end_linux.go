package leash

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"procman/actors/kernel"
	"procman/actors/record"
	"procman/messages"
	"procman/supervisor/fleet/member"
)

// kthreadd is the parent of the kernel's own threads, and its number. In a container they are not seen, and who has the
// number is found by a sweep.
const kthreadd = 2

// errSlow says that the disk does not answer.
var errSlow = errors.New("the state directory does not answer")

// ender finds the processes of fenced runs and ends them.
type ender struct {
	dir    messages.StateDir
	boot   string
	proc   kernel.Procfs
	newest func(messages.InstanceID) *kernel.Run
	now    func() int64
	log    *slog.Logger
	disk   *record.Disk
	starts *os.File // the start lock

	runs    map[messages.InstanceID]*fight // those that are marked
	forks   uint64                         // of the host, when nobody was left
	unborn  map[int]uint64                 // who had executed no program then, and when they were forked
	loading bool                           // some of them are being loaded: only then is it known whose they are
	swept   int64                          // when that was
	clean   bool                           // nobody was left
	hung    map[int]uint64                 // processes that do not show their environment, and when they were started
	// the tags of runs of which it was written down that they were ended, or will be
	ending map[string]bool
	ended  []victim // what is to be said and written down

	seat     atomic.Pointer[starter] // who the start lock said that holds it
	unseated starter                 // the daemon that was ended
	said     string                  // what was said last of why one could not be
}

// fight is a marked instance, with what is known of its newest run.
type fight struct {
	run  kernel.Run // the zero Run: none is on record
	seen map[int]uint64
	last int64 // when its first process was seen last
}

// tagged is a process that shows whose it is.
type tagged struct {
	kernel.Process
	fenced bool // it says so itself
}

// victim is a process that has to end.
type victim struct {
	kernel.Process
	id    messages.InstanceID
	run   int
	tag   string
	leads bool
	at    int64 // when it was sent KILL
}

// read returns the deadline. The error is errSlow if the disk does not answer.
func (e *ender) read(patience time.Duration) (member.Record, error) {
	answer := make(chan member.Record, 1)
	_, err := e.disk.Do(context.Background(), patience, func() error {
		d, err := Read(e.dir)
		answer <- d
		return err
	}, nil)
	if _, stalled := errors.AsType[*record.StalledError](err); stalled {
		return member.Record{}, errSlow
	}
	return <-answer, err
}

// found reports whether the lock of this leash is where others look for it. While the disk does not answer it is.
func (e *ender) found(lock *os.File) bool {
	gone := make(chan bool, 1)
	_, err := e.disk.Do(context.Background(), diskPatience, func() error {
		now, err := os.Lstat(e.dir.LeashLock())
		ours, statErr := lock.Stat()
		gone <- errors.Is(err, fs.ErrNotExist) || err == nil && statErr == nil && !os.SameFile(ours, now)
		return nil
	}, nil)
	return err != nil || !<-gone
}

// close lets go of what the ender holds.
func (e *ender) close() { _ = e.starts.Close() }

func (e *ender) marks() int { return len(e.runs) }

// refresh brings what is marked up to date. If the disk does not answer, it stays as it was.
func (e *ender) refresh(ctx context.Context, patience time.Duration) {
	found := make(chan map[messages.InstanceID]*kernel.Run, 1)
	_, err := e.disk.Do(ctx, patience, func() error {
		marked, err := Marked(e.dir)
		runs := make(map[messages.InstanceID]*kernel.Run, len(marked))
		for _, id := range marked {
			runs[id] = e.newest(id)
		}
		if err == nil {
			found <- runs
		}
		return err
	}, nil)
	if err != nil {
		e.log.Error("the marks of fenced instances cannot be read; those known before are ended, and what shows that "+
			"it is fenced", "error", err)
		return
	}
	now := map[messages.InstanceID]*fight{}
	for id, run := range <-found {
		f := e.runs[id]
		if f == nil {
			f = &fight{seen: map[int]uint64{}}
		}
		if run != nil && run.Tag != f.run.Tag {
			f.last = 0
		}
		if run != nil {
			f.run = *run
		}
		now[id] = f
	}
	e.runs = now
}

// round ends those that live, the processes on record first, which takes the shortest, and returns who lived. Before
// anybody is ended it asks whether the deadline was moved: then it stops. shut says that no start is under way.
func (e *ender) round(ctx context.Context, why string, shut bool, moved func() bool) (left []messages.Member,
	stop bool) {
	if e.forks != 0 && !e.stirs(shut) {
		return nil, !shut && moved()
	}
	forks, err := e.proc.Forks()
	clean := e.clean
	e.forks, e.clean = 0, false
	defer e.note(why)
	// Those that are known go first: the disk is asked after that who else is marked.
	if known, _ := e.leaders(ctx); len(known) > 0 {
		if moved() {
			return nil, true
		}
		for _, v := range known {
			e.kill(v)
			left = append(left, messages.Member{PID: v.PID, Name: v.Name})
		}
	}
	e.refresh(ctx, diskPatience)
	if clean && len(e.runs) == 0 {
		e.clean = true
		return nil, moved() // nothing is started without a mark
	}
	for _, look := range e.looks() {
		victims, lookErr := look(ctx)
		if lookErr != nil {
			err = lookErr
			e.log.Error("fenced processes cannot be looked for; it is tried again", "error", lookErr)
			left = append(left, messages.Member{Name: "unknown"})
		}
		if len(victims) > 0 && moved() {
			return nil, true
		}
		for _, v := range victims {
			e.kill(v)
			left = append(left, messages.Member{PID: v.PID, Name: v.Name})
		}
	}
	if len(left) == 0 && err == nil {
		e.forks, e.clean, e.swept = forks, true, e.now()
	}
	slices.SortFunc(left, func(a, b messages.Member) int { return cmp.Compare(a.PID, b.PID) })
	return slices.CompactFunc(left, func(a, b messages.Member) bool { return a.PID == b.PID }), moved()
}

// alive returns how many processes of fenced runs live.
func (e *ender) alive(ctx context.Context) int {
	e.refresh(ctx, time.Second)
	n := 0
	for _, look := range e.looks() {
		victims, err := look(ctx)
		n += len(victims)
		if err != nil {
			n++
		}
	}
	return n
}

// leaders returns the processes on record.
func (e *ender) leaders(context.Context) (all []victim, _ error) {
	for id, f := range e.runs {
		if f.run.PID == 0 {
			continue
		}
		st, err := e.proc.Stat(f.run.PID)
		if err != nil {
			continue // nobody is shown by that number; its others are found without it
		}
		p := kernel.Process{PID: f.run.PID, Stat: st}
		verdict, _ := kernel.Judge(kernel.Evidence{Boot: e.boot, Record: &f.run, PID: p.PID, Stat: st})
		if verdict == kernel.Leader && e.lives(p) {
			f.last = e.now()
			all = append(all, victim{Process: p, id: id, run: f.run.Number, tag: f.run.Tag, leads: true})
		}
	}
	return all, nil
}

func (e *ender) lives(p kernel.Process) bool {
	return p.PID > 1 && p.PID != os.Getpid() && (!p.Zombie() || e.proc.Threads(p.PID))
}

// belonging returns the others of the runs on record.
func (e *ender) belonging(ctx context.Context) (all []victim, _ error) {
	if len(e.runs) == 0 {
		return nil, nil
	}
	table, err := e.proc.Table(ctx)
	if err != nil {
		return nil, err
	}
	for id, f := range e.runs {
		if f.run.PID == 0 || f.run.Boot != e.boot {
			continue
		}
		// Until a number is given away again it takes longer than that, and while one of those that we know has it as
		// its session or its group it is not.
		unbroken := f.last != 0 && e.now()-f.last < int64(time.Second)
		for pid, start := range f.seen {
			p, there := table[pid]
			if !there || p.Start != start {
				delete(f.seen, pid)
				continue
			}
			unbroken = unbroken || p.Session == f.run.PID || p.Group == f.run.PID
		}
		for _, p := range kernel.Circle(table, f.run, unbroken) {
			if e.lives(p) {
				f.seen[p.PID] = p.Start
			}
		}
		for pid := range f.seen {
			if p := table[pid]; e.lives(p) {
				all = append(all, victim{Process: p, id: id, run: f.run.Number, tag: f.run.Tag})
			}
		}
	}
	return all, nil
}

// looks are the ways in which processes are found, the fastest first. The slowest is under way meanwhile.
func (e *ender) looks() []func(context.Context) ([]victim, error) {
	pids, _ := e.proc.PIDs() // without them nobody is found, as the table says, too
	q := e.ask(pids)
	showing := func(ctx context.Context) ([]victim, error) { return e.showing(ctx, q) }
	return []func(context.Context) ([]victim, error){e.leaders, e.belonging, showing}
}

// showing returns the processes that show the tags of fenced runs, and those that belong to them.
func (e *ender) showing(ctx context.Context, q *enquiry) (all []victim, err error) {
	var seen []tagged
	e.unborn = map[int]uint64{}
	for n := 0; ; n++ {
		err = e.wait(q)
		q.mu.Lock()
		seen = append(seen, q.seen...)
		loading := slices.Clone(q.loading)
		maps.Copy(e.unborn, q.unborn)
		q.mu.Unlock()
		if e.loading = len(loading) > 0; err != nil || !e.loading || n == loads {
			break
		}
		time.Sleep(time.Millisecond) // that is longer than most take to load a program
		q = e.ask(loading)
	}
	table, tableErr := e.proc.Table(ctx)
	if tableErr != nil {
		return nil, tableErr
	}
	for pid, p := range table {
		if p.Forked && e.unbornAt(pid, p.Stat) {
			e.unborn[pid] = p.Start
		}
	}
	runs := map[string]kernel.Process{}
	for _, p := range seen {
		now, there := table[p.PID]
		if !there || now.Start != p.Start {
			continue
		}
		table[p.PID] = p.Process
		if _, marked := e.runs[p.ID]; marked || p.fenced {
			runs[p.Tag] = p.Process
		}
	}
	for tag, of := range runs {
		for _, p := range kernel.Circle(table, kernel.Run{Boot: e.boot, Tag: tag, Number: of.Run}, false) {
			if e.lives(p) {
				all = append(all, victim{Process: p, id: of.ID, run: of.Run, tag: tag,
					leads: p.Leads(p.PID) && p.Tag == tag})
			}
		}
	}
	return all, err
}

// kill ends the process that was seen, and no other that was given its number.
func (e *ender) kill(v victim) {
	fd, err := kernel.OpenPidfd(v.PID)
	if err == nil {
		defer fd.Close()
		// Only now: had it been compared before, the number could have changed hands in between.
		var now kernel.Stat
		if now, err = e.proc.Stat(v.PID); err == nil && now.Start != v.Start || kernel.Gone(err) {
			err = unix.ESRCH
		}
	}
	if err == nil {
		// Before Linux 6.9 there is no signal to a group: those of it are found one by one.
		sent := v.leads && fd.SignalGroup(syscall.SIGKILL) == nil
		if err = fd.Signal(syscall.SIGKILL); sent && errors.Is(err, unix.ESRCH) {
			err = nil // it has ended by the first, and was reaped in between
		}
	}
	if errors.Is(err, unix.ESRCH) {
		return // it has ended by itself
	}
	if err != nil {
		e.log.Error("a fenced process cannot be ended; it is tried again", "instance", string(v.id), "run", v.run,
			"pid", v.PID, "error", err)
		return
	}
	if !e.ending[v.tag] {
		e.ending[v.tag] = true
		v.at = e.now()
		e.ended = append(e.ended, v)
	}
}

// note says and writes down what was done, after it was. Nobody waits for the disk for long, and it is no reason not to
// go on.
func (e *ender) note(why string) {
	if len(e.ended) == 0 {
		return
	}
	var notes []Ending
	for _, v := range e.ended {
		e.log.Warn("a fenced run is ended", "instance", string(v.id), "run", v.run, "pid", v.PID, "why", why)
		if v.id.Validate() == nil { // or it shows another's name, or none: there is no place for it
			notes = append(notes, Ending{ID: v.id, Run: v.run, Tag: v.tag, At: v.at, Was: time.Now().UTC(), Why: why})
		}
	}
	e.ended = nil
	write := func() error {
		for _, n := range notes {
			if err := record.Write(e.dir.Ending(n.ID), endingKind, n, false); err != nil {
				e.log.Error("it cannot be written down that a fenced run was ended", "instance", string(n.ID),
					"run", n.Run, "error", err)
			}
		}
		return nil
	}
	if _, err := e.disk.Do(context.Background(), diskPatience, write, nil); err != nil {
		e.log.Error("it is not written down yet which fenced runs were ended", "runs", len(notes), "error", err)
	}
}
