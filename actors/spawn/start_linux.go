package spawn

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"procman/actors"
	"procman/actors/kernel"
	"procman/actors/record"
	"procman/actors/runas"
	"procman/messages"
)

// Spawn starts a process of the instance, in a session of its own, with the descriptors 0 to 2 and the instance's lock.
// Everything that can be found wrong before the fork is found before it. From the fork on Adopt finds the process,
// whatever else goes wrong; it is on record when Spawn returns, unless the disk is full or does not answer, which Spawn
// waits for no longer than a second: then it is put on record as soon as that is possible.
func (s *Spawner) Spawn(ctx context.Context, l messages.Launch) (actors.Process, error) {
	id := l.App.InstanceID
	if err := id.Validate(); err != nil {
		return nil, fault(messages.FaultOther, "", err, "")
	}
	leave, err := s.enter()
	if err != nil {
		return nil, fault(messages.FaultOther, "", err, "")
	}
	defer leave()
	i := s.instance(id)
	if err := s.takeTurn(ctx, i); err != nil {
		return nil, err
	}
	defer s.enterStart(ctx)()
	held := true
	defer func() {
		if held {
			i.give()
		}
	}()

	if err := s.elsewhere(l.App); err != nil {
		return nil, err
	}
	program, as, err := s.preflight(ctx, i, l.App)
	if err != nil {
		return nil, err
	}
	f, left, err := s.openFiles(ctx, i, l.App)
	held = !left
	if err != nil {
		return nil, err
	}
	defer f.close() // the process has copies of its own; its lock is held until that is closed too
	if err := s.awaitLock(ctx, i, f.lock); err != nil {
		return nil, err
	}
	args := append([]string{l.App.Executable}, l.App.CommandLine(l.Port)...)
	r := s.intent(l, args)
	group, err := s.enterCgroup(l, &r)
	if err != nil {
		return nil, err
	}
	if group >= 0 {
		defer func() { _ = unix.Close(group) }() // of a directory
	}
	s.inscribe(f.lock, func() { s.note(f.lock, r) })
	p, err := s.start(ctx, i, l, command{program, args, as, group}, r, f)
	if err != nil {
		// nothing was begun: no run is to be looked for, and none has ended
		s.inscribe(f.lock, func() { s.annul(f.lock) })
		return nil, err
	}
	return p, nil
}

// enterStart waits until few are at the system calls of a start at once, each of which may need a thread: more of them
// are no faster, for one process is forked at a time. But nobody waits for those that hang: they are not counted after
// a while, and once none has come to its end for as long, all are let in.
func (s *Spawner) enterStart(ctx context.Context) (leave func()) {
	entered := func() func() {
		give := sync.OnceFunc(func() { <-s.starting })
		hangs := time.AfterFunc(diskPatience, give)
		return func() {
			s.startsOver.Add(1)
			hangs.Stop()
			give()
		}
	}
	select {
	case s.starting <- struct{}{}:
		return entered()
	default:
	}
	over := s.startsOver.Load()
	late := time.NewTicker(diskPatience)
	defer late.Stop()
	for {
		select {
		case s.starting <- struct{}{}:
			return entered()
		case <-late.C:
			now := s.startsOver.Load()
			if now == over {
				return func() { s.startsOver.Add(1) }
			}
			over = now
		case <-ctx.Done():
			return func() {}
		}
	}
}

// takeTurn is take for a start, which may find that an earlier one still waits for the disk.
func (s *Spawner) takeTurn(ctx context.Context, i *instance) error {
	soon, cancel := context.WithTimeout(ctx, diskPatience)
	defer cancel()
	if i.take(soon) == nil {
		return nil
	}
	if err := s.disk.Stalled(diskPatience); err != nil && ctx.Err() == nil {
		return stateError(err, "")
	}
	return i.take(ctx)
}

// files are those of the state directory that a start needs.
type files struct {
	lock           *os.File
	stdout, stderr int // descriptors, for the process alone; 0: none
	held           int // that of the state directory's lock, which the Spawner closes
}

func (f *files) close() {
	if f.lock != nil {
		_ = f.lock.Close() // what could not be written was said
	}
	for _, fd := range []int{f.stdout, f.stderr} {
		if fd > 0 {
			_ = unix.Close(fd) // nothing was written
		}
	}
}

// openFiles opens the files of the instance, once it is known that no process of it is on record. A start is the one
// deed that has to wait for the disk. But whoever waits for the start is told when the disk does not answer; then the
// result says that the instance's turn goes on until it does.
func (s *Spawner) openFiles(ctx context.Context, i *instance, app messages.AppInstance) (*files, bool, error) {
	f := &files{}
	left, err := s.disk.Do(ctx, lockPatience+diskPatience, func() error { return s.openAll(ctx, i, app, f) }, func() {
		f.close()
		i.give()
	})
	var stalled *record.StalledError
	switch {
	case left && !errors.As(err, &stalled):
		return nil, left, err
	case errors.As(err, &stalled):
		return nil, left, stateError(err, "")
	case err != nil:
		f.close()
		return nil, left, err
	}
	return f, left, nil
}

func (s *Spawner) openAll(ctx context.Context, i *instance, app messages.AppInstance, f *files) (err error) {
	if err := s.guard(); err != nil {
		return stateError(err, string(s.dir))
	}
	s.locking.Lock()
	f.held = int(s.lock.Fd())
	s.locking.Unlock()
	if err := s.consult(ctx, i, app); err != nil {
		return err
	}
	if err := s.makeDir(i.id); err != nil {
		return stateError(err, s.dir.Instance(i.id))
	}
	path := s.dir.InstanceLock(i.id)
	if f.lock, err = record.Open(path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return stateError(err, path)
	}
	path = s.dir.Stdout(i.id)
	if f.stdout, err = record.OpenBare(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600); err != nil {
		return stateError(err, path)
	}
	path = s.dir.Stderr(i.id)
	if f.stderr, err = record.OpenBare(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600); err != nil {
		return stateError(err, path)
	}
	return nil
}

// command is what is executed.
type command struct {
	program string
	args    []string
	as      *runas.Settings // as whom; nil: as this process
	cgroup  int             // the descriptor of its cgroup; -1: that of this process
}

// start forks. It closes nothing it was given.
func (s *Spawner) start(ctx context.Context, i *instance, l messages.Launch, c command, r runRecord,
	f *files) (*process, error) {
	env := s.environment(l, r, c.as)
	for pause := 5 * time.Millisecond; ; pause *= 2 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		cmd := &exec.Cmd{
			Path: c.program, Args: c.args, Env: env, Dir: l.App.WorkDir,
			// no Pdeathsig: a process outlives us
			SysProcAttr: &syscall.SysProcAttr{Setsid: true, UseCgroupFD: c.cgroup >= 0, CgroupFD: c.cgroup},
		}
		failpoint("before-fork")
		known := s.forks()
		// Files, not pipes: a process must neither die nor wait because we do.
		pid, err := s.forkers.fork(cmd, c.as, f.held, f.stdout, f.stderr, int(f.lock.Fd()))
		if err == nil {
			defer known()
			if pid <= 1 {
				// nobody is signalled by that
				return nil, fault(messages.FaultOther, "", fmt.Errorf("bug: its process would be %d", pid), "")
			}
			failpoint("after-fork")
			return s.started(i, r, pid, f.lock, l.App.Bounds().Memory > 0)
		}
		known()
		// Whoever forks while a program is being copied holds it open for writing for an instant.
		if e := explain(startError(err, c.program), l.App.WorkDir, c.program, c.args,
			env); e.Fault != messages.FaultBusy || pause > 100*time.Millisecond {
			return nil, e
		}
		if err := s.pause(ctx, pause); err != nil && ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// started puts the new process into the table and on record: r is the intent.
func (s *Spawner) started(i *instance, r runRecord, pid int, lock *os.File, bounded bool) (*process, error) {
	now := time.Now()
	handle, err := kernel.OpenPidfd(pid) // our child, not reaped: nobody else can have its pid
	if err != nil {
		// Without a handle it could not be watched: better no process than one that is forgotten.
		err = errors.Join(err, syscall.Kill(-pid, syscall.SIGKILL))
		_, waitErr := unix.Wait4(pid, nil, 0, nil)
		return nil, startError(errors.Join(err, waitErr), "")
	}
	st, err := s.proc.Stat(pid)
	if err != nil {
		s.log.Warn("the start time of a process cannot be read", "instance", string(i.id), "pid", pid, "error", err,
			"consequence", "after a crash of the manager it is looked for among all processes")
	}
	r.PID, r.Start, r.Started, r.Args = pid, st.Start, readClock().stamp(now), ""
	p := &process{
		group: group{fd: handle, pid: pid, id: i.id, tag: r.Tag, start: st.Start, child: true},
		home:  s, started: now, record: r, mute: r.Cgroup != nil && !bounded,
	}
	s.begin(i, p, true, func() { s.note(lock, p.record) })
	failpoint("after-record")
	return p, nil
}
