package spawn

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"time"

	"procman/actors"
	"procman/messages"
)

// Spawn starts a process of the instance, in a session of its own, with the descriptors 0 to 2 and the instance's lock.
// Everything that can be found wrong before the fork is found before it. The process is on record when Spawn returns,
// and from the fork on Adopt finds it, whatever else goes wrong.
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
	if err := i.take(ctx); err != nil {
		return nil, err
	}
	defer i.give()

	if err := s.guard(); err != nil {
		return nil, stateError(err, string(s.dir))
	}
	if err := s.consult(i); err != nil {
		return nil, startError(err, "")
	}
	program, err := preflight(l.App)
	if err != nil {
		return nil, err
	}
	if err := s.makeDir(id); err != nil {
		return nil, stateError(err, s.dir.Instance(id))
	}
	lock, err := s.lockInstance(ctx, i)
	if err != nil {
		return nil, err
	}
	defer lock.Close() // the process has its own copy; the lock is held until that is closed too
	p, err := s.start(ctx, i, l, program, lock)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// start forks. It closes nothing it was given.
func (s *Spawner) start(ctx context.Context, i *instance, l messages.Launch, program string, lock *os.File) (*process, error) {
	stdout, err := openOutput(s.dir.Stdout(i.id))
	if err != nil {
		return nil, err
	}
	defer stdout.Close()
	stderr, err := openOutput(s.dir.Stderr(i.id))
	if err != nil {
		return nil, err
	}
	defer stderr.Close()

	tag := newTag()
	env := s.environment(l, tag)
	args := append([]string{l.App.Executable}, l.App.CommandLine(l.Port)...)
	for pause := 5 * time.Millisecond; ; pause *= 2 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		fd := -1
		cmd := &exec.Cmd{
			Path: program, Args: args, Env: env, Dir: l.App.WorkDir,
			Stdout: stdout, Stderr: stderr, // files, not pipes: a process must neither die nor wait because we do
			ExtraFiles: []*os.File{lock},
			// No Pdeathsig: a process outlives us.
			SysProcAttr: &syscall.SysProcAttr{Setsid: true, PidFD: &fd},
		}
		failpoint("before-fork")
		err := cmd.Start()
		if err == nil {
			failpoint("after-fork")
			return s.started(i, l, tag, cmd.Process, fd)
		}
		// Whoever forks while a program is being copied holds it open for writing for an instant.
		if e := startError(err, program); e.Fault != messages.FaultBusy || pause > 100*time.Millisecond {
			return nil, e
		}
		if err := s.pause(ctx, pause); err != nil && ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

func openOutput(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, stateError(err, path)
	}
	return f, nil
}

// started puts the new process into the table and on record. fd is its pidfd.
func (s *Spawner) started(i *instance, l messages.Launch, tag string, child *os.Process, fd int) (*process, error) {
	now := time.Now()
	pid := child.Pid
	handle, err := adoptFD(pid, fd)
	if err != nil {
		// Without a handle it could not be watched: better no process than one that is forgotten.
		err = errors.Join(err, syscall.Kill(-pid, syscall.SIGKILL))
		_, waitErr := child.Wait()
		return nil, startError(errors.Join(err, waitErr), "")
	}
	// It is watched and reaped by its pidfd. The os package keeps a copy for a Wait of its own, which would fail: the
	// copy shares O_NONBLOCK.
	if err := child.Release(); err != nil {
		s.log.Warn("a process handle could not be released", "instance", string(i.id), "pid", pid, "error", err)
	}
	st, err := s.proc.stat(pid)
	if err != nil {
		s.log.Warn("the start time of a process cannot be read", "instance", string(i.id), "pid", pid, "error", err,
			"consequence", "after a crash of the manager it is looked for among all processes")
	}
	p := &process{
		group: group{fd: handle, pid: pid, id: i.id, tag: tag, start: st.start, child: true},
		home:  s, started: now, done: make(chan struct{}),
		record: runRecord{
			ID: i.id, Boot: s.boot, PID: pid, Start: st.start, Tag: tag, Run: l.Run, Port: l.Port, Spec: l.App.SpecHash(),
			Started: readClock().stamp(now),
		},
	}
	s.begin(i, p, true)
	failpoint("after-record")
	return p, nil
}

func adoptFD(pid, fd int) (*pidfd, error) {
	if fd < 0 {
		return openPidfd(pid) // our child, not reaped: nobody else can have its pid
	}
	return newPidfd(fd)
}
