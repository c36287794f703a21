package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"procman/actors/spawn"
	"procman/cmd/procman/systemd"
	"procman/cmd/procman/words"
)

// guard is the new program of an upgrade, in a process of its own, which stands by until that program has taken over in
// the daemon's: a program that begins has no handlers for some milliseconds, in which a signal ends it, and it may find
// that it cannot begin at all. A guard that sees the daemon end is the daemon from then on, with the signal that ended
// it.
//
// Between an upgrade's check and its end there is one; nil: the program knows of none.
type guard struct {
	kill   func() // and wait for its end
	line   *os.File
	passed *os.File // the line as a successor has it; nil: not yet
	pid    int
	once   sync.Once
}

// Variables of guards. Both are for procman's own use, and no child may see them.
const (
	standVariable = "PROCMAN_STAND_BY" // asks a program that is checked to be a guard
	guardVariable = "PROCMAN_GUARD"    // tells a successor its guard: the descriptor of its line, and its pid
)

// The descriptors of a guard: the line from the daemon, whose end is the daemon's, and the daemon's stderr.
const (
	guardLine   = 3
	guardStderr = 4
)

// armed is said on the line when the end of the daemon is to be answered for.
const armed = 'a'

// What is said by a binary that can take over. Any other program may exit with 0, too.
const (
	preflightAnswer = "procman can take over"
	guardAnswer     = preflightAnswer + ", and stands by"
)

// preflightTime is how long a new binary may take to answer.
const preflightTime = 20 * time.Second

// check asks the program whether it can take over. The guard is nil if it can, and does not know how to stand by.
func (s *successor) check(ctx context.Context, args []string) (*guard, error) {
	ctx, cancel := context.WithTimeout(ctx, preflightTime)
	defer cancel()
	line, feed, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer line.Close()
	stdout := answer{whole: make(chan struct{})}
	var stderr bytes.Buffer
	cmd := exec.Command(s.program)
	cmd.Args, cmd.Env, cmd.WaitDelay = args, append(os.Environ(), standVariable+"=1"), time.Second
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = &stdout, &stderr, []*os.File{line, os.Stderr}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, feed.Close())
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	end := func() error {
		_ = cmd.Process.Kill() // it may have ended by itself
		return <-exited
	}
	select {
	case <-stdout.whole:
		return &guard{kill: func() { _ = end() }, line: feed, pid: cmd.Process.Pid}, nil
	case <-ctx.Done():
		err = errors.Join(ctx.Err(), end())
	case err = <-exited:
		if err == nil && strings.TrimSpace(stdout.text.String()) != preflightAnswer {
			err = errors.New("it is no procman that knows how to")
		}
	}
	err = errors.Join(err, feed.Close())
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, reasonIn(stderr.String()))
	}
	return nil, err
}

// reasonIn is what a checked program says of why it cannot: all of it, if procman says it. Of anything else it is the
// first line: a runtime that gets no thread tells of everything it has.
func reasonIn(stderr string) string {
	text := strings.TrimSpace(stderr)
	if strings.HasPrefix(text, "procman: ") {
		return text
	}
	return words.Head(text)
}

// answer is what a checked program says. It is whole when it is that of a guard, which goes on.
type answer struct {
	text  bytes.Buffer
	whole chan struct{}
	is    bool
}

func (a *answer) Write(p []byte) (int, error) {
	if a.text.Len() < 1<<16 {
		a.text.Write(p)
	}
	if !a.is && a.text.String() == guardAnswer+"\n" {
		a.is = true
		close(a.whole)
	}
	return len(p), nil
}

// arm has the guard answer for the end of the daemon from now on. It returns the variable by which the successor in
// this process knows it; empty if there is none.
func (g *guard) arm() (string, error) {
	if g == nil {
		return "", nil
	}
	variable, err := g.pass()
	if err == nil {
		_, err = g.line.Write([]byte{armed})
	}
	return variable, err
}

// pass returns the variable by which another program in this process knows the guard.
func (g *guard) pass() (string, error) {
	fd, err := syscall.Dup(int(g.line.Fd())) // which stays open over an exec
	if err == nil {
		g.passed = os.NewFile(uintptr(fd), "guard")
	}
	return fmt.Sprintf("%s=%d,%d", guardVariable, fd, g.pid), err
}

// dismiss ends the guard, which is needed no more.
func (g *guard) dismiss() {
	if g == nil {
		return
	}
	g.once.Do(func() {
		g.kill()
		_ = g.line.Close() // nobody reads it any more
		if g.passed != nil {
			_ = g.passed.Close()
		}
	})
}

// guarded returns the guard that the predecessor in this process has left; nil if there is none.
func guarded(env func(string) string) *guard {
	text := env(guardVariable)
	_ = os.Unsetenv(guardVariable) // fails for names that are none
	line, process, _ := strings.Cut(text, ",")
	fd, err := strconv.Atoi(line)
	pid, pidErr := strconv.Atoi(process)
	if err != nil || pidErr != nil || fd < 3 || pid <= 0 {
		return nil
	}
	syscall.CloseOnExec(fd)
	p, err := os.FindProcess(pid) // it is our child, and nobody else reaps it yet
	if err != nil {
		p = nil
	}
	return &guard{line: os.NewFile(uintptr(fd), "guard"), pid: pid, kill: func() {
		if p != nil {
			_ = p.Kill()
			_, _ = p.Wait() // whoever reaps it: it is gone
		}
	}}
}

// guardTime is how long a successor may take to take over until its guard leaves it to itself.
const guardTime = 2 * time.Minute

// standBy is a guard's life. It returns true if the daemon has ended and this process is to go on in its place; what
// ended that has been heard then.
func (o *Options) standBy(patience time.Duration) (bool, error) {
	daemon := WatchProcess(os.Getppid())
	defer daemon.Close()
	line := os.NewFile(guardLine, "line")
	defer line.Close()
	syscall.CloseOnExec(guardLine)
	if _, err := fmt.Fprintln(o.Stdout, guardAnswer); err != nil {
		return false, err
	}
	if err := takeStderr(); err != nil {
		return false, err
	}
	ended := make(chan bool, 1)
	go func() { // it ends with the process at the latest
		said := make([]byte, 1)
		_, err := line.Read(said)
		isArmed := err == nil && said[0] == armed
		for err == nil {
			_, err = line.Read(said)
		}
		ended <- isArmed
	}()
	select {
	case isArmed := <-ended:
		if !isArmed {
			return false, nil
		}
	case <-time.After(patience):
		fmt.Fprintf(systemd.ErrorWriter(o.Stderr), "procman: process %[1]d has not taken over within %[2]v, and "+
			"nobody stands by for it any more. If it does not answer, "+
			"`kill -9 %[1]d` and start a daemon: the instances run on, and it adopts them\n", os.Getppid(), patience)
		return false, nil
	}
	how, known := daemon.outcome()
	told := how.Signal()
	switch {
	case known && how.Signaled() && (told == syscall.SIGTERM || told == syscall.SIGINT):
		o.signals.hearOnce(told)
	case known && how.Signaled() && (told == syscall.SIGKILL || told == syscall.SIGQUIT),
		known && how.Exited() && how.ExitStatus() == 0:
		return false, nil // as it was wanted
	case o.Env("NOTIFY_SOCKET") != "":
		return false, nil // the service manager starts another
	}
	fmt.Fprintf(systemd.ErrorWriter(o.Stderr), "procman: the daemon has ended while it was replaced (%s); process %d "+
		"goes on in its place\n", howEnded(how, known), os.Getpid())
	return true, nil
}

func howEnded(how syscall.WaitStatus, known bool) string {
	switch {
	case !known:
		return "how is not known"
	case how.Signaled():
		return "by the signal " + how.Signal().String()
	}
	return fmt.Sprintf("with code %d", how.ExitStatus())
}

// Preflight says, to the daemon that is to be replaced, whether this program could take over. It returns true if it has
// stood by, and is to [options.run] in the place of that daemon.
func (o *Options) Preflight() (goesOn bool, err error) {
	stands := o.Env(standVariable) != ""
	if stands {
		_ = os.Unsetenv(standVariable) // fails for names that are none
		o.signals = newSignals()
		o.signals.open()
	}
	_, file, err := o.Load()
	if err != nil {
		return false, err
	}
	if file.Fleet != nil && o.FleetStore == nil { // it is that program which would take over, and stands by
		var env []string
		e := o.signals
		if stands {
			env = []string{standVariable + "=1"}
		} else {
			e = newSignals()
		}
		return false, o.toFleet(env, e)
	}
	if err := spawn.Check(file.StateDir); err != nil {
		return false, fmt.Errorf("the state directory cannot be taken over: %w", err)
	}
	if !stands {
		_, err = fmt.Fprintln(o.Stdout, preflightAnswer)
		return false, err
	}
	o.standsIn, err = o.standBy(guardTime)
	return o.standsIn, err
}
