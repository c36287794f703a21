package spawn

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	commands "procman/actors/command"
	"procman/actors/kernel"
	"procman/actors/record"
	"procman/actors/runas"
	"procman/messages"
)

// checks are the commands of health checks that run. They are no processes of their instances: none shows the tag of a
// run, holds a lock or is on record, and what each is started with is gone before the next one of its instance begins.
//
// They do not outlive the manager: the kernel ends the first process of each as soon as the thread that forked it has
// ended, by whatever cause, and what that has left is known by EnvCheck and ended by the next manager, see endStrays.
type checks struct {
	mark string // of this Spawner

	mu     sync.Mutex
	strays []kernel.Process // of other Spawners, as the newest scan saw them
	forker *forker          // of its own: no start of an instance waits for a check; nil: there was none yet
	of     map[messages.InstanceID]*checked
}

// strayCheck reports whether the process is what an earlier manager of this state directory has started for a check.
func (s *Spawner) strayCheck(x kernel.Process, ours func(dir string) bool) bool {
	mark, dir, _ := strings.Cut(x.Check, "@")
	return mark != s.checks.mark && ours(dir)
}

func (k *checks) note(strays []kernel.Process) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.strays = strays
}

// endStrays ends what earlier managers have started for checks: nobody waits for it any more.
func (s *Spawner) endStrays() {
	s.checks.mu.Lock()
	strays := s.checks.strays
	s.checks.strays = nil
	s.checks.mu.Unlock()
	for _, x := range strays {
		err := s.signalOne(x, syscall.SIGKILL)
		switch {
		case errors.Is(err, unix.ESRCH):
		case err != nil:
			s.log.Error("what an earlier manager has started for a health check cannot be ended", "instance",
				string(x.ID), "pid", x.PID, "name", x.Name, "error", err)
		default:
			s.log.Info("what an earlier manager had started for a health check is ended", "instance", string(x.ID),
				"pid", x.PID, "name", x.Name)
		}
	}
}

// checked is what is known of the checks of one instance.
type checked struct {
	disk *record.Disk // where its command is
	busy bool         // one has not ended
	pid  int          // of that
}

// Bounds of a check.
const (
	checkOutput = 4 << 10                // bytes that are kept of what it writes
	checkEnds   = 500 * time.Millisecond // how long it is waited for the end of what was killed
	checkDrains = 50 * time.Millisecond  // and for the last of what an ended one has written
)

// EnvCheck marks the commands of health checks, and what they start: by whom they were started, and for which state
// directory.
const EnvCheck = kernel.EnvCheck

// RunCheck runs the command by which the policy of t asks, with the environment and in the directory of the instance,
// as a session of its own, and returns how it ended and the first bytes of what it wrote. When ctx ends, and when its
// first process has ended, KILL is sent to its group. There is never more than one of an instance. The error is that of
// ctx if that ended first; any other says why it was not run.
func (s *Spawner) RunCheck(ctx context.Context, t messages.Target) (output []byte, exit messages.Exit, err error) {
	leave, err := s.enter()
	if err != nil {
		return nil, exit, err
	}
	defer leave()
	c, err := s.checks.begin(t.ID)
	if err != nil {
		return nil, exit, err
	}
	r, err := s.startCheck(ctx, c, t)
	if err != nil {
		s.checks.end(c)
		if ctx.Err() != nil {
			return nil, exit, ctx.Err()
		}
		return nil, exit, err
	}
	s.work.Go(func() { s.tend(ctx, c, r) })
	select {
	case <-r.over:
	case <-ctx.Done():
		late := time.NewTimer(checkEnds)
		defer late.Stop()
		select {
		case <-r.over:
		case <-late.C: // it hangs in the kernel; the next one waits for it
		}
	}
	output = r.output.First()
	select {
	case <-r.over:
		return output, r.exit, r.err
	default:
		return output, exit, ctx.Err()
	}
}

// begin says that a check of the instance is started. The error is that one has not ended.
func (k *checks) begin(id messages.InstanceID) (*checked, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	c := k.of[id]
	if c == nil {
		c = &checked{disk: record.NewDisk("where health.command of "+string(id)+" is", 1)}
		if k.of == nil {
			k.of = map[messages.InstanceID]*checked{}
		}
		k.of[id] = c
	}
	if c.busy {
		return nil, fmt.Errorf("the one before has not ended (pid %d)", c.pid)
	}
	c.busy, c.pid = true, 0
	return c, nil
}

func (k *checks) end(c *checked) {
	k.mu.Lock()
	defer k.mu.Unlock()
	c.busy = false
}

// running is a check that was started.
type running struct {
	pid    int
	handle *kernel.Pidfd
	output *commands.Head
	over   chan struct{} // closed when it has been reaped; what follows is written before
	exit   messages.Exit
	err    error
}

// checkCommand is what a check executes, with what environment, and as whom.
type checkCommand struct {
	program string
	env     []string
	as      *runas.Settings
}

// startCheck forks. What is asked of a file system is asked where nobody but this check waits for it.
func (s *Spawner) startCheck(ctx context.Context, c *checked, t messages.Target) (*running, error) {
	app := *t.App
	app.Health = t.Policy
	line := app.CheckCommand(t.Port)
	if app.EnvFault != "" {
		return nil, errors.New(app.EnvFault)
	}
	found := make(chan checkCommand, 1)
	_, err := c.disk.Do(ctx, programPatience, func() error {
		as, err := runas.Resolve(app.Process)
		if err != nil {
			return err
		}
		env := s.checkEnvironment(app, t.Port, as)
		program, err := findCheck(line[0], app.WorkDir, env)
		if err == nil {
			err = errors.Join(checkProgram(program, app.WorkDir), checkDir(app.WorkDir))
		}
		found <- checkCommand{program, env, as}
		return err
	}, nil)
	if err != nil {
		return nil, unadvised(err)
	}
	asked := <-found
	program := asked.program
	forker, err := s.checkForker()
	if err != nil {
		return nil, err
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("pipe", err)
	}
	_ = unix.SetNonblock(pipe[0], true) // it has no error for a pipe; the check's end is left as programs expect it
	reader := os.NewFile(uintptr(pipe[0]), "output of a check")
	writer := os.NewFile(uintptr(pipe[1]), "output of a check")
	cmd := &exec.Cmd{Path: program, Args: line, Env: asked.env, Dir: app.WorkDir,
		SysProcAttr: checkAttributes(asked.as)}
	known := s.forks()
	defer known()
	pid, err := forker.fork(cmd, asked.as, -1, pipe[1], pipe[1])
	_ = writer.Close() // the check has it
	if err != nil {
		_ = reader.Close() // nothing was read
		return nil, unadvised(startError(err, program))
	}
	handle, err := kernel.OpenPidfd(pid)
	if err != nil { // without a handle it could not be waited for
		err = errors.Join(err, commands.KillGroup(pid), reader.Close())
		_, waitErr := unix.Wait4(pid, nil, 0, nil)
		return nil, errors.Join(err, waitErr)
	}
	s.keep(handle, pid)
	s.checks.mu.Lock()
	c.pid = pid
	s.checks.mu.Unlock()
	r := &running{pid: pid, handle: handle, output: commands.NewHead(reader, checkOutput), over: make(chan struct{})}
	s.work.Go(r.output.Read)
	return r, nil
}

// checkAttributes has a check end with this manager. One of another user is started by a thread that ends at once, with
// which it would end, too: if this manager dies, the next one ends it.
func checkAttributes(as *runas.Settings) *syscall.SysProcAttr {
	if as != nil {
		return &syscall.SysProcAttr{Setsid: true}
	}
	return commands.Alone(nil)
}

// checkForker returns the thread that forks checks. As long as it lives, they may.
func (s *Spawner) checkForker() (*forker, error) {
	s.checks.mu.Lock()
	defer s.checks.mu.Unlock()
	var err error
	if s.checks.forker == nil {
		s.checks.forker, err = newForker(s.work.Go, s.log)
	}
	return s.checks.forker, err
}

// close lets the thread end. Nobody calls RunCheck any more.
func (k *checks) close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.forker == nil {
		return nil
	}
	return k.forker.close()
}

// tend waits for the end of a check, and ends its group. The group has its number as long as its first process is not
// reaped.
func (s *Spawner) tend(ctx context.Context, c *checked, r *running) {
	ended := make(chan error, 1)
	s.exits.await(r.handle, func(err error) { ended <- err })
	kill := func() {
		if err := commands.KillGroup(r.pid); err != nil {
			s.log.Error("the command of a health check cannot be ended", "pid", r.pid, "error", err)
		}
	}
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		if !r.handle.Ended() { // else it was in time, and we are late
			r.err = ctx.Err()
			kill()
		}
		err = <-ended
	case <-s.quit:
		r.err = ErrClosed
		kill()
		err = <-ended
	}
	if err != nil {
		// the Spawner is closed, and it hangs in the kernel: the end of the thread that forked it has ended it, too
		r.output.Stop()
		r.err = ErrClosed
		close(r.over)
		return
	}
	kill()
	r.output.Last(checkDrains)
	status, err := kernel.Reap(r.pid)
	if errors.Is(err, syscall.EAGAIN) { // a debugger keeps it
		s.reapLater(r.pid)
	}
	s.drop(r.handle)
	switch {
	case r.err != nil:
	case err != nil:
		r.err = fmt.Errorf("its exit status cannot be had: %w", err)
	case status.Signaled():
		r.exit = messages.Exit{Code: -1, Signal: signalName(status.Signal()), Known: true, At: time.Now()}
	default:
		r.exit = messages.Exit{Code: status.ExitStatus(), Known: true, At: time.Now()}
	}
	s.checks.end(c)
	close(r.over)
}

// findCheck returns the program as a path: a bare name is looked up in the PATH of the environment that the check gets,
// any other is relative to the directory it runs in.
func findCheck(name, dir string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		return filepath.Abs(name)
	}
	for _, v := range env {
		path, is := strings.CutPrefix(v, "PATH=")
		if !is {
			continue
		}
		for _, in := range filepath.SplitList(path) {
			if !filepath.IsAbs(in) {
				continue
			}
			found := filepath.Join(in, name)
			if info, err := os.Stat(found); err == nil && info.Mode().IsRegular() &&
				unix.Faccessat(unix.AT_FDCWD, found, unix.X_OK, unix.AT_EACCESS) == nil {
				return found, nil
			}
		}
		return "", fmt.Errorf("%q is in no directory of its PATH, %s", name, path)
	}
	return "", fmt.Errorf("%q is to be looked up, and there is no PATH in its environment", name)
}

// unadvised is the error without advice, which is for a program that is an instance.
func unadvised(err error) error {
	var start *messages.StartError
	if errors.As(err, &start) {
		return &messages.StartError{Fault: start.Fault, Path: start.Path, Err: start.Err}
	}
	return err
}
