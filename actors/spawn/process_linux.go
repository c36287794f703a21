package spawn

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"procman/actors"
	"procman/actors/kernel"
	"procman/messages"
)

// process is a run whose process was started or adopted: there is no difference once it exists.
type process struct {
	group
	home    *Spawner
	record  runRecord // Exit is not kept here
	started time.Time
	exit    *messages.Exit // nil: it lives, as far as is known; guarded by mu
	then    []func()       // what is called once it is set; guarded by mu
	rest    rest
	mute    bool // its cgroup has nothing to tell once nobody is in it
}

var (
	_ actors.Notifier = (*process)(nil)
	_ actors.Worker   = (*process)(nil)
	_ actors.Sender   = (*process)(nil)
)

func (p *process) PID() int             { return p.pid }
func (p *process) Port() int            { return p.record.Port }
func (p *process) Run() int             { return p.record.Run }
func (p *process) StartedAt() time.Time { return p.started }
func (p *process) SpecHash() string     { return p.record.Spec }
func (p *process) Tag() string          { return p.record.Tag }

// Used returns how long the process has used a processor.
func (p *process) Used() (time.Duration, error) { return kernel.ProcessorTime(p.pid) }

// Runs reports whether it or a descendant runs, and whether it has any.
func (p *process) Runs() (runs, family bool) { return p.home.proc.Runs(p.pid) }

// tags are those that it was started with.
func (p *process) tags() kernel.Tags {
	r := p.record
	return kernel.Tags{Dir: r.Dir, Tag: r.Tag, Spec: r.Spec, ID: p.id, Run: r.Run, Port: r.Port}
}

// unreaped reports whether it is a child of ours, to be reaped by us and nobody else: so its number is not given away.
func (p *process) unreaped() bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.child
}

// Wait returns how the process ended. If the Spawner is closed first, it returns at once with an Exit that is not known
// while the process lives on, and nothing is recorded: who closes a Spawner ends first what listens to Wait.
func (p *process) Wait() messages.Exit {
	exit := p.ending()
	if exit == nil {
		over := make(chan struct{})
		p.Then(func() { close(over) })
		<-over
		exit = p.ending()
	}
	return *exit
}

// ending returns how the process ended; nil: it lives, as far as is known. It is not to be changed.
func (p *process) ending() *messages.Exit {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.exit
}

func (p *process) ended() bool { return p.ending() != nil }

// Signal sends sig to the group at once, and to all others of the run a moment later. After the Spawner was closed the
// error is ErrClosed, unless the run is over.
func (p *process) Signal(sig syscall.Signal, leftovers messages.Leftovers) error {
	failpoint("before-signal")
	whole, err := false, error(unix.ESRCH)
	if p.fd != nil {
		whole, err = p.home.signal(&p.group, sig)
	}
	failpoint("after-signal")
	leave, closed := p.home.enter()
	switch {
	case closed != nil && errors.Is(err, unix.ESRCH):
		return nil
	case closed != nil:
		return closed
	}
	p.signalRest(sending{sig, leftovers, whole})
	leave()
	switch {
	case err == nil, errors.Is(err, unix.ESRCH), errors.Is(err, os.ErrClosed):
		return nil // it is closed when the group is gone
	}
	return fmt.Errorf("instance %q: signal %s to the group of process %d: %w", string(p.id),
		signalName(sig), p.pid, err)
}

// Send sends sig to the group, as long as its leader lives. It is no wish that the run ends, and nobody who is forked
// later gets it.
func (p *process) Send(sig syscall.Signal) error {
	if exit := p.ending(); exit != nil {
		return &messages.GoneError{Exit: *exit}
	}
	leave, err := p.home.enter()
	if err != nil {
		return err
	}
	defer leave()
	if p.fd.Ended() {
		return &messages.GoneError{Exit: unknownExit(time.Now())}
	}
	if _, err := p.home.signal(&p.group, sig); err != nil {
		return fmt.Errorf("instance %q: signal %s to the group of process %d: %w", string(p.id),
			signalName(sig), p.pid, err)
	}
	return nil
}

// watch has the run concluded when the process has ended, or the Spawner was closed.
func (p *process) watch() {
	if p.home.store != nil {
		p.home.work.Go(p.put)
	}
	p.home.exits.await(p.fd, func(err error) {
		if err != nil {
			p.tell(unknownExit(time.Now()))
			return
		}
		p.home.work.Go(p.conclude)
	})
}

// tell tells those who wait for the exit.
func (p *process) tell(exit messages.Exit) {
	p.mu.Lock()
	then := p.then
	p.then, p.exit = nil, &exit
	p.mu.Unlock()
	for _, f := range then {
		go f()
	}
}

// Then calls f in a goroutine of its own once Wait would return.
func (p *process) Then(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.exit != nil {
		go f()
		return
	}
	p.then = append(p.then, f)
}

// conclude is called once the process has ended.
func (p *process) conclude() {
	at := time.Now()
	p.vacate()
	p.look(at) // before the leader is reaped: until then nobody else can be given its pid
	status, known := p.collect()
	p.tell(exitOf(status, known, at)) // reported first, recorded afterwards
	if !p.groupLives() {
		p.home.drop(p.fd) // Signal needs it no more
	}
	p.home.conclude(p)
	p.remove()
}

// collect returns how the process ended, and reaps it if it is a child of ours.
func (p *process) collect() (syscall.WaitStatus, bool) {
	if p.fd.Child() {
		failpoint("before-reap")
		p.mu.Lock()
		p.child = false
		status, err := kernel.Reap(p.pid)
		p.mu.Unlock()
		failpoint("after-reap")
		if err == nil {
			return status, true
		}
		if errors.Is(err, syscall.EAGAIN) {
			p.home.reapLater(p.pid)
		}
	}
	p.mu.Lock()
	p.child = false
	p.mu.Unlock()
	// While it is a zombie only /proc tells, afterwards only the pidfd. It may become the one after it was asked as the
	// other.
	for range 3 {
		if status, err := p.fd.Status(); err == nil {
			return status, true
		}
		if st, err := p.home.proc.Stat(p.pid); err == nil && st.Start == p.start && st.Zombie() {
			return syscall.WaitStatus(st.Status), true
		}
	}
	return 0, false
}

// reapLater reaps a child that a tracer keeps, once it does so no more.
func (s *Spawner) reapLater(pid int) {
	s.log.Warn("a process that has ended is kept by a tracer, such as a debugger; what depends on its end goes on",
		"pid", pid)
	s.work.Go(func() {
		for s.sleep(tracedAgain) {
			if _, err := kernel.Reap(pid); !errors.Is(err, syscall.EAGAIN) {
				return // by us or by the tracer
			}
		}
	})
}

// tracedAgain is how often a child that a tracer keeps is asked for.
const tracedAgain = time.Second

// exitOf turns what wait tells into what procman says.
func exitOf(status syscall.WaitStatus, known bool, at time.Time) messages.Exit {
	switch {
	case known && status.Exited():
		return messages.Exit{Code: status.ExitStatus(), Known: true, At: at}
	case known && status.Signaled():
		return messages.Exit{Code: -1, Signal: signalName(status.Signal()), Known: true, At: at}
	}
	return unknownExit(at)
}

// signalName returns TERM, KILL, RTMIN+1, …
func signalName(sig syscall.Signal) string {
	name := unix.SignalName(sig)
	switch {
	case name != "":
		return strings.TrimPrefix(name, "SIG")
	case sig == messages.SIGRTMIN:
		return "RTMIN"
	case sig > messages.SIGRTMIN:
		return "RTMIN+" + strconv.Itoa(int(sig)-messages.SIGRTMIN)
	}
	return strconv.Itoa(int(sig))
}
