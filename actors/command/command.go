package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// Spec is a command to be run.
type Spec struct {
	Args  []string // the program, a path or a name in PATH, and its arguments
	Env   []string // all of its environment, as NAME=VALUE
	Dir   string   // where it starts; empty: where this process is
	Input []byte   // what it reads; at most [MaxInput]
	Keep  int      // so many bytes of what it writes, stdout and stderr together, are returned
	// Attr are further attributes of the process, as its user; they are not changed. It gets a session of its own in
	// any case.
	Attr *syscall.SysProcAttr
}

// MaxInput is how many bytes of input a command can be given: they lie in a pipe before it starts, so that nobody waits
// for it to read them.
const MaxInput = 60 << 10

// Run runs the command and returns the first bytes that it wrote. Without an error it has exited with 0; else that is
// the cause of the end of ctx, by which the command was ended, an [exec.ExitError], or why it could not be started.
//
// When Run returns, no process of the command's group lives: neither one that it has left behind, nor one that is in
// the way of its end. If this process is killed, the command itself is killed by the kernel, on Linux.
func Run(ctx context.Context, s Spec) (output []byte, err error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if len(s.Args) == 0 || len(s.Input) > MaxInput {
		return nil, fmt.Errorf("a command has at least its program, and at most %d bytes of input", MaxInput)
	}
	in, err := filled(s.Input)
	if err != nil {
		return nil, err
	}
	defer in.Close() // it is only read
	from, to, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	// The kernel kills the command when this thread ends, and not when the process does: it must be there until then.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command(s.Args[0], s.Args[1:]...)
	cmd.Env, cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = s.Env, s.Dir, in, to, to
	cmd.SysProcAttr = Alone(s.Attr)
	if cmd.Env == nil {
		cmd.Env = []string{} // nil would be that of this process
	}
	err = cmd.Start()
	_ = to.Close() // nothing was written through it here
	if err != nil {
		return nil, errors.Join(err, from.Close())
	}
	kept := NewHead(from, s.Keep)
	go kept.Read() // until Last
	g := group{pid: cmd.Process.Pid}
	unhook := context.AfterFunc(ctx, g.kill)
	err = g.end(cmd)
	ended := !unhook()
	kept.Last(patience)
	if err != nil && ended {
		err = context.Cause(ctx)
	}
	return kept.First(), err
}

// patience is how long the output is read of a command that has ended.
const patience = time.Second

// filled returns a pipe with what is to be read.
func filled(input []byte) (*os.File, error) {
	from, to, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	_, err = to.Write(input)
	if err = errors.Join(err, to.Close()); err != nil {
		return nil, errors.Join(err, from.Close())
	}
	return from, nil
}

// group is that of a command. Its number is nobody else's until the command is reaped.
type group struct {
	pid    int
	mu     sync.Mutex
	reaped bool
}

func (g *group) kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.killLocked()
}

func (g *group) killLocked() {
	if !g.reaped {
		_ = KillGroup(g.pid) // of an own child it is allowed
	}
}
