package leash

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"procman/actors"
	"procman/actors/kernel"
	"procman/actors/spawn"
	"procman/messages"
	"procman/supervisor/fleet/member"
	"procman/test/fake"
)

// TestMain is also what the leash of Start is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == Command {
		log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
		l, err := New(messages.StateDir(os.Args[3]), Options{Lock: os.NewFile(lockFD, "lock"), Logger: log})
		if err != nil {
			panic(err)
		}
		l.Guard(context.Background())
		return
	}
	if dir := os.Getenv(roleVariable); dir != "" {
		halfway(messages.StateDir(dir))
		return
	}
	fake.Unlogged()
	fake.Crowd()
	goleak.VerifyTestMain(m)
}

const patience = time.Minute

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(10 * time.Millisecond) {
		require.True(t, time.Now().Before(end), what)
	}
}

// fakeClock stands still until it is moved.
type fakeClock struct {
	mu      sync.Mutex
	now     int64
	moved   chan struct{}
	waiting int64 // until when somebody waits; 0: nobody does
}

func newClock() *fakeClock { return &fakeClock{now: int64(time.Hour), moved: make(chan struct{})} }

func (c *fakeClock) Now() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) Wait(ctx context.Context, until int64) {
	for {
		c.mu.Lock()
		moved, now := c.moved, c.now
		c.waiting = until
		if now >= until {
			c.waiting = 0
		}
		c.mu.Unlock()
		if now >= until {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-moved:
		}
	}
}

// to moves the clock, at once.
func (c *fakeClock) to(now int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
	close(c.moved)
	c.moved = make(chan struct{})
}

// rests waits until the leash sleeps, and returns until when.
func (c *fakeClock) rests(t *testing.T) (until int64) {
	t.Helper()
	eventually(t, "it sleeps", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		until = c.waiting
		return until > c.now
	})
	return until
}

// pass moves the clock on while what is waited for does not hold.
func (c *fakeClock) pass(t *testing.T, what string, holds func() bool) {
	t.Helper()
	eventually(t, what, func() bool { c.to(c.Now() + int64(time.Second)); return holds() })
}

// host is a state directory with a manager, whose processes are real.
type host struct {
	*testing.T
	dir     messages.StateDir
	spawner *spawn.Spawner
	clock   *fakeClock
	file    *File
	boot    string
}

func newHost(t *testing.T) *host {
	h := emptyHost(t)
	var err error
	h.spawner, err = spawn.Open(h.dir, spawn.Options{})
	require.NoError(t, err)
	t.Cleanup(func() {
		h.kill()
		require.NoError(t, h.spawner.Close())
	})
	return h
}

// emptyHost has no manager.
func emptyHost(t *testing.T) *host {
	h := &host{T: t, clock: newClock()}
	var err error
	h.dir, err = resolved(messages.StateDir(t.TempDir()))
	require.NoError(t, err)
	_, h.boot, err = spawn.Records(h.dir)
	require.NoError(t, err)
	h.file = opened(t, h.dir)
	t.Cleanup(h.kill)
	return h
}

// kill ends what shows the state directory.
func (h *host) kill() {
	for _, p := range h.alive() {
		_ = syscall.Kill(p, syscall.SIGKILL)
	}
}

// alive returns the processes that show the state directory.
func (h *host) alive() (pids []int) {
	all, err := kernel.Procfs("/proc").Tagged(context.Background(), nil)
	require.NoError(h, err)
	for _, p := range all {
		if p.Dir == string(h.dir) && !p.Zombie() && p.PID != os.Getpid() {
			pids = append(pids, p.PID)
		}
	}
	return pids
}

// start starts a shell that runs the script and then waits.
func (h *host) start(id messages.InstanceID, script string, extra ...string) actors.Process {
	h.Helper()
	args := []string{"-c", script + "\nwhile :; do sleep 1000; done"}
	app := messages.AppInstance{InstanceID: id, Executable: "/bin/sh", Args: args}
	p, err := h.spawner.Spawn(context.Background(),
		messages.Launch{App: app.WithDefaults(), Run: 1, Port: 43990, Extra: extra})
	require.NoError(h, err)
	return p
}

func (h *host) fence(id messages.InstanceID) {
	h.Helper()
	require.NoError(h, Fence(h.dir, id, Mark{Epoch: 1}))
}

// renew puts a deadline of 8.5 s into force.
func (h *host) renew() member.Record {
	h.Helper()
	d := sample(h.clock.Now())
	d.Boot = h.boot
	require.NoError(h, h.file.Write(d))
	return d
}

// leash is one that guards nothing yet: its ender is asked by the test.
func (h *host) leash() *Leash {
	h.Helper()
	l, err := New(h.dir, Options{Clock: h.clock})
	require.NoError(h, err)
	h.Cleanup(func() {
		l.ender.close()
		_ = l.lock.Close()
	})
	return l
}

// guard starts the leash in this process, by the clock of the test.
func (h *host) guard() (stop func()) {
	h.Helper()
	l, err := New(h.dir, Options{Clock: h.clock, Logger: slog.New(slog.NewTextHandler(h.Output(), nil))})
	require.NoError(h, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); l.Guard(ctx) }()
	stop = func() {
		cancel()
		eventually(h.T, "the leash ends", func() bool {
			h.clock.to(h.clock.Now() + int64(time.Second))
			select {
			case <-ended:
				return true
			default:
				return false
			}
		})
	}
	h.Cleanup(stop)
	return stop
}

func lives(pid int) bool {
	st, err := kernel.Procfs("/proc").Stat(pid)
	return err == nil && !st.Zombie()
}
