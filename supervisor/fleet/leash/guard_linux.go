package leash

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"procman/actors/kernel"
	"procman/actors/record"
	"procman/actors/spawn"
	"procman/messages"
	"procman/supervisor/fleet/member"
)

// upPatience is how long a leash may take until it guards: a busy host starts a program in seconds.
const upPatience = 20 * time.Second

// Guard is what a daemon has of the leash of its state directory, whose lock it holds. Its methods may wait for the
// disk, and may be called by any goroutine, but for Write.
type Guard struct {
	dir     messages.StateDir
	program string
	self    starter
	file    *File // of Write

	starting sync.Mutex // held while a leash is looked for or started
	watching sync.WaitGroup
	mu       sync.Mutex
	closed   bool
	watched  map[*os.File]int // its pid, by its pidfd
}

// NewGuard touches no file. program is the binary that has the command; empty: the one that runs, whatever its name
// means by now.
func NewGuard(dir messages.StateDir, program string) (*Guard, error) {
	dir, err := resolved(dir)
	if err != nil {
		return nil, err
	}
	_, boot, err := spawn.Records(dir)
	if err != nil {
		return nil, err
	}
	st, err := kernel.Procfs("/proc").Stat(os.Getpid())
	if err != nil {
		return nil, fmt.Errorf("the leash could not tell whom to end: %w", err)
	}
	if program == "" {
		program = "/proc/self/exe"
	}
	return &Guard{dir: dir, program: program, self: starter{Boot: boot, PID: os.Getpid(), Start: st.Start},
		watched: map[*os.File]int{}}, nil
}

// Boot returns what tells this boot of the host from any other.
func (g *Guard) Boot() string { return g.self.Boot }

// Load returns what a predecessor left: zero if that is nothing. With an error there may be something which cannot be
// read: it is worth nothing, and the leash ends what is fenced.
func (g *Guard) Load() (member.Record, error) {
	r, err := Read(g.dir)
	if errors.Is(err, ErrNone) {
		return member.Record{}, nil
	}
	return r, err
}

// Write puts the record into force; it is on disk when Write returns nil. It may hang for as long as the disk does. One
// goroutine calls it. A leash that was stopped, which guards nobody, is woken.
func (g *Guard) Write(r member.Record) error {
	g.wake()
	if g.file == nil {
		f, err := Open(g.dir)
		if err != nil {
			return err
		}
		g.file = f
	}
	return g.file.Write(r)
}

// wake has a leash go on that somebody has stopped.
func (g *Guard) wake() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for fd, pid := range g.watched {
		st, err := kernel.Procfs("/proc").Stat(pid)
		if err != nil || st.State != 'T' {
			continue
		}
		if raw, err := fd.SyscallConn(); err == nil {
			// or it is tried at the next renewal
			_ = raw.Control(func(fd uintptr) { _ = unix.PidfdSendSignal(int(fd), unix.SIGCONT, nil, 0) })
		}
	}
}

// Fence marks the instance, if it is not marked so already. It must have succeeded before a process of it is started.
func (g *Guard) Fence(id messages.InstanceID, m Mark) error {
	if had, err := MarkOf(g.dir, id); err == nil && had == m {
		return nil
	}
	return Fence(g.dir, id, m)
}

// Unfence takes the mark away, after nothing of the instance lives.
func (g *Guard) Unfence(id messages.InstanceID) error { return Unfence(g.dir, id) }

// Marked returns the instances that are fenced, and for what. A mark that cannot be read is there as the zero Mark.
func (g *Guard) Marked() (map[messages.InstanceID]Mark, error) {
	ids, err := Marked(g.dir)
	marks := make(map[messages.InstanceID]Mark, len(ids))
	for _, id := range ids {
		marks[id], _ = MarkOf(g.dir, id) // it is fenced all the same
	}
	return marks, err
}

// Enter takes the start lock, with others that do. It is held from before the question whether something fenced may be
// started until it is on record. At the deadline the leash waits for it, for a moment, and then ends this process.
func (g *Guard) Enter() (leave func(), err error) {
	f, err := enter(g.dir, g.self)
	if err != nil {
		return nil, err
	}
	return func() { release(f) }, nil
}

// Ensure returns nil when a leash lives, and guards: the one that is there, or a new one. Then gone is called once, by
// another goroutine, when that has ended, unless the Guard is closed before.
func (g *Guard) Ensure(gone func(why string)) error {
	g.starting.Lock()
	defer g.starting.Unlock()
	deadline := time.Now().Add(upPatience)
	var started *os.File // what was started here, as its pidfd
	defer func() {
		if started != nil {
			end(started)
		}
	}()
	for {
		pid, lives, err := Living(g.dir)
		switch {
		case err != nil:
			return fmt.Errorf("it cannot be told whether there is a leash: %w", err)
		case lives && pid != 0:
			fd, err := pidfd(pid)
			if errors.Is(err, unix.ESRCH) {
				break // it has ended just now
			}
			if err != nil {
				return err
			}
			// Now that it is held: does that very number still say that it is the leash?
			if again, lives, err := Living(g.dir); err != nil || !lives || again != pid {
				_ = fd.Close() // it was somebody else's
				break
			}
			if started != nil {
				_ = started.Close() // it is the same
				started = nil
			}
			return g.watch(fd, pid, gone)
		case lives:
		case started != nil:
			return fmt.Errorf("a leash was started and ended at once: %s", lastWords(g.dir))
		default:
			c, err := Start(g.dir, g.program)
			if err == nil {
				started, err = pidfd(c.Process.Pid)
				_ = c.Process.Release() // it is watched by the pidfd
			}
			if err != nil && !errors.Is(err, ErrLives) {
				return err
			}
		}
		g.mu.Lock()
		closed := g.closed
		g.mu.Unlock()
		if closed {
			return os.ErrClosed
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("a leash was started and does not say that it guards, for %v: %s", upPatience,
				lastWords(g.dir))
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// end ends a leash that never came up.
func end(started *os.File) {
	defer started.Close()
	raw, err := started.SyscallConn()
	if err != nil {
		return
	}
	// or it has ended by itself
	_ = raw.Control(func(fd uintptr) { _ = unix.PidfdSendSignal(int(fd), unix.SIGKILL, nil, 0) })
	_ = raw.Read(ended)
	_ = raw.Control(reap)
}

// lastWords returns the end of what the leash has said.
func lastWords(dir messages.StateDir) string {
	f, err := record.Open(dir.LeashLog(), os.O_RDONLY, 0)
	if err != nil {
		return "its log cannot be read: " + err.Error()
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "its log cannot be read: " + err.Error()
	}
	const most = 400
	text, _ := io.ReadAll(io.NewSectionReader(f, max(0, info.Size()-most), most)) // what can be read is a help
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return last
	}
	return "it has said nothing in " + dir.LeashLog()
}

// pidfd returns the process as a file for which the runtime can wait without a thread.
func pidfd(pid int) (*os.File, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("the leash, process %d, cannot be watched: %w", pid, err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), "pidfd"), nil
}

// ended reports whether the process of the pidfd has.
func ended(fd uintptr) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(p, 0)
	return err == nil && n == 1
}

// reap collects the process if it is a child of this one.
func reap(fd uintptr) { _ = unix.Waitid(unix.P_PIDFD, int(fd), nil, unix.WEXITED|unix.WNOHANG, nil) }

func (g *Guard) watch(fd *os.File, pid int, gone func(why string)) error {
	raw, err := fd.SyscallConn()
	if err != nil {
		return errors.Join(err, fd.Close())
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return errors.Join(os.ErrClosed, fd.Close())
	}
	g.watched[fd] = pid
	g.watching.Go(func() {
		over := false
		err := raw.Read(func(fd uintptr) bool { over = ended(fd); return over })
		_ = raw.Control(reap) // it is nobody else's child that could be meant
		g.mu.Lock()
		closed := g.closed
		delete(g.watched, fd)
		g.mu.Unlock()
		_ = fd.Close() // nothing was written
		switch {
		case closed:
		case over:
			gone(fmt.Sprintf("the leash, process %d, has ended", pid))
		default:
			gone(fmt.Sprintf("the leash, process %d, cannot be watched: %v", pid, err))
		}
	})
	return nil
}

// Close ends what watches the leash, which lives on.
func (g *Guard) Close() error {
	g.mu.Lock()
	g.closed = true
	for fd := range g.watched {
		_ = fd.Close() // it wakes who waits
	}
	g.mu.Unlock()
	g.watching.Wait()
	if g.file == nil {
		return nil
	}
	return g.file.Close()
}

// Dismiss tells the leash of the directory, if there is one, to go when it guards nobody.
func Dismiss(dir messages.StateDir) error {
	pid, lives, err := Living(dir)
	if err != nil || !lives || pid == 0 {
		return err
	}
	fd, err := kernel.OpenPidfd(pid)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer fd.Close()
	if again, lives, err := Living(dir); err != nil || !lives || again != pid {
		return err
	}
	if err := fd.Signal(unix.SIGTERM); !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}
