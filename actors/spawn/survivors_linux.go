package spawn

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"procman/actors/kernel"
	"procman/messages"
)

// A process that executes a program has no environment for some microseconds, and one that was killed takes a moment to
// die. While the lock of an instance is held and no process of it is found, all are looked at again, so often and after
// such pauses.
const (
	looks     = 20
	lookAgain = 5 * time.Millisecond
)

// endGrace is what a process gets between TERM and KILL that is one too many.
const endGrace = 5 * time.Second

// Survivors looks at every record and at every process of the host, once. A live process counts, whatever its record
// says. Of two live processes of one instance, the one on record or else the one that holds the lock stays, and the
// other is ended. What is left of the group of a run whose process has ended is killed.
func (s *Spawner) Survivors(ctx context.Context) ([]messages.Survivor, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	ids, err := s.known()
	errs := []error{err}
	records := make(map[messages.InstanceID]*runRecord, len(ids))
	for _, id := range ids {
		r, err := s.readRun(id)
		errs = append(errs, err)
		records[id] = r
	}
	s.mu.Lock()
	for id := range s.table {
		if _, known := records[id]; !known {
			records[id] = nil
		}
	}
	s.mu.Unlock()
	surveyed, err := s.search(ctx, records, true)
	errs = append(errs, err)
	if err == nil {
		s.searched.Store(true)
		s.tidy()
	}
	var survivors []messages.Survivor
	for _, id := range slices.Sorted(maps.Keys(records)) {
		// Of an instance that could not be looked at, a record must not say that nothing lives.
		if v, ok := s.survivor(id, records[id]); ok && (v.Alive || surveyed[id]) {
			survivors = append(survivors, v)
		}
	}
	return survivors, errors.Join(errs...)
}

func (s *Spawner) survivor(id messages.InstanceID, r *runRecord) (messages.Survivor, bool) {
	if p := s.instance(id).process(); p != nil {
		v := messages.Survivor{
			ID: id, Run: p.Run(), PID: p.pid, Port: p.Port(), StartedAt: p.started, SpecHash: p.SpecHash(), Alive: !p.ended(),
		}
		if !v.Alive {
			v.Exit = p.exit
		}
		return v, v.Alive || v.Run > 0
	}
	if r == nil || r.Run <= 0 {
		return messages.Survivor{}, false
	}
	return messages.Survivor{
		ID: id, Run: r.Run, PID: r.PID, Port: r.Port, StartedAt: readClock().read(r.Started, r.Boot == s.boot),
		SpecHash: r.Spec, Exit: r.exit(s.boot),
	}, true
}

// search looks at all processes and surveys the instances on record; with all, also those that only processes tell of,
// which are then added to the records. It looks again for those that are locked and have no process. It
// returns the instances of which it is known now whether a process lives.
func (s *Spawner) search(ctx context.Context, records map[messages.InstanceID]*runRecord, all bool) (map[messages.InstanceID]bool, error) {
	wanted, surveyed := records, map[messages.InstanceID]bool{}
	for n := 1; ; n++ {
		seen, err := s.scan(ctx)
		if err != nil {
			return surveyed, fmt.Errorf("the processes of the host cannot be looked at: %w", err)
		}
		if all && n == 1 {
			for id := range seen {
				if _, known := records[id]; !known {
					records[id] = nil
				}
			}
		}
		var errs []error
		unexplained := map[messages.InstanceID]*runRecord{}
		for id, r := range wanted {
			i := s.instance(id)
			err := s.survey(ctx, i, r, seen[id])
			errs = append(errs, err)
			surveyed[id] = err == nil
			if i.live() == nil && !s.unlocked(id) {
				unexplained[id] = r
			}
		}
		if err := errors.Join(errs...); err != nil || len(unexplained) == 0 {
			return surveyed, err
		}
		if n == looks {
			for id := range unexplained {
				s.log.Warn("an instance has no process, but something holds its lock; it cannot be started before that has ended", "instance", string(id),
					"lock", s.dir.InstanceLock(id), "holders", s.proc.Holders(s.dir.InstanceLock(id)))
			}
			return surveyed, nil
		}
		wanted = unexplained
		if err := s.pause(ctx, lookAgain); err != nil {
			return surveyed, err
		}
	}
}

// survey finds the process of one instance, if one lives: the one that is known, else the one on record, else the best
// of those seen. It ends the others. An error means that nothing is known, not that nothing lives.
func (s *Spawner) survey(ctx context.Context, i *instance, r *runRecord, seen []kernel.Process) error {
	if err := i.take(ctx); err != nil {
		return err
	}
	defer i.give()
	leaders := map[string]int{} // of runs that are known, by tag: another process with the tag was forked by the run
	if p := i.process(); p != nil {
		leaders[p.tag] = p.pid
	} else if r != nil {
		if err := s.adoptRecorded(i, r); err != nil {
			return err
		}
	}
	if r != nil && r.Boot == s.boot {
		leaders[r.Tag] = r.PID
	}
	rivals := s.rivals(i.id, seen, leaders)
	for n, x := range rivals {
		if p := i.live(); p != nil {
			if p.pid != x.PID {
				s.end(x, p.pid)
			}
			continue
		}
		if err := s.adoptSeen(i, x); err != nil {
			return errors.Join(err, fmt.Errorf("%d processes of %q were not looked at", len(rivals)-n-1, string(i.id)))
		}
	}
	s.killLeft(i, seen, leaders)
	return nil
}

// rivals returns the processes that each may be the one process of the instance, the best first.
func (s *Spawner) rivals(id messages.InstanceID, seen []kernel.Process, leaders map[string]int) []kernel.Process {
	first := map[string]kernel.Process{}
	for _, x := range seen {
		if !x.Leads(x.PID) || x.Tag == "" {
			continue
		}
		if pid, known := leaders[x.Tag]; known && pid != x.PID {
			continue
		}
		// What a process starts in a session of its own carries its tag as well, but was started later.
		if f, ok := first[x.Tag]; !ok || x.Start < f.Start {
			first[x.Tag] = x
		}
	}
	lock := s.dir.InstanceLock(id)
	rank := func(x kernel.Process) int {
		if len(first) > 1 {
			if has, err := s.proc.HasOpen(x.PID, kernel.LockFD, lock); has && err == nil {
				return 1
			}
		}
		return 0
	}
	return slices.SortedFunc(maps.Values(first), func(a, b kernel.Process) int {
		return cmp.Or(cmp.Compare(rank(b), rank(a)), cmp.Compare(b.Run, a.Run), cmp.Compare(b.Start, a.Start), cmp.Compare(b.PID, a.PID))
	})
}

// end ends a process that is one too many, with its group, in a goroutine of its own: TERM, a grace period, KILL.
func (s *Spawner) end(x kernel.Process, stays int) {
	fd, err := s.open(x)
	if err != nil {
		if !errors.Is(err, unix.ESRCH) {
			s.log.Error("a second process of an instance cannot be ended", "instance", string(x.ID), "pid", x.PID, "error", err)
		}
		return
	}
	s.mu.Lock()
	twice := s.ending[x.Tag]
	s.ending[x.Tag] = true
	s.mu.Unlock()
	if twice {
		fd.close()
		return
	}
	s.log.Error("an instance had two processes; one is ended", "instance", string(x.ID), "pid", x.PID, "run", x.Run, "stays", stays)
	s.keep(fd, x.PID)
	s.work.Go(func() {
		defer s.drop(fd)
		g := &group{fd: fd, pid: x.PID, id: x.ID, tag: x.Tag, start: x.Start}
		send := func(sig syscall.Signal) {
			if err := s.signal(g, sig); err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, os.ErrClosed) {
				s.log.Error("a second process of an instance cannot be signalled", "instance", string(x.ID), "pid", x.PID, "error", err)
			}
		}
		send(syscall.SIGTERM)
		send(syscall.SIGCONT)
		kill := time.AfterFunc(endGrace, func() { send(syscall.SIGKILL) })
		defer kill.Stop()
		if fd.wait() != nil {
			return
		}
		send(syscall.SIGKILL)
		if fd.child() {
			if _, err := reap(x.PID); err != nil {
				s.log.Warn("a child could not be reaped", "pid", x.PID, "error", err)
			}
		}
		s.mu.Lock()
		delete(s.ending, x.Tag)
		s.mu.Unlock()
	})
}

// killLeft kills what is left of the groups of runs whose process has ended: it would hold the instance's lock for ever.
func (s *Spawner) killLeft(i *instance, seen []kernel.Process, leaders map[string]int) {
	for _, x := range seen {
		if x.PID == x.Group || x.Session != x.Group {
			continue // the leader of a group, or in a group that it made itself
		}
		if pid, known := leaders[x.Tag]; known && pid != x.Group {
			continue // in a session that the run began beside its own
		}
		if p := i.live(); p != nil && p.pid == x.Group {
			continue
		}
		if leader, err := s.proc.Stat(x.Group); err == nil && !leader.Zombie() {
			continue
		}
		s.log.Warn("a process was left of a run that has ended; it is killed", "instance", string(i.id), "pid", x.PID, "run", x.Run)
		if err := s.signalOne(x, syscall.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			s.log.Error("a process that was left of a run cannot be killed", "instance", string(i.id), "pid", x.PID, "error", err)
		}
	}
}

// scan looks at every process once and returns those tagged with the state directory, by instance.
func (s *Spawner) scan(ctx context.Context) (map[messages.InstanceID][]kernel.Process, error) {
	tagged, err := s.proc.Tagged(ctx)
	seen := map[messages.InstanceID][]kernel.Process{}
	for _, x := range tagged {
		if x.Dir == string(s.dir) && x.ID.Validate() == nil {
			seen[x.ID] = append(seen[x.ID], x)
		}
	}
	return seen, err
}
