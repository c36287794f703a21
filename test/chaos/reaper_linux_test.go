package chaos

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// reaper is what init is elsewhere: it reaps the orphans that fall to this process. What the tests start themselves
// they wait for themselves, so that is left alone.
type reaper struct {
	mu  sync.Mutex
	own map[int]bool // started here, by pid
}

// start starts a command, and counts its process as our own.
func (r *reaper) start(cmd *exec.Cmd) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := cmd.Start()
	if err == nil {
		if r.own == nil {
			r.own = map[int]bool{}
		}
		r.own[cmd.Process.Pid] = true
	}
	return err
}

// wait waits for a command that start started.
func (r *reaper) wait(cmd *exec.Cmd) error {
	err := cmd.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.own, cmd.Process.Pid)
	return err
}

// output runs a command to its end.
func (r *reaper) output(cmd *exec.Cmd) ([]byte, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := r.start(cmd); err != nil {
		return nil, err
	}
	err := r.wait(cmd)
	return out.Bytes(), err
}

// begin reaps until the function returned is called.
func (r *reaper) begin() (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-time.After(15 * time.Millisecond):
				r.reap()
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

func (r *reaper) reap() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, pid := range children(os.Getpid()) {
		if !r.own[pid] {
			_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil) // most of them live
		}
	}
}

// children returns the children of a process.
func children(pid int) (pids []int) {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil // it has ended
	}
	for _, task := range tasks {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, task.Name()))
		if err != nil {
			continue // a thread that has ended
		}
		for _, word := range strings.Fields(string(text)) {
			if n, err := strconv.Atoi(word); err == nil {
				pids = append(pids, n)
			}
		}
	}
	return pids
}
