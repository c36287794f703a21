package spawn

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"procman/actors/kernel"
	"procman/messages"
)

// readings reads the process table for many at once: who asks while it is being read waits for the next reading, with
// all others who do. So a thousand stops cost a few readings.
type readings struct {
	read  func() error
	start func(func()) // a goroutine

	mu      sync.Mutex
	running *reading
	next    *reading // asked for while another was under way
	last    *reading
}

type reading struct {
	began time.Time
	done  chan struct{}
	err   error
}

// after returns when the table has been read after since.
func (t *readings) after(since time.Time) error {
	t.mu.Lock()
	r := t.last
	switch {
	case r != nil && r.began.After(since):
	case t.running == nil: // here, and not in another goroutine, which would have to be woken, and then wake this one
		r = &reading{done: make(chan struct{})}
		t.begin(r)
		t.mu.Unlock()
		t.make(r)
		return r.err
	default:
		if t.next == nil {
			t.next = &reading{done: make(chan struct{})}
		}
		r = t.next
	}
	t.mu.Unlock()
	<-r.done
	return r.err
}

// begin is called with the lock held.
func (t *readings) begin(r *reading) {
	r.began = time.Now()
	t.running = r
}

// make makes the reading that has begun. Those who came meanwhile have another one.
func (t *readings) make(r *reading) {
	r.err = t.read()
	close(r.done)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.running, t.last = nil, r
	if next := t.next; next != nil {
		t.next = nil
		t.begin(next)
		t.start(func() { t.make(next) })
	}
}

// tagsByLock returns the tags of the run whose lock the process holds, as the lock says them: a helper may have been
// started without the environment. To have the file open is not to hold the lock: anybody may read it.
func tagsByLock(proc kernel.Procfs, pid int, buffer []byte) kernel.Tags {
	target, err := proc.FD(pid, kernel.LockFD)
	if err != nil || dirOfLock(target) == "" || !proc.Locks(pid, kernel.LockFD, buffer) {
		return kernel.Tags{}
	}
	f, err := proc.OpenFD(pid, kernel.LockFD, os.O_RDONLY)
	if err != nil {
		return kernel.Tags{}
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxTestimony))
	r := lockRecord(text, messages.InstanceID(filepath.Base(filepath.Dir(target))))
	if err != nil || r == nil {
		return kernel.Tags{}
	}
	return kernel.Tags{Dir: r.Dir, Tag: r.Tag, Spec: r.Spec, ID: r.ID, Run: r.Run, Port: r.Port}
}

// tagPatience is how long a process is asked for its tags: to read the environment of one that hangs in the kernel may
// never end. That one goes without; all others are asked, however long that takes on a busy host.
const tagPatience = time.Second

// environPart is how much of an environment is read at a time.
const environPart = 16 << 10

// enquiry asks processes for their tags. Its goroutine ends with it, unless it hangs in the kernel: then it is left
// there.
type enquiry struct {
	tags    func(pid int, buffer []byte) kernel.Tags
	buffers *sync.Pool // of *[environPart]byte
	pids    chan int
	answers chan kernel.Tags
}

func (e *enquiry) ask(pid int) (tags kernel.Tags, answered bool) {
	if e.pids == nil {
		pids, answers := make(chan int), make(chan kernel.Tags, 1)
		e.pids, e.answers = pids, answers
		go func() {
			buffer, _ := e.buffers.Get().(*[environPart]byte)
			if buffer == nil {
				buffer = new([environPart]byte)
			}
			for pid := range pids {
				answers <- e.tags(pid, buffer[:])
			}
			e.buffers.Put(buffer) // not the one of an enquiry that hangs
		}()
	}
	e.pids <- pid
	late := time.NewTimer(tagPatience)
	defer late.Stop()
	select {
	case tags = <-e.answers:
		return tags, true
	case <-late.C:
		e.end()
		return kernel.Tags{}, false
	}
}

func (e *enquiry) end() {
	if e.pids != nil {
		close(e.pids)
		e.pids = nil
	}
}

// rest is what is known of the processes of a run beside its first one.
type rest struct {
	mu       sync.Mutex
	seen     map[int]member // that belong to it, by pid; those that have ended are taken out at each look
	sendings *sendings      // nil: nothing was sent
	vacant   bool           // its cgroup is gone, for nobody was in it
}

// sendings are the signals to a run. Most of the time there are none.
type sendings struct {
	sent    sending   // what ends it, if that was sent: who is forked later gets it too
	at      time.Time // when
	waiting []sending // what the worker has to send
	working bool
}

// member is a process of the run.
type member struct {
	kernel.Process
	told bool // it was asked to end on its own: once is enough, some programs take a second for impatience
}

type sending struct {
	syscall.Signal
	leftovers messages.Leftovers
	group     bool // the group has it already
}

// asks reports whether it asks a process to end: whatever is sent to all of a run does, but for what ends it, and what
// wakes it.
func (s sending) asks() bool { return s.Signal != syscall.SIGKILL && s.Signal != syscall.SIGCONT }

// circle picks the living processes of the run beside its first one. p.rest is locked.
func (p *process) circle(table map[int]kernel.Process, in map[int]bool) map[int]kernel.Process {
	// Once its first process has been reaped, its number is nobody else's as long as one that we know has it as its
	// session or group.
	unbroken := false
	for pid, was := range p.rest.seen {
		now, there := table[pid]
		unbroken = unbroken || there && now.Start == was.Start && (now.Session == p.pid || now.Group == p.pid)
	}
	r := p.record
	found := map[int]kernel.Process{}
	for _, x := range kernel.Circle(table, kernel.Run{Boot: r.Boot, PID: r.PID, Start: r.Start, Tag: r.Tag,
		Number: r.Run, Cgroup: in}, unbroken) {
		found[x.PID] = x
	}
	for pid, was := range p.rest.seen {
		if now, there := table[pid]; there && now.Start == was.Start && (now.Tag == "" || now.Tag == r.Tag) {
			found[pid] = now
		}
	}
	for grown := true; grown; { // what those have started that show no sign of the run any more
		grown = false
		for pid, x := range table {
			_, known := found[pid]
			_, child := found[x.Parent]
			if !known && child && (x.Tag == "" || x.Tag == r.Tag) {
				found[pid] = x
				grown = true
			}
		}
	}
	delete(found, os.Getpid())
	delete(found, 1)
	if leader, there := found[p.pid]; there && (leader.Start == p.start || p.start == 0) {
		delete(found, p.pid)
	}
	for pid, x := range found {
		if x.Zombie() && !p.home.proc.Threads(pid) {
			delete(found, pid)
		}
	}
	return found
}

// away reports whether a process of the run has left its session and its group.
func (p *process) away(x kernel.Process) bool { return x.Session != p.pid && x.Group != p.pid }

// look brings what is known of the run's others up to date. Those that were forked after all were sent what ends them
// get it now. since is when the table may have been read at the earliest.
func (p *process) look(since time.Time) {
	if err := p.home.readings.after(since); errors.Is(err, ErrClosed) {
		return // whoever adopts it looks
	} else if err != nil {
		p.home.log.Error("the processes of a run cannot be looked for", "instance", string(p.id), "run", p.record.Run,
			"error", err)
		return
	}
	p.rest.mu.Lock()
	now, late, sent := map[int]member{}, []int{}, sendings{}
	if p.rest.sendings != nil {
		sent = *p.rest.sendings
	}
	for pid, x := range p.circle(p.join(p.home.census.of(p))) {
		was, known := p.rest.seen[pid]
		now[pid] = member{x, known && was.Start == x.Start && was.told}
		if !known && !sent.at.IsZero() && sinceBoot(x.Start).After(sent.at) {
			late = append(late, pid)
		}
	}
	p.rest.seen = now
	p.rest.mu.Unlock()
	if sent.sent.Signal != 0 {
		p.send(late, sent.sent)
	}
	if p.fd != nil && p.ended() && !p.groupLives() {
		p.home.drop(p.fd) // Signal needs it no more
	}
}

// groupLives reports whether others than the first process are known in its group.
func (p *process) groupLives() bool {
	p.rest.mu.Lock()
	defer p.rest.mu.Unlock()
	for _, x := range p.rest.seen {
		if x.Group == p.pid {
			return true
		}
	}
	return false
}

// others returns those that are known, without another look.
func (p *process) others() []messages.Member {
	p.rest.mu.Lock()
	defer p.rest.mu.Unlock()
	list := make([]messages.Member, 0, len(p.rest.seen))
	for pid, x := range p.rest.seen {
		list = append(list, messages.Member{PID: pid, Name: x.Name, Away: p.away(x.Process)})
	}
	slices.SortFunc(list, func(a, b messages.Member) int { return cmp.Compare(a.PID, b.PID) })
	return list
}

// over reports whether nobody of the run lives, as far as is known.
func (p *process) over() bool { return p.ended() && len(p.others()) == 0 }

// Rest returns those of the run that live beside its first process, as soon as they are others than those given.
func (p *process) Rest(ctx context.Context, than []messages.Member) ([]messages.Member, error) {
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		same := func(a, b messages.Member) bool { return a.PID == b.PID }
		if now := p.others(); than == nil || !slices.EqualFunc(now, than, same) {
			return now, ctx.Err()
		}
		if err := p.home.pause(ctx, pause); err != nil {
			return nil, err
		}
		if !p.allLive() {
			p.look(time.Now())
		}
	}
}

// allLive reports whether all that are known live. It reads a line each, and not the table.
func (p *process) allLive() bool {
	p.rest.mu.Lock()
	defer p.rest.mu.Unlock()
	for pid, x := range p.rest.seen {
		st, err := p.home.proc.Stat(pid)
		if err != nil && kernel.Gone(err) || err == nil &&
			(st.Start != x.Start || st.Zombie() && !p.home.proc.Threads(pid)) {
			return false
		}
	}
	return true
}

// send sends the signal to those processes of the run, by their pids.
func (p *process) send(to []int, s sending) {
	for _, pid := range to {
		p.rest.mu.Lock()
		x, known := p.rest.seen[pid]
		if x.told && s.asks() || s.leftovers == messages.LeftoversLeave && p.away(x.Process) {
			known = false
		}
		if known && s.asks() {
			x.told = true
			p.rest.seen[pid] = x
		}
		p.rest.mu.Unlock()
		if !known {
			continue
		}
		err := p.home.signalMember(x.Process, s.Signal)
		if s.asks() && err == nil {
			// or one that is stopped would sleep through its grace
			err = p.home.signalMember(x.Process, syscall.SIGCONT)
		}
		if err != nil && !errors.Is(err, unix.ESRCH) {
			p.home.log.Error("a process of a run cannot be signalled", "instance", string(p.id), "run", p.record.Run,
				"pid", pid, "signal", signalName(s.Signal), "error", err)
		}
	}
}

// signalRest has the signal sent to those beside the group. They have to be looked for, which may take a while: so it
// is done by a worker, in order, and for several signals at once.
func (p *process) signalRest(s sending) {
	p.rest.mu.Lock()
	defer p.rest.mu.Unlock()
	if p.rest.sendings == nil {
		p.rest.sendings = &sendings{}
	}
	r := p.rest.sendings
	r.waiting = append(r.waiting, s)
	if s.Signal != syscall.SIGCONT {
		r.sent, r.at = s, time.Now()
	}
	if r.working {
		return
	}
	r.working = true
	p.home.work.Go(func() { p.signalWaiting(r) })
}

func (p *process) signalWaiting(r *sendings) {
	for {
		since := time.Now()
		p.rest.mu.Lock()
		batch := r.waiting
		r.waiting = nil
		if len(batch) == 0 || p.home.isClosed() {
			r.working = false
			p.rest.mu.Unlock()
			return
		}
		p.rest.mu.Unlock()
		p.look(since)
		var all, away []int
		p.rest.mu.Lock()
		for pid, x := range p.rest.seen {
			all = append(all, pid)
			if x.Group != p.pid {
				away = append(away, pid)
			}
		}
		p.rest.mu.Unlock()
		for _, s := range batch {
			if s.Signal == syscall.SIGKILL && s.leftovers != messages.LeftoversLeave && p.record.Cgroup != nil {
				p.killCgroup()
			}
			if s.group {
				p.send(away, s)
			} else {
				p.send(all, s)
			}
		}
	}
}

// signalMember sends the signal to the process that was seen, and to no other that was given its pid.
func (s *Spawner) signalMember(x kernel.Process, sig syscall.Signal) error {
	fd, err := kernel.OpenPidfd(x.PID)
	if err != nil {
		return err
	}
	defer fd.Close()
	// Only now: had it been compared before, the pid could have changed hands in between.
	now, err := s.proc.Stat(x.PID)
	if kernel.Gone(err) || err == nil && now.Start != x.Start {
		return unix.ESRCH
	}
	if err != nil {
		return err
	}
	return fd.Signal(sig)
}
