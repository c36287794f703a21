package fake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"procman/actors"
	"procman/messages"
)

// TB is what the fakes need of a *testing.T.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
}

// Spawner makes processes that exist in memory only, and finds them again for a later supervisor.
type Spawner struct {
	t TB

	mu         sync.Mutex
	all        map[messages.InstanceID][]*Process
	fails      map[messages.InstanceID]error
	doubt      map[messages.InstanceID]string
	obstructed map[messages.InstanceID]error
	slow       time.Duration
	born       func(*Process)
	tries      int
	pids       int
}

var _ actors.Spawner = (*Spawner)(nil)

// NewSpawner returns a spawner without processes.
func NewSpawner(t TB) *Spawner {
	return &Spawner{t: t, all: map[messages.InstanceID][]*Process{}, fails: map[messages.InstanceID]error{},
		doubt: map[messages.InstanceID]string{}, obstructed: map[messages.InstanceID]error{}, pids: 1000}
}

// Fail makes every Spawn of the instance fail, until it is called with nil.
func (s *Spawner) Fail(id messages.InstanceID, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails[id] = err
}

// Doubt has it that nobody can tell whether a process that lives is the instance's, until it is called with no reason.
func (s *Spawner) Doubt(id messages.InstanceID, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doubt[id] = why
}

// doubted is called with mu held.
func (s *Spawner) doubted(id messages.InstanceID) error {
	if why := s.doubt[id]; why != "" {
		return &messages.StartError{Fault: messages.FaultUnclear, Err: errors.New(why)}
	}
	return nil
}

// Tries returns how often Spawn was called, also in vain.
func (s *Spawner) Tries() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tries
}

// Slow makes every Spawn and Adopt take so long.
func (s *Spawner) Slow(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slow = d
}

// OnSpawn has f called with every process that is started from now on, before anybody else knows it.
func (s *Spawner) OnSpawn(f func(*Process)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.born = f
}

// Spawn starts a process.
func (s *Spawner) Spawn(ctx context.Context, l messages.Launch) (actors.Process, error) {
	if err := s.dawdle(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries++
	id := l.App.InstanceID
	if err := s.fails[id]; err != nil {
		return nil, err
	}
	if err := s.doubted(id); err != nil {
		return nil, err
	}
	for _, list := range s.all {
		for _, p := range list {
			if !p.over() && p.App.InstanceID == id && len(p.away()) < len(p.others()) ||
				p.alive() && p.App.InstanceID == id {
				s.t.Errorf("a second process of %s: run %d lives, and run %d is started", id, p.run, l.Run)
			}
			if p.alive() && p.port == l.Port {
				s.t.Errorf("port %d is shared by %s and %s", l.Port, p.App.InstanceID, id)
			}
		}
	}
	s.pids++
	p := &Process{App: l.App, t: s.t, pid: s.pids, port: l.Port, run: l.Run, started: time.Now(),
		done: make(chan struct{}), changed: make(chan struct{})}
	s.all[id] = append(s.all[id], p)
	if s.born != nil {
		s.born(p)
	}
	return p, nil
}

func (s *Spawner) dawdle(ctx context.Context) error {
	s.mu.Lock()
	slow := s.slow
	s.mu.Unlock()
	if slow <= 0 {
		return nil
	}
	select {
	case <-time.After(slow):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Clear returns the error that Obstruct gave.
func (s *Spawner) Clear(ctx context.Context, a messages.AppInstance) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return cmp.Or(s.obstructed[a.InstanceID], ctx.Err())
}

// Obstruct keeps every start of the instance waiting, until it is called with nil.
func (s *Spawner) Obstruct(id messages.InstanceID, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.obstructed[id] = err
}

// Adopt finds the process of a run.
func (s *Spawner) Adopt(ctx context.Context, id messages.InstanceID, run int) (actors.Process, error) {
	if err := s.dawdle(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.doubted(id); err != nil {
		return nil, err
	}
	list := s.all[id]
	if len(list) == 0 {
		return nil, messages.ErrNoRun
	}
	p := list[len(list)-1]
	if p.over() && run != actors.AnyRun && run != p.run {
		return nil, messages.ErrNoRun
	}
	if p.over() {
		return nil, &messages.GoneError{Exit: p.end()}
	}
	return p, nil
}

// Survivors returns the newest process of every instance.
func (s *Spawner) Survivors(context.Context) ([]messages.Survivor, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []messages.Survivor
	for id, list := range s.all {
		p := list[len(list)-1]
		if err := s.doubted(id); err != nil {
			found = append(found, messages.Survivor{ID: id, Run: p.run, PID: p.pid, Port: p.port,
				SpecHash: p.SpecHash(), Alive: true, Unclear: err.Error()})
			continue
		}
		found = append(found, messages.Survivor{
			ID: id, Run: p.run, PID: p.pid, Port: p.port, StartedAt: p.started, SpecHash: p.SpecHash(),
			Alive: !p.over(), Outlived: !p.alive(), Exit: p.end(),
		})
	}
	slices.SortFunc(found, func(a, b messages.Survivor) int { return cmp.Compare(a.ID, b.ID) })
	return found, nil
}

// Processes returns every process the instance has had, oldest first.
func (s *Spawner) Processes(id messages.InstanceID) []*Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all[id])
}

// Live returns every process that lives, over all instances.
func (s *Spawner) Live() []*Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	var live []*Process
	for _, list := range s.all {
		for _, p := range list {
			if !p.over() {
				live = append(live, p)
			}
		}
	}
	return live
}

// Process is a process that exists in memory only. It ends by TERM at once, by KILL, or when the test says so.
type Process struct {
	App messages.AppInstance // what it was started for

	t       TB
	pid     int
	port    int
	run     int
	started time.Time
	done    chan struct{}

	mu       sync.Mutex
	stubborn bool
	immortal bool
	rest     []messages.Member
	changed  chan struct{} // closed and replaced when rest is another
	signals  []syscall.Signal
	trip     int       // calls until the panic; 0: none
	idle     time.Time // since then it uses no processor; zero: it is at work
	exit     messages.Exit
}

var (
	_ actors.Process = (*Process)(nil)
	_ actors.Worker  = (*Process)(nil)
	_ actors.Sender  = (*Process)(nil)
)

// Idle has the process use no processor from now on, as one that has started, or hangs. Until then it uses one all the
// time.
func (p *Process) Idle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = time.Now()
}

// Used returns how long the process has used a processor.
func (p *Process) Used() (time.Duration, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.idle.IsZero() {
		return time.Since(p.started), nil
	}
	return p.idle.Sub(p.started), nil
}

// Runs reports whether the process uses a processor.
func (p *Process) Runs() (runs, family bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.idle.IsZero() && p.alive(), false
}

// IgnoreTERM makes the process live on when it is asked to end.
func (p *Process) IgnoreTERM() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stubborn = true
}

// IgnoreKILL makes the process live on also when it is killed, as one does that hangs in the kernel, until it is called
// with false; then it dies of the KILL it was sent.
func (p *Process) IgnoreKILL(ignore bool) {
	p.mu.Lock()
	p.immortal = ignore
	killed := slices.Contains(p.signals, syscall.SIGKILL)
	p.mu.Unlock()
	if !ignore && killed {
		p.Die("KILL")
	}
}

// Fork says which others of the run live from now on. They end by KILL, with the process or on their own; TERM they
// leave to the test.
func (p *Process) Fork(rest ...messages.Member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rest = rest
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Process) others() []messages.Member {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rest
}

func (p *Process) away() []messages.Member {
	return slices.DeleteFunc(slices.Clone(p.others()), func(m messages.Member) bool { return !m.Away })
}

// over reports whether nobody of the run lives.
func (p *Process) over() bool { return !p.alive() && len(p.others()) == 0 }

// Tag returns what names the run.
func (p *Process) Tag() string { return fmt.Sprintf("%s@%d", p.App.InstanceID, p.pid) }

// Rest returns what Fork said, as soon as it is not what is given.
func (p *Process) Rest(ctx context.Context, than []messages.Member) ([]messages.Member, error) {
	for {
		p.mu.Lock()
		rest, changed := p.rest, p.changed
		p.mu.Unlock()
		if than == nil || !slices.Equal(rest, than) {
			return rest, ctx.Err()
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// PanicAt makes the n-th call of PID or Signal from now on panic: so a test strikes its actor at different moments.
func (p *Process) PanicAt(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trip = n
}

func (p *Process) touch() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.trip == 0 {
		return
	}
	if p.trip--; p.trip == 0 {
		panic("injected")
	}
}

// Exit ends the process with a code.
func (p *Process) Exit(code int) {
	p.finish(messages.Exit{Code: code, Known: true})
}

// Die ends the process by a signal: KILL, SEGV.
func (p *Process) Die(signal string) {
	p.finish(messages.Exit{Code: -1, Signal: signal, Known: true})
}

// Vanish ends the process so that nobody can learn how.
func (p *Process) Vanish() {
	p.finish(messages.Exit{Code: -1})
}

func (p *Process) finish(x messages.Exit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.alive() {
		return
	}
	x.At = time.Now()
	p.exit = x
	close(p.done)
}

func (p *Process) alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Alive reports whether the process lives.
func (p *Process) Alive() bool { return p.alive() }

func (p *Process) end() messages.Exit {
	if p.alive() {
		return messages.Exit{}
	}
	return p.exit
}

// Signals returns what the process was sent.
func (p *Process) Signals() []syscall.Signal {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.signals)
}

// PID returns a number that no other process of the spawner has.
func (p *Process) PID() int {
	p.touch()
	return p.pid
}

// Port returns the port it was started with.
func (p *Process) Port() int { return p.port }

// Run returns the number of its run.
func (p *Process) Run() int { return p.run }

// StartedAt returns when it was started.
func (p *Process) StartedAt() time.Time { return p.started }

// SpecHash returns the hash of what it runs.
func (p *Process) SpecHash() string { return p.App.SpecHash() }

// Signal does what a well-behaved process does: what it is to be asked by, mostly TERM, ends it with code 0, KILL ends
// it, the rest is noted.
func (p *Process) Signal(sig syscall.Signal, leftovers messages.Leftovers) error {
	p.touch()
	p.mu.Lock()
	p.signals = append(p.signals, sig)
	stubborn, immortal := p.stubborn, p.immortal
	p.mu.Unlock()
	switch {
	case sig == syscall.SIGKILL && immortal:
	case sig == syscall.SIGKILL:
		if leftovers == messages.LeftoversLeave {
			p.Fork(p.away()...)
		} else {
			p.Fork()
		}
		p.Die("KILL")
	case sig == p.App.Stop.Asks().Number() && !stubborn:
		p.Exit(0)
	}
	return nil
}

// Send notes the signal. KILL ends the process.
func (p *Process) Send(sig syscall.Signal) error {
	if !p.alive() {
		return &messages.GoneError{Exit: p.end()}
	}
	p.mu.Lock()
	p.signals = append(p.signals, sig)
	p.mu.Unlock()
	if sig == syscall.SIGKILL {
		p.Die("KILL")
	}
	return nil
}

// Wait returns when the process has ended.
func (p *Process) Wait() messages.Exit {
	<-p.done
	return p.exit
}

func (p *Process) String() string {
	return fmt.Sprintf("%s run %d, pid %d, port %d", p.App.InstanceID, p.run, p.pid, p.port)
}
