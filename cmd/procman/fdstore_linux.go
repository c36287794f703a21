package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"procman/actors/spawn"
)

// fdStore is the file descriptor store of the service manager (systemd: FileDescriptorStoreMax). What is put there comes
// back as an open descriptor when the daemon is started the next time, however it ended.
type fdStore struct{ socket string }

// storePrefix marks our descriptors among others that the service manager may pass.
const storePrefix = "procman-run-"

// newFDStore returns the store of the service manager that started us; nil if there is none.
func newFDStore(env func(string) string) spawn.FDStore {
	socket := env("NOTIFY_SOCKET")
	if socket == "" {
		return nil
	}
	return fdStore{socket}
}

// Put stores a copy of the descriptor. FDPOLL=0: the store would throw a process handle out the moment the process ends,
// which is when it is needed.
func (s fdStore) Put(name string, fd uintptr) error {
	return s.send("FDSTORE=1\nFDPOLL=0\nFDNAME="+storePrefix+name, unix.UnixRights(int(fd)))
}

// Remove takes a descriptor out.
func (s fdStore) Remove(name string) error {
	return s.send("FDSTOREREMOVE=1\nFDNAME="+storePrefix+name, nil)
}

func (s fdStore) send(state string, rights []byte) error {
	// A leading @ is Linux's abstract namespace, for unix.SockaddrUnix too.
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Sendmsg(socket, []byte(state), rights, &unix.SockaddrUnix{Name: s.socket}, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		err = errors.Join(err, unix.Close(socket))
	}
	if err != nil {
		return fmt.Errorf("the service manager cannot be told: %w", err)
	}
	return nil
}

// listenStart is the first descriptor that a service manager passes.
const listenStart = 3

// stored returns the process handles that an earlier daemon has stored, by their names. The variables that tell of them
// are for this process only, and gone afterwards: a child, or a program that replaces this one, has other descriptors.
func stored(env func(string) string) map[string]*os.File {
	count, err := strconv.Atoi(env("LISTEN_FDS"))
	pid := env("LISTEN_PID")
	names := strings.Split(env("LISTEN_FDNAMES"), ":")
	for _, name := range []string{"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_PIDFDID"} {
		_ = os.Unsetenv(name) // fails for names that are none
	}
	if err != nil || pid != strconv.Itoa(os.Getpid()) {
		return nil
	}
	files := map[string]*os.File{}
	for n := range count {
		fd := listenStart + n
		unix.CloseOnExec(fd)
		if n < len(names) {
			if name, ours := strings.CutPrefix(names[n], storePrefix); ours {
				files[name] = os.NewFile(uintptr(fd), names[n])
			}
		}
	}
	return files
}
