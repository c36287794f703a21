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
	fd    *pidfd
	pid   int
	id    messages.InstanceID
	tag   string
	start uint64

	mu    sync.RWMutex
	child bool // the leader is a child of ours that only we reap, and has not been reaped
}

// signal sends sig to every process of the group. The error is ESRCH if nobody is left.
func (s *Spawner) signal(g *group, sig syscall.Signal) error {
	if !s.old {
		// It reaches the group also when its leader is gone, and no other group that has been given its number.
		if err := g.fd.signalGroup(sig); !errors.Is(err, unix.EINVAL) {
			return err
		}
	}
	return s.signalOld(g, sig)
}

// signalOld is signal for Linux before 6.9, where a pidfd reaches its own process only.
func (s *Spawner) signalOld(g *group, sig syscall.Signal) error {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.child {
		return syscall.Kill(-g.pid, sig) // nobody else can be given the number
	}
	seen, err := s.scan(context.Background(), nil)
	if err != nil {
		return err
	}
	hit := false
	for _, x := range seen[g.id] {
		if x.Tag == g.tag && x.Group == g.pid {
			err := s.signalOne(x, sig)
			hit = hit || !errors.Is(err, unix.ESRCH)
		}
	}
	if !hit && g.fd.signal(sig) == nil {
		hit = true // it shows no tags, but it is our process
	}
	if !hit {
		return unix.ESRCH
	}
	return nil
}

// signalOne sends sig to one tagged process, if it still is the one that was seen.
func (s *Spawner) signalOne(x kernel.Process, sig syscall.Signal) error {
	fd, err := s.open(x)
	if err != nil {
		return err
	}
	defer fd.close()
	return fd.signal(sig)
}

// open returns the pidfd of a process that was seen. The error is ESRCH if it has ended, whoever has its pid now.
func (s *Spawner) open(x kernel.Process) (*pidfd, error) {
	fd, err := openPidfd(x.PID)
	if err != nil {
		return nil, err
	}
	// Only now: had it been compared before, the pid could have changed hands in between.
	now, err := s.proc.Stat(x.PID)
	if err == nil && now.Start == x.Start {
		var env kernel.Environ
		if env, err = s.proc.Environ(x.PID); err == nil && env.Tags() == x.Tags && !fd.ended() {
			return fd, nil
		}
	}
	fd.close()
	if err != nil && !kernel.Gone(err) {
		return nil, err
	}
	return nil, unix.ESRCH
}
