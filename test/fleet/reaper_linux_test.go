package fleet

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// reaper waits for every child of this process. So no process is reaped between a look at it and a signal to it.
type reaper struct {
	mu  sync.Mutex
	own map[int]*process
}

// process is one that a test started.
type process struct {
	pid    int
	ended  chan struct{}
	status unix.WaitStatus // valid once it has ended
}

func (r *reaper) start(cmd *exec.Cmd) (*process, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{pid: cmd.Process.Pid, ended: make(chan struct{})}
	r.own[p.pid] = p
	return p, nil
}

// run runs a command to its end.
func (r *reaper) run(cmd *exec.Cmd) (string, error) {
	out, err := os.CreateTemp("", "procman-fleet-out-")
	if err != nil {
		return "", err
	}
	defer out.Close()
	defer os.Remove(out.Name())
	cmd.Stdout, cmd.Stderr = out, out
	p, err := r.start(cmd)
	if err != nil {
		return "", err
	}
	<-p.ended
	text, err := io.ReadAll(io.NewSectionReader(out, 0, 1<<20))
	if err == nil && p.status != 0 {
		err = fmt.Errorf("%v: exit %d, signal %v", cmd.Args, p.status.ExitStatus(), p.status.Signal())
	}
	return string(text), err
}

func (r *reaper) begin() (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			for r.reap() {
			}
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

func (r *reaper) reap() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	var status unix.WaitStatus
	pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
	if err != nil || pid <= 0 {
		return errors.Is(err, unix.EINTR)
	}
	if p := r.own[pid]; p != nil {
		p.status = status
		close(p.ended)
		delete(r.own, pid)
	}
	return true
}

// signal sends one to a process that may have ended.
func (r *reaper) signal(p *process, s syscall.Signal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.own[p.pid] == p {
		_ = unix.Kill(p.pid, s) // it is a zombie at worst
	}
}

func (p *process) alive() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

func (p *process) kill() {
	ours.signal(p, unix.SIGKILL)
	<-p.ended
}
