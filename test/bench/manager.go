package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// scene is what a manager finds.
type scene struct {
	dir       string // its own, empty
	files     string // likewise, not below /dev, from where a daemon would not read a configuration
	n         int    // so many instances are to run at first
	more      int    // so many may be added
	firstPort int
	lastPort  int
	payload   string        // the program of an instance
	extra     []string      // its further arguments
	probe     time.Duration // between two probes of an instance
	quiet     bool          // what the manager logs is thrown away
	board     *board
	family    *family
}

// manager is what is measured: the limit or a procman. It runs at most once at a time.
type manager interface {
	// start executes it. What comes first is process().began.
	start() error
	process() *process
	// answered returns when every instance had answered a probe, by the manager's own account.
	answered(ctx context.Context) (at int64, err error)
	// ways are those in which one instance can be added.
	ways() []way
}

// way is one in which an instance is added: ask says when it was asked for. It is called once more for each further
// one.
type way struct {
	row string
	ask func(ctx context.Context) (at int64, err error)
}

// contestant makes managers of one kind.
type contestant struct {
	name    string
	program string // its executable, of which nothing else on this host is
	open    func(program string, s scene) manager
}

// stop ends a manager and all its instances, and returns how long that took.
func stop(ctx context.Context, m manager) (time.Duration, error) {
	at := now()
	if err := m.process().signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	ended, err := m.process().wait(ctx)
	return time.Duration(ended - at), err
}

// theLimit is testdata/limit.c at work.
type theLimit struct {
	scene
	program string
	p       *process
	lines   chan string
}

func openLimit(program string, s scene) manager { return &theLimit{program: program, scene: s} }

func (l *theLimit) process() *process { return l.p }

func (l *theLimit) start() error {
	out := filepath.Join(l.dir, "out")
	if err := os.Mkdir(out, 0o700); err != nil {
		return err
	}
	args := []string{"-n", strconv.Itoa(l.n), "-more", strconv.Itoa(l.more), "-port", strconv.Itoa(l.firstPort),
		"-payload", l.payload,
		"-board", l.board.path, "-dir", out, "-probe", strconv.FormatInt(l.probe.Milliseconds(), 10)}
	if len(l.extra) > 0 {
		args = append(append(args, "--"), l.extra...)
	}
	cmd := exec.Command(l.program, args...)
	cmd.Stderr = os.Stderr
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd.Stdout = write
	l.lines = make(chan string, 1)
	l.p, err = l.family.launch(cmd)
	_ = write.Close() // the child has it
	if err != nil {
		_ = read.Close() // nothing was read
		return err
	}
	go func() {
		defer read.Close()
		for s := bufio.NewScanner(read); s.Scan(); {
			select {
			case l.lines <- s.Text():
			default: // the first line is the one that counts
			}
		}
		close(l.lines)
	}()
	return nil
}

func (l *theLimit) answered(ctx context.Context) (int64, error) {
	select {
	case line, ok := <-l.lines:
		text, found := strings.CutPrefix(line, "answered ")
		if !ok || !found {
			return 0, fmt.Errorf("the limit ended before all had answered: %q", line)
		}
		return strconv.ParseInt(text, 10, 64)
	case <-ctx.Done():
		return 0, fmt.Errorf("the limit: not all have answered: %w", context.Cause(ctx))
	}
}

func (l *theLimit) ways() []way {
	return []way{{row: "add", ask: func(context.Context) (int64, error) {
		at := now()
		return at, l.p.signal(syscall.SIGUSR1)
	}}}
}
