package spawn

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"procman/actors/kernel"
	"procman/actors/runas"
)

// forker starts commands, one after the other, on a thread of its own that has a table of descriptors of its own with
// next to nothing in it. For a fork copies the table of the thread that forks, and the exec closes what was copied, one
// by one: at a thousand instances that is a third of what a start costs, and at ten thousand most of it. Nor is a
// signal blocked on that thread, whatever was blocked when the manager was started: a child inherits the mask, and one
// in which TERM is blocked could not be asked to end.
type forker struct {
	orders chan func() // for the thread
	log    *slog.Logger
	null   *os.File // /dev/null, of the thread

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
	switch {
	case errors.Is(err, errShared):
		log.Debug("a start costs more the more instances there are", "error", err)
		f.send, f.take = -1, -1
		err = errors.Join(unix.Close(pair[0]), unix.Close(pair[1]))
	default:
		err = errors.Join(err, unix.Close(pair[1]))
	}
	if err = errors.Join(err, f.open()); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

// open opens what the thread needs for each command.
func (f *forker) open() error {
	return f.do(func() error {
		fd, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		f.null = os.NewFile(uintptr(fd), os.DevNull)
		return err
	})
}

// onThreadOfItsOwn runs do on a thread that ends with it, and is not the first one: what others see of this process in
// /proc is what that one has.
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
	if f.null != nil {
		_ = f.null.Close() // nothing was written
	}
	if f.take >= 0 {
		_ = unix.Close(f.take) // of a thread that ends
	}
}

// do has the thread call the function, which uses no file that others have opened, and no function of the os package
// that opens or looks at one: a test binary writes into its own file which that was.
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

// ownTable gives the calling thread a table of descriptors of its own that has 0 to 2, the one, and what the Go runtime
// waits with: any thread may come to look for what is ready, this one too.
func ownTable(keep int) error {
	// Not by unshare, which some sandboxes forbid.
	if err := unix.CloseRange(math.MaxInt32, math.MaxInt32, unix.CLOSE_RANGE_UNSHARE); err != nil {
		return fmt.Errorf("%w: %w", errShared, err)
	}
	names, err := kernel.Entries(threadFiles)
	for _, name := range names {
		fd, err := strconv.Atoi(name)
		if err != nil || fd <= 2 || fd == keep {
			continue
		}
		switch what, err := os.Readlink(filepath.Join(threadFiles, name)); {
		case errors.Is(err, fs.ErrNotExist): // the directory that was read
		case err != nil:
			return err
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

// fork starts the command, with /dev/null and those descriptors as its own from 0 on; until it executes its program it
// has the lock, too, if that is not -1. A cgroup that it is started in is a descriptor of this process, too. fork
// returns once the program is executed, or could not be. The command has no handle of the process, which is watched by
// a pidfd.
func (f *forker) fork(cmd *exec.Cmd, as *runas.Settings, lock int, files ...int) (pid int, err error) {
	if as != nil {
		return forkAs(cmd, as, lock, files...)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	all := files
	if lock >= 0 {
		all = append(all, lock)
	}
	attr := cmd.SysProcAttr
	grouped := attr != nil && attr.UseCgroupFD
	if grouped {
		all = append(slices.Clip(all), attr.CgroupFD)
	}
	if f.send >= 0 {
		if err := unix.Sendmsg(f.send, []byte{0}, unix.UnixRights(all...), nil, unix.MSG_NOSIGNAL); err != nil {
			return 0, fmt.Errorf("files cannot be handed to the thread that forks: %w", err)
		}
	}
	err = f.do(func() error {
		given, err := f.receive(all)
		defer closeAll(given)
		if err != nil {
			return err
		}
		cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = f.null, given[0], given[1], given[2:len(files)]
		if grouped {
			attr.CgroupFD = int(given[len(all)-1].Fd())
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		pid = cmd.Process.Pid
		return cmd.Process.Release() // its handle is of this thread's table
	})
	return pid, err
}

// forkers start the instances, each by whichever is free.
type forkers chan *forker

// manyForkers is more than one: each waits in the kernel until its child has executed its program, and a thousand
// starts by one alone took an eighth longer.
const manyForkers = 2

// newForkers run until close is called.
func newForkers(start func(func()), log *slog.Logger) (forkers, error) {
	all := make(forkers, manyForkers)
	for range manyForkers {
		f, err := newForker(start, log)
		if err != nil {
			return nil, errors.Join(err, all.close())
		}
		all <- f
	}
	return all, nil
}

// fork is that of a forker.
func (all forkers) fork(cmd *exec.Cmd, as *runas.Settings, lock int, files ...int) (pid int, err error) {
	f := <-all
	defer func() { all <- f }()
	return f.fork(cmd, as, lock, files...)
}

// close lets those end that are free. Nobody calls fork any more.
func (all forkers) close() (err error) {
	for range len(all) {
		err = errors.Join(err, (<-all).close())
	}
	return err
}

// forkAs is fork for a command that is started as its settings say, by a thread that has the table of all: they may
// need one that nobody uses afterwards.
func forkAs(cmd *exec.Cmd, as *runas.Settings, lock int, files ...int) (pid int, err error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer null.Close() // nothing was written
	all := files
	if lock >= 0 {
		all = append(slices.Clip(files), lock)
	}
	fds, err := duplicates(all)
	given := make([]*os.File, 0, len(fds))
	for _, fd := range fds {
		given = append(given, os.NewFile(uintptr(fd), ""))
	}
	defer closeAll(given)
	if err != nil {
		return 0, err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = null, given[0], given[1], given[2:len(files)]
	if err := as.Start(cmd); err != nil {
		return 0, err
	}
	pid = cmd.Process.Pid // not after it is released
	return pid, cmd.Process.Release()
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // nothing was written
	}
}

// receive returns files of the calling thread's table for the descriptors, which fork has sent if that is not the table
// of all.
func (f *forker) receive(fds []int) (files []*os.File, err error) {
	many := len(fds)
	if f.take < 0 {
		fds, err = duplicates(fds)
	} else {
		fds, err = rights(f.take, many)
	}
	for _, fd := range fds {
		files = append(files, os.NewFile(uintptr(fd), ""))
	}
	if err == nil && len(files) != many {
		err = fmt.Errorf("of %d files %d came to the thread that forks: %w", many, len(files), unix.EMFILE)
	}
	return files, err
}

func duplicates(fds []int) (copies []int, err error) {
	for _, fd := range fds {
		again, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return copies, err
		}
		copies = append(copies, again)
	}
	return copies, nil
}

// rights takes descriptors from the socket.
func rights(socket, many int) ([]int, error) {
	var text [1]byte
	control := make([]byte, unix.CmsgSpace(4*many))
	_, n, _, _, err := unix.Recvmsg(socket, text[:], control, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("files cannot be taken by the thread that forks: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil || len(messages) == 0 {
		return nil, err
	}
	return unix.ParseUnixRights(&messages[0])
}
