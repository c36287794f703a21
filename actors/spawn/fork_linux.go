package spawn

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// forker starts commands, one after the other, on a thread of its own that has a table of descriptors of its own with next to
// nothing in it. For a fork copies the table of the thread that forks, and the exec closes what was copied, one by one: at a
// thousand instances that is a third of what a start costs, and at ten thousand most of it.
// Nor is a signal blocked on that thread, whatever was blocked when the manager was started: a child inherits the mask, and
// one in which TERM is blocked could not be asked to end.
type forker struct {
	orders chan func() // for the thread
	log    *slog.Logger

	mu         sync.Mutex // held while a command is started
	send, take int        // files go to the thread through this pair of sockets; -1: it shares the table of all threads
}

// newForker runs until close is called.
func newForker(start func(func()), log *slog.Logger) (*forker, error) {
	// Where the runtime waits has to be there before the table is copied.
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(r.Close(), w.Close()); err != nil {
		return nil, err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := &forker{orders: make(chan func()), log: log, send: pair[0], take: pair[1]}
	onThreadOfItsOwn(start, f.run)
	err = f.do(func() error { return ownTable(f.take) })
	if !errors.Is(err, errShared) {
		return f, errors.Join(err, unix.Close(pair[1]))
	}
	log.Debug("a start costs more the more instances there are", "error", err)
	f.send, f.take = -1, -1
	return f, errors.Join(unix.Close(pair[0]), unix.Close(pair[1]))
}

// onThreadOfItsOwn runs do on a thread that ends with it, and is not the first one: what others see of this process in /proc is
// what that one has.
func onThreadOfItsOwn(start func(func()), do func()) {
	start(func() {
		runtime.LockOSThread() // for good
		if unix.Gettid() != unix.Getpid() {
			do()
			return
		}
		defer runtime.UnlockOSThread()
		locked := make(chan struct{})
		start(func() {
			runtime.LockOSThread()
			close(locked)
			do()
		})
		<-locked
	})
}

// run serves orders until close is called.
func (f *forker) run() {
	var none unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &none, nil); err != nil {
		f.log.Warn("what signals an instance has blocked is what the manager had", "error", err)
	}
	for do := range f.orders {
		do()
	}
	if f.take >= 0 {
		_ = unix.Close(f.take) // of a thread that ends
	}
}

// do has the thread call the function.
func (f *forker) do(what func() error) error {
	done := make(chan error, 1)
	f.orders <- func() { done <- what() }
	return <-done
}

// close lets the thread end. Nobody calls fork any more.
func (f *forker) close() error {
	close(f.orders)
	if f.send < 0 {
		return nil
	}
	return unix.Close(f.send)
}

// ownTable gives the calling thread a table of descriptors of its own that has 0 to 2, the one, and what the Go runtime waits
// with: any thread may come to look for what is ready, this one too.
func ownTable(keep int) error {
	// Not by unshare, which some sandboxes forbid.
	if err := unix.CloseRange(math.MaxInt32, math.MaxInt32, unix.CLOSE_RANGE_UNSHARE); err != nil {
		return fmt.Errorf("%w: %w", errShared, err)
	}
	entries, err := os.ReadDir(threadFiles)
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= 2 || fd == keep {
			continue
		}
		switch what, err := os.Readlink(filepath.Join(threadFiles, e.Name())); {
		case err != nil: // the directory that was read
		case what == "anon_inode:[eventpoll]", what == "anon_inode:[eventfd]":
		default:
			_ = unix.Close(fd) // the other threads have it as before
		}
	}
	return err
}

var errShared = errors.New("a thread cannot have a table of descriptors of its own")

// threadFiles shows what the calling thread has open.
const threadFiles = "/proc/thread-self/fd"

// fork starts the program, with those descriptors as its own from 0 on. It returns once the program is executed, or could not be.
func (f *forker) fork(program string, args []string, attr *syscall.ProcAttr, files ...int) (pid int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.send >= 0 {
		if err := unix.Sendmsg(f.send, []byte{0}, unix.UnixRights(files...), nil, unix.MSG_NOSIGNAL); err != nil {
			return 0, fmt.Errorf("files cannot be handed to the thread that forks: %w", err)
		}
	}
	err = f.do(func() error {
		given := files
		if f.take >= 0 {
			if given, err = receive(f.take, len(files)); err != nil {
				return err
			}
			defer closeAll(given)
		}
		for _, fd := range given {
			attr.Files = append(attr.Files, uintptr(fd))
		}
		// Not os/exec, which makes a handle of the process for a Wait of its own.
		pid, err = syscall.ForkExec(program, args, attr)
		return err
	})
	return pid, err
}

func closeAll(files []int) {
	for _, fd := range files {
		_ = unix.Close(fd) // nothing was written
	}
}

// receive returns the files that fork has sent.
func receive(socket, many int) ([]int, error) {
	var text [1]byte
	control := make([]byte, unix.CmsgSpace(4*many))
	_, n, flags, _, err := unix.Recvmsg(socket, text[:], control, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("files cannot be taken by the thread that forks: %w", err)
	}
	var files []int
	if messages, err := unix.ParseSocketControlMessage(control[:n]); err == nil && len(messages) == 1 {
		files, _ = unix.ParseUnixRights(&messages[0]) // of another kind they are too few
	}
	if len(files) != many || flags&unix.MSG_CTRUNC != 0 {
		closeAll(files)
		return nil, fmt.Errorf("of %d files %d came to the thread that forks: %w", many, len(files), unix.EMFILE)
	}
	return files, nil
}
