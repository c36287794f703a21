package leash

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"procman/actors/record"
	"procman/actors/spawn"
	"procman/messages"
)

// maxLog is how long the log may be when a leash begins.
const maxLog = 1 << 20

// lockPatience is how long a lock is waited for that somebody holds for an instant: who only looks, or a child between
// fork and exec.
const lockPatience = time.Second

// ErrLives says that the state directory has a leash already.
var ErrLives = errors.New("the state directory has a leash")

// New returns the leash of the state directory. The error is ErrLives if there is one.
func New(dir messages.StateDir, o Options) (*Leash, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = bootClock{}
	}
	dir, err := resolved(dir)
	if err != nil {
		return nil, err
	}
	newest, boot, err := spawn.Records(dir)
	if err != nil {
		return nil, err
	}
	if o.Lock == nil {
		if o.Lock, err = take(dir); err != nil {
			return nil, err
		}
	}
	unix.CloseOnExec(int(o.Lock.Fd()))
	starts, err := openStarts(dir)
	if err != nil {
		return nil, errors.Join(err, o.Lock.Close())
	}
	if err := sign(o.Lock, os.Getpid()); err != nil {
		return nil, errors.Join(err, o.Lock.Close(), starts.Close())
	}
	return &Leash{dir: dir, clock: o.Clock, log: o.Logger, lock: o.Lock, ender: &ender{
		dir: dir, boot: boot, proc: "/proc", newest: newest, now: o.Clock.Now, log: o.Logger,
		disk: record.NewDisk("the state disk", 4), starts: starts,
		ending: map[string]bool{}, hung: map[int]uint64{},
	}}, nil
}

// resolved returns the directory as a manager names it in the environment of what it starts.
func resolved(dir messages.StateDir) (messages.StateDir, error) {
	path, err := filepath.Abs(string(dir))
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	return messages.StateDir(path), err
}

// sign writes into the lock file whose it is; 0: it is not known yet.
func sign(f *os.File, pid int) error {
	line := strconv.Itoa(pid) + "\n"
	if _, err := f.WriteAt([]byte(line), 0); err != nil {
		return fmt.Errorf("the leash cannot say that it lives: %w", err)
	}
	return f.Truncate(int64(len(line)))
}

func take(dir messages.StateDir) (*os.File, error) {
	f, err := record.Open(dir.LeashLock(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the lock of the leash cannot be opened: %w", err)
	}
	for deadline := time.Now().Add(lockPatience); ; time.Sleep(5 * time.Millisecond) {
		err := flock(f, unix.LOCK_EX)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.Join(err, f.Close())
		}
		if time.Now().After(deadline) {
			return nil, errors.Join(ErrLives, f.Close())
		}
	}
}

func flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// release gives the lock of the file up, and the file. To close it would not do: a process that is being forked
// meanwhile has all files of this one, with their locks, until it executes its program.
func release(f *os.File) {
	_ = flock(f, unix.LOCK_UN) // what was closed has no lock
	_ = f.Close()              // nothing of it is needed
}

// Living returns the pid of the leash that the state directory has, by what it wrote into its lock; 0: it has not
// written it yet. lives says whether there is one, which the lock tells. An error says that it cannot be told.
func Living(dir messages.StateDir) (pid int, lives bool, err error) {
	f, err := record.Open(dir.LeashLock(), os.O_RDONLY, 0)
	if errors.Is(err, os.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	defer release(f)
	if err := flock(f, unix.LOCK_SH); err == nil {
		return 0, false, nil
	} else if !errors.Is(err, unix.EWOULDBLOCK) {
		return 0, false, err
	}
	text, err := io.ReadAll(io.LimitReader(f, 32))
	if err != nil {
		return 0, true, err
	}
	pid, _ = strconv.Atoi(strings.TrimSpace(string(text))) // one that was taken just now says nothing yet
	return pid, true, nil
}

// Start starts the leash of the state directory, in a session of its own: program is the binary that has the command
// (`procman leash`). It holds the lock before it exists: nobody else can start one meanwhile. The error is ErrLives if
// there is one already. The caller must wait for the process that is returned; it outlives the caller.
func Start(dir messages.StateDir, program string) (*exec.Cmd, error) {
	lock, err := take(dir)
	if err != nil {
		return nil, err
	}
	inherited := false
	defer func() {
		if inherited {
			_ = lock.Close() // the lock is the child's
			return
		}
		release(lock)
	}()
	if err := sign(lock, 0); err != nil {
		return nil, err
	}
	path := dir.LeashLog()
	flag := os.O_WRONLY | os.O_CREATE | os.O_APPEND
	if info, err := os.Lstat(path); err == nil && info.Size() > maxLog {
		flag |= os.O_TRUNC
	}
	log, err := record.Open(path, flag, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the log of the leash cannot be opened: %w", err)
	}
	defer log.Close()
	c := exec.Command(program, Command, "--state-dir", string(dir), "--lock", strconv.Itoa(lockFD))
	c.Dir = "/"
	c.Env = []string{"GOMAXPROCS=1", "GOGC=20", "GOTRACEBACK=single"} // it is small, and stays so
	c.Stdout, c.Stderr = log, log
	c.Args[0] = "procman"
	c.ExtraFiles = []*os.File{lock}
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("the leash cannot be started: %w", err)
	}
	inherited = true
	return c, nil
}

// lockFD is the descriptor by which a leash that is started gets its lock.
const lockFD = 3
