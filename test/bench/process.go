package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is one that the bench has started itself, and waits for.
type process struct {
	cmd   *exec.Cmd
	began int64 // on the clock of now, before the fork
	ended int64 // valid once done is closed
	err   error // likewise
	done  chan struct{}
}

// family knows the children of this process that somebody waits for.
type family struct {
	mu  sync.Mutex
	own map[int]bool
}

func newFamily() *family { return &family{own: map[int]bool{}} }

func (f *family) launch(cmd *exec.Cmd) (*process, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := &process{cmd: cmd, done: make(chan struct{}), began: now()}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	f.own[p.pid()] = true
	go func() {
		p.err = cmd.Wait()
		p.ended = now()
		f.mu.Lock()
		delete(f.own, p.pid())
		f.mu.Unlock()
		close(p.done)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// wait returns when the process has ended.
func (p *process) wait(ctx context.Context) (at int64, err error) {
	select {
	case <-p.done:
		return p.ended, nil
	case <-ctx.Done():
		return 0, fmt.Errorf("%s has not ended: %w", filepath.Base(p.cmd.Path), context.Cause(ctx))
	}
}

// until looks every pause whether it is so.
func until(ctx context.Context, what string, pause time.Duration, so func() (bool, error)) error {
	for {
		yes, err := so()
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if yes {
			return nil
		}
		if err := sleep(ctx, pause); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// executing returns the processes whose program is the file. The bench gives each contestant a file of its own.
func executing(program string) (pids []int, err error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if at, err := os.Readlink("/proc/" + e.Name() + "/exe"); err == nil && at == program {
			// else it is gone, or not ours
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// endAll kills every process whose program is the file, and returns when there is none.
func endAll(program string) error {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		pids, err := executing(program)
		if err != nil || len(pids) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d processes of %s live after KILL, the first is %d", len(pids), program, pids[0])
		}
		for _, pid := range pids {
			err = errors.Join(err, kill(pid, program))
		}
		if err != nil {
			return err
		}
	}
}

// kill kills the process if it is one of the program's, still.
func kill(pid int, program string) error {
	p, err := os.FindProcess(pid) // holds a pidfd: what is looked at is what is killed
	if err != nil {
		return nil // gone
	}
	defer func() { _ = p.Release() }() // has no error to tell here
	if at, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err != nil || at != program {
		return nil
	}
	if err := p.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("killing %d: %w", pid, err)
	}
	return nil
}

// field returns the number after the name in a file of /proc.
func field(path, name string) (float64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(line, name+":"); found {
			return strconv.ParseFloat(strings.Fields(rest)[0], 64)
		}
	}
	return 0, fmt.Errorf("%s has no %s", path, name)
}

// total adds up what a measure of each process is.
func total(pids []int, of func(pid int) (float64, error)) (sum float64, err error) {
	for _, pid := range pids {
		v, err := of(pid)
		if err != nil {
			return 0, err
		}
		sum += v
	}
	return sum, nil
}

// pss returns the proportional set size in bytes.
func pss(pid int) (float64, error) {
	kib, err := field(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss")
	return kib * 1024, err
}

func threads(pid int) (float64, error) { return field(fmt.Sprintf("/proc/%d/status", pid), "Threads") }

// switches returns how often the threads of the process have gone to sleep or were made to wait: each wake-up is
// followed by one.
func switches(pid int) (float64, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for _, t := range tasks {
		for _, kind := range []string{"voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"} {
			n, err := field(t, kind)
			if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
				break // the thread has ended
			}
			if err != nil {
				return 0, err
			}
			sum += n
		}
	}
	return sum, nil
}
