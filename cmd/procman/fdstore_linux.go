package main

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"procman/actors/spawn"
)

// fdStore is the file descriptor store of the service manager (systemd: FileDescriptorStoreMax). What is put there comes
// back as an open descriptor when the daemon is started the next time, however it ended.
type fdStore struct {
	manager notifySocket
	// renew has what is stored under a name taken out before it is stored again: the store would keep both. It is for a
	// daemon that was put in the place of another, and has not got the descriptors back from the store.
	renew bool
}

// newFDStore returns the store of the service manager that started us; nil if there is none.
func newFDStore(manager notifySocket, renew bool) spawn.FDStore {
	if manager == "" {
		return nil
	}
	return fdStore{manager, renew}
}

// Put stores a copy of the descriptor. FDPOLL=0: the store would throw a process handle out the moment the process ends,
// which is when it is needed.
func (s fdStore) Put(name string, fd uintptr) error {
	if s.renew {
		if err := s.Remove(name); err != nil {
			return err
		}
	}
	return s.manager.send("FDSTORE=1\nFDPOLL=0\nFDNAME="+name, int(fd))
}

// Remove takes a descriptor out.
func (s fdStore) Remove(name string) error { return s.manager.send("FDSTOREREMOVE=1\nFDNAME=" + name) }

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
		if n >= len(names) || files[names[n]] != nil {
			_ = unix.Close(fd) // nobody could ask for it
			continue
		}
		files[names[n]] = os.NewFile(uintptr(fd), names[n])
	}
	return files
}
