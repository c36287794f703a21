package spawn

import (
	"errors"
	"maps"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"procman/actors/kernel"
)

// exits waits for the ends of any number of processes in one goroutine and no thread.
type exits struct {
	start func(func()) // a goroutine
	file  *os.File     // an epoll instance; Go's own watches it
	raw   syscall.RawConn

	mu      sync.Mutex
	waiting map[int32]func(error) // by the key in the epoll instance
	next    int32
	closed  bool
}

func newExits(start func(func())) (*exits, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	file := os.NewFile(uintptr(fd), "exits")
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &exits{start: start, file: file, raw: raw, waiting: map[int32]func(error){}}, nil
}

// await calls ended with nil when the process has ended: all its threads, not its group; with os.ErrClosed after close.
// It is called once, and must not wait for anything. The descriptor stays open until then.
func (x *exits) await(fd *kernel.Pidfd, ended func(error)) {
	x.mu.Lock()
	if x.closed {
		x.mu.Unlock()
		ended(os.ErrClosed)
		return
	}
	for x.next++; x.waiting[x.next] != nil; x.next++ {
	}
	key := x.next
	x.waiting[key] = ended
	x.mu.Unlock()
	err := fd.Do(func(fd int) error {
		// Once: whoever has a copy of the descriptor keeps it in there.
		event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: key}
		var ctl error
		err := x.raw.Control(func(epoll uintptr) { ctl = unix.EpollCtl(int(epoll), unix.EPOLL_CTL_ADD, fd, &event) })
		return errors.Join(err, ctl)
	})
	if err != nil {
		// The limit of watches is reached. Then it is looked at now and again.
		x.start(func() {
			err := poll(fd)
			if ended := x.take(key); ended != nil {
				ended(err)
			}
		})
	}
}

func (x *exits) take(key int32) func(error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	ended := x.waiting[key]
	delete(x.waiting, key)
	return ended
}

// run calls those who wait, until close.
func (x *exits) run() {
	var events [64]unix.EpollEvent
	for {
		var n int
		var err error
		ended := x.raw.Read(func(epoll uintptr) bool {
			n, err = unix.EpollWait(int(epoll), events[:], 0)
			return n > 0 || err != nil && !errors.Is(err, unix.EINTR)
		})
		if ended != nil {
			break
		}
		for _, event := range events[:max(n, 0)] {
			if ended := x.take(event.Fd); ended != nil {
				ended(nil)
			}
		}
	}
	x.mu.Lock()
	left := slices.Collect(maps.Values(x.waiting))
	clear(x.waiting)
	x.mu.Unlock()
	for _, ended := range left {
		ended(os.ErrClosed)
	}
}

func (x *exits) close() {
	x.mu.Lock()
	x.closed = true
	x.mu.Unlock()
	_ = x.file.Close() // nothing was written
}

// wait returns what await calls with.
func (x *exits) wait(fd *kernel.Pidfd) error {
	ended := make(chan error, 1)
	x.await(fd, func(err error) { ended <- err })
	return <-ended
}

// poll returns nil when the process has ended, and os.ErrClosed after Close.
func poll(fd *kernel.Pidfd) error {
	for {
		if ended, err := fd.Poll(); ended || err != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}
