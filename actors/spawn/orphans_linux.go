package spawn

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"procman/actors/kernel"
)

// Times of the reaping of orphans.
const (
	// after the death of a child: by then those that somebody waits for are reaped
	orphanLook = 50 * time.Millisecond
	// between looks that found nothing to reap, and the patience with what may be waited for
	orphanAgain   = time.Second
	orphanForking = 10 * time.Second // that patience while a start is under way, whose process nobody knows yet
)

// orphanage reaps the children that the kernel gave to this process: as pid 1 of a container, or as a subreaper. It
// never takes the status of a child that this process has started, for which somebody waits.
type orphanage struct {
	home     *Spawner
	self     int
	session  int
	suspects map[suspect]time.Time // zombies that may be waited for, and since when they are known
}

type suspect struct {
	pid   int
	start uint64
}

// AdoptsOrphans reports whether the kernel gives orphans to this process.
func AdoptsOrphans() bool {
	var subreaper int32
	err := unix.Prctl(unix.PR_GET_CHILD_SUBREAPER, uintptr(unsafe.Pointer(&subreaper)), 0, 0, 0)
	return os.Getpid() == 1 || err == nil && subreaper != 0
}

// reapOrphans is a goroutine of the Spawner. It is woken by the deaths of children, and looks at the process table only
// while one of them waits to be reaped.
func (s *Spawner) reapOrphans() {
	died := make(chan os.Signal, 1)
	signal.Notify(died, syscall.SIGCHLD)
	defer signal.Stop(died)
	session, _ := unix.Getsid(0) // it has no error for this process
	o := orphanage{home: s, self: os.Getpid(), session: session, suspects: map[suspect]time.Time{}}
	look := time.NewTimer(orphanLook) // what a predecessor in this process has left
	defer look.Stop()
	pause, armed := orphanLook, true
	for {
		select {
		case <-died:
			if !armed {
				look.Reset(pause)
				armed = true
			}
		case <-look.C:
			armed = false
			reaped, rest := o.look()
			pause = orphanLook
			if reaped == 0 {
				pause = orphanAgain
			}
			if rest {
				look.Reset(orphanAgain)
				armed = true
			}
		case <-s.quit:
			return
		}
	}
}

// look reaps what is nobody's, and reports whether something is left that may be.
func (o *orphanage) look() (reaped int, rest bool) {
	if !waiting() {
		clear(o.suspects)
		return 0, false
	}
	// Until the survivors are known, a child of a predecessor in this process could be taken for a stranger.
	if !o.home.searched.Load() {
		return 0, true
	}
	table, err := o.home.proc.Table(context.Background())
	if err != nil {
		return 0, true
	}
	now := time.Now()
	ours, forking := o.home.own()
	patience := orphanAgain
	if forking {
		patience = orphanForking
	}
	seen := map[suspect]time.Time{}
	for pid, p := range table {
		if p.Parent != o.self || !p.Zombie() || ours[pid] {
			continue
		}
		key := suspect{pid, p.Start}
		since, known := o.suspects[key]
		if !known {
			since = now
		}
		if !o.foreign(p) && now.Sub(since) < patience {
			seen[key], rest = since, true
			continue
		}
		if got, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); err == nil && got == pid {
			reaped++
		}
	}
	o.suspects = seen
	if reaped > 0 {
		o.home.log.Debug("orphans were reaped", "processes", reaped)
	}
	return reaped, rest
}

// foreign reports whether the process cannot have been forked by this one: what it starts is in its own session, or
// leads one.
func (o *orphanage) foreign(p kernel.Process) bool {
	return p.Session != o.session && p.Session != p.PID
}

// waiting reports whether a child waits to be reaped.
func waiting() bool {
	var info unix.Siginfo
	for {
		err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return err == nil && info.Signo != 0
		}
	}
}

// own returns the processes that are waited for by their handles, and whether a start is under way.
func (s *Spawner) own() (pids map[int]bool, forking bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pids = make(map[int]bool, len(s.fds))
	for _, pid := range s.fds {
		pids[pid] = true
	}
	return pids, s.forking > 0
}

// forks says that a process is being started, until it is known by its handle.
func (s *Spawner) forks() (known func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.forking++; s.forking == 1 {
		s.oom.giveUp()
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.forking--; s.forking == 0 {
			s.oom.regain()
		}
	}
}
