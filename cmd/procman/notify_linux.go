package main

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// notifySocket is where the service manager listens ($NOTIFY_SOCKET); empty: there is none.
type notifySocket string

// newNotifySocket returns the socket of the service manager that started us. The variable stays where it is: a program
// that replaces this one needs it, and no child gets it.
func newNotifySocket(env func(string) string) notifySocket { return notifySocket(env("NOTIFY_SOCKET")) }

// A service manager that takes nothing is waited for, but not for long.
const (
	notifyTime  = time.Second
	notifyEvery = 5 * time.Millisecond
)

// send tells the service manager something, with descriptors for it. A message is taken as a whole or not at all.
func (s notifySocket) send(state string, descriptors ...int) error {
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = errors.Join(s.deliver(socket, state, descriptors), unix.Close(socket))
	}
	if err != nil {
		return fmt.Errorf("the service manager cannot be told: %w", err)
	}
	return nil
}

// deliver tries again when the service manager is behind with its reading. It never blocks in the kernel: a thread for
// each of ten thousand starts would be too many.
func (s notifySocket) deliver(socket int, state string, descriptors []int) error {
	var rights []byte
	if len(descriptors) > 0 {
		rights = unix.UnixRights(descriptors...)
	}
	// A leading @ is Linux's abstract namespace, for unix.SockaddrUnix too.
	to := &unix.SockaddrUnix{Name: string(s)}
	for late := time.Now().Add(notifyTime); ; time.Sleep(notifyEvery) {
		err := unix.Sendmsg(socket, []byte(state), rights, to, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		switch {
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR), errors.Is(err, unix.ENOBUFS):
			if time.Now().After(late) {
				return err
			}
		default:
			return err
		}
	}
}
