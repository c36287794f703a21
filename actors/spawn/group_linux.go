package spawn

import (
	"context"
	"errors"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"procman/actors/kernel"
	"procman/messages"
)

// group is the process group that one run's process leads, and that may outlive it.
type group struct {
	fd    *kernel.Pidfd
	pid   int
	id    messages.InstanceID
	tag   string
	start uint64

	mu    sync.RWMutex
	child bool // the leader is a child of ours that only we reap, and has not been reaped
}

// signal sends sig to every process of the group. The error is ESRCH if nobody is left. It is not whole if it has
// reached the leader at most: before Linux 6.9 a pidfd reaches its own process only, and once the leader has been
// reaped somebody else may be given the number of the group.
func (s *Spawner) signal(g *group, sig syscall.Signal) (whole bool, err error) {
	if !s.old {
		// It reaches the group also when its leader is gone, and no other group that has been given its number.
		if err := g.fd.SignalGroup(sig); !errors.Is(err, unix.EINVAL) {
			return true, err
		}
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.child {
		return true, syscall.Kill(-g.pid, sig)
	}
	return false, g.fd.Signal(sig)
}

// signalTagged is signal for a group whose processes are known by their tag alone.
func (s *Spawner) signalTagged(g *group, sig syscall.Signal) error {
	whole, err := s.signal(g, sig)
	if whole {
		return err
	}
	seen, scanErr := s.scan(context.Background(), nil)
	if scanErr != nil {
		return scanErr
	}
	for _, x := range seen[g.id] {
		if x.Tag == g.tag && x.Group == g.pid && x.PID != g.pid && !errors.Is(s.signalOne(x, sig), unix.ESRCH) {
			err = nil
		}
	}
	return err
}

// signalOne sends sig to one tagged process, if it still is the one that was seen.
func (s *Spawner) signalOne(x kernel.Process, sig syscall.Signal) error {
	fd, err := s.open(x)
	if err != nil {
		return err
	}
	defer fd.Close()
	return fd.Signal(sig)
}

// open returns the pidfd of a process that was seen. The error is ESRCH if it has ended, whoever has its pid now.
func (s *Spawner) open(x kernel.Process) (*kernel.Pidfd, error) {
	fd, err := kernel.OpenPidfd(x.PID)
	if err != nil {
		return nil, err
	}
	// Only now: had it been compared before, the pid could have changed hands in between.
	now, err := s.proc.Stat(x.PID)
	if err == nil && now.Start == x.Start {
		var env kernel.Environ
		if env, err = s.proc.Environ(x.PID); err == nil && env.Tags() == x.Tags && !fd.Ended() {
			return fd, nil
		}
	}
	fd.Close()
	if err != nil && !kernel.Gone(err) {
		return nil, err
	}
	return nil, unix.ESRCH
}
