package spawn

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"procman/actors/kernel"
	"procman/messages"
)

// A process that executes a program has no environment for some microseconds, and one that was killed takes a moment to
// die. While the lock of an instance is held by one that is so young, or that is not seen, all are looked at again, so
// often and after such pauses. All instances wait meanwhile: so nobody waits for one that has shown what it is, or is
// older.
const (
	looks      = 20
	lookAgain  = 5 * time.Millisecond
	young      = time.Second
	looksBlind = 100 * time.Millisecond
)

// endGrace is what a process gets between TERM and KILL that is one too many.
const endGrace = 5 * time.Second

// Survivors looks at every record and at every process of the host, once. A live process counts, whatever its record
// says. Of two live processes of one instance, the one on record or else the one that holds the lock stays, and the
// other is ended. A run whose process has ended while others of it live is a survivor too.
func (s *Spawner) Survivors(ctx context.Context) ([]messages.Survivor, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	ids, err := s.known()
	errs := []error{err}
	records := make(map[messages.InstanceID]*runRecord, len(ids))
	read := make([]*runRecord, len(ids))
	wrong := make([]error, len(ids))
	each(len(ids), func(n int) { read[n], wrong[n] = s.readRun(ids[n]) })
	errs = append(errs, wrong...)
	for n, id := range ids {
		records[id] = read[n]
	}
	s.mu.Lock()
	for id := range s.table {
		if _, known := records[id]; !known {
			records[id] = nil
		}
	}
	s.mu.Unlock()
	surveyed, err := s.search(ctx, records, true, looks)
	errs = append(errs, err)
	s.endStrays()
	if err == nil {
		s.searched.Store(true)
		s.tidy()
		s.sweep(records)
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
			ID: id, Run: p.Run(), PID: p.pid, Port: p.Port(), StartedAt: p.started, SpecHash: p.SpecHash(),
			Alive: !p.over(), Outlived: p.ended(),
		}
		if !v.Alive {
			v.Exit = *p.ending()
		}
		return v, v.Alive || v.Run > 0
	}
	if intent := s.pending(id, r); intent != nil {
		r = intent // what lives or is in doubt is of that start, or of none: its number is not given to another
	}
	if d := s.instance(id).doubts(); d != nil {
		if d.why == kernel.DoubtManaged {
			// it is another manager's; whether one may be started here is for the start to say
			return messages.Survivor{}, false
		}
		v := messages.Survivor{ID: id, Run: d.run, PID: d.pid, Alive: true, Unclear: s.unclear(id, d).Error()}
		if r != nil {
			v.Run, v.Port, v.SpecHash = r.Run, r.Port, r.Spec
		}
		return v, true
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
func (s *Spawner) search(ctx context.Context, records map[messages.InstanceID]*runRecord, all bool,
	times int) (map[messages.InstanceID]bool, error) {
	began := time.Now()
	wanted, surveyed := records, map[messages.InstanceID]bool{}
	if all {
		s.adoptAll(ctx, records)
	}
	for n := 1; ; n++ {
		seen, err := s.scan(ctx, records)
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
		unexplained := map[messages.InstanceID]*runRecord{}
		ids := slices.Collect(maps.Keys(wanted))
		errs, locked := make([]error, len(ids)), make([]bool, len(ids))
		each(len(ids), func(n int) {
			id := ids[n]
			i, r := s.instance(id), wanted[id]
			errs[n] = s.survey(ctx, i, r, seen[id])
			switch {
			case i.live() != nil || errs[n] != nil:
			case s.unlocked(id):
				s.outlived(ctx, i, r, seen[id])
			default:
				locked[n] = true
			}
		})
		for n, id := range ids {
			surveyed[id] = errs[n] == nil
			if locked[n] {
				unexplained[id] = wanted[id]
			}
		}
		if err := errors.Join(errs...); err != nil || len(unexplained) == 0 {
			return surveyed, err
		}
		holders, err := s.lockHolders(ctx, unexplained)
		if err != nil {
			return surveyed, fmt.Errorf("the processes of the host cannot be looked at: %w", err)
		}
		if n >= times || settled(unexplained, holders, seen, began) {
			return surveyed, s.explain(ctx, unexplained, holders, seen, surveyed)
		}
		wanted = unexplained
		if err := s.pause(ctx, lookAgain); err != nil {
			return surveyed, err
		}
	}
}

// adoptAll makes the processes on record their instances', before all of the host are looked at: each of them is looked
// at once then, and is no news to a scan. What it cannot do the survey tries again, and says why.
func (s *Spawner) adoptAll(ctx context.Context, records map[messages.InstanceID]*runRecord) {
	ids := slices.Collect(maps.Keys(records))
	each(len(ids), func(n int) {
		i, r := s.instance(ids[n]), records[ids[n]]
		if r == nil || i.take(ctx) != nil {
			return
		}
		defer i.give()
		if i.process() == nil {
			_, _ = s.adoptRecorded(ctx, i, r)
		}
	})
}

// each calls do for 0 to count-1, on as many processors as there are.
func each(count int, do func(n int)) {
	var next atomic.Int64
	var work sync.WaitGroup
	for range min(count, runtime.GOMAXPROCS(0)) {
		work.Go(func() {
			for n := int(next.Add(1)) - 1; n < count; n = int(next.Add(1)) - 1 {
				do(n)
			}
		})
	}
	work.Wait()
}

// settled reports whether those who hold the locks of instances without a process are known, so that another look would
// show the same.
func settled(locked map[messages.InstanceID]*runRecord, holders, seen map[messages.InstanceID][]kernel.Process,
	began time.Time) bool {
	for id := range locked {
		for _, x := range holders[id] {
			shown := slices.ContainsFunc(seen[id],
				func(y kernel.Process) bool { return y.PID == x.PID && y.Start == x.Start })
			if !shown && time.Since(sinceBoot(x.Start)) < young {
				return false // perhaps it executes a program right now
			}
		}
		if len(holders[id]) == 0 && time.Since(began) <= looksBlind {
			return false // it has just ended, or is not visible here
		}
	}
	return true
}

// survey finds the process of one instance, if one lives: the one that is known, else the one on record, else the best
// of those seen. It ends the others. An error means that nothing is known, not that nothing lives.
func (s *Spawner) survey(ctx context.Context, i *instance, r *runRecord, seen []kernel.Process) error {
	if err := i.take(ctx); err != nil {
		return err
	}
	defer i.give()
	return s.examine(ctx, i, r, seen)
}

// examine is survey for who has the instance's turn. Without proof nobody is adopted and nobody is ended; what remains
// in doubt is kept, and looked at again by the next call.
func (s *Spawner) examine(ctx context.Context, i *instance, r *runRecord, seen []kernel.Process) error {
	before := i.doubts()
	var d *doubt
	if i.process() == nil && r != nil {
		var err error
		if d, err = s.adoptRecorded(ctx, i, r); err != nil {
			return err
		}
	}
	if p := i.process(); p != nil {
		now := p.record
		if p.ended() {
			now.Exit = &exitRecord{}
		}
		r = &now
	}
	if x, ok := s.again(before); ok && !slices.ContainsFunc(seen,
		func(y kernel.Process) bool { return y.PID == x.PID }) {
		seen = append(slices.Clip(seen), x)
	}
	f := s.judgeSeen(i.id, r, seen)
	// A start of this manager's own is interrupted by nothing: once the survivors are known only a doubt is looked at
	// again.
	if f.leader == nil && i.live() == nil && (before != nil || !s.searched.Load()) {
		s.recall(ctx, i.id, r, &f)
	}
	if f.leader != nil {
		if i.live() == nil {
			lack, err := s.adoptSeen(ctx, i, *f.leader, f.record)
			if lack != nil {
				d = lack
			}
			if err != nil {
				return errors.Join(err, fmt.Errorf("%d processes of %q were not looked at", len(f.rivals),
					string(i.id)))
			}
		} else {
			f.rivals = append(f.rivals, *f.leader)
		}
	}
	if p := i.live(); p != nil {
		d = nil
		for _, x := range f.rivals {
			if x.PID != p.pid {
				s.end(x, p.pid)
			}
		}
	} else if d == nil {
		d = f.doubt
	}
	i.setDoubt(d)
	return nil
}

// end ends a process that is one too many, with its group, in a goroutine of its own: TERM, a grace period, KILL.
func (s *Spawner) end(x kernel.Process, stays int) {
	fd, err := s.open(x)
	if err != nil {
		if !errors.Is(err, unix.ESRCH) {
			s.log.Error("a second process of an instance cannot be ended", "instance", string(x.ID), "pid", x.PID,
				"error", err)
		}
		return
	}
	s.mu.Lock()
	twice := s.ending[x.Tag]
	s.ending[x.Tag] = true
	s.mu.Unlock()
	if twice {
		fd.Close()
		return
	}
	s.log.Error("an instance had two processes; one is ended", "instance", string(x.ID), "pid", x.PID, "run",
		x.Run, "stays", stays)
	s.keep(fd, x.PID)
	s.work.Go(func() {
		defer s.drop(fd)
		g := &group{fd: fd, pid: x.PID, id: x.ID, tag: x.Tag, start: x.Start}
		send := func(sig syscall.Signal) {
			if err := s.signalTagged(g, sig); err != nil && !errors.Is(err, unix.ESRCH) &&
				!errors.Is(err, os.ErrClosed) {
				s.log.Error("a second process of an instance cannot be signalled", "instance", string(x.ID), "pid",
					x.PID, "error", err)
			}
		}
		send(syscall.SIGTERM)
		send(syscall.SIGCONT)
		kill := time.AfterFunc(endGrace, func() { send(syscall.SIGKILL) })
		defer kill.Stop()
		if s.exits.wait(fd) != nil {
			return
		}
		send(syscall.SIGKILL)
		if fd.Child() {
			if _, err := kernel.Reap(x.PID); errors.Is(err, syscall.EAGAIN) {
				s.reapLater(x.PID)
			} else if err != nil {
				s.log.Warn("a child could not be reaped", "pid", x.PID, "error", err)
			}
		}
		s.mu.Lock()
		delete(s.ending, x.Tag)
		s.mu.Unlock()
	})
}

// scan looks at every process once, but for those that are the first of a run here, and returns those that show a tag
// of this state directory, or of a run on record, by instance. Those of other state directories are kept for who starts
// an instance, see elsewhere.
func (s *Spawner) scan(ctx context.Context,
	records map[messages.InstanceID]*runRecord) (map[messages.InstanceID][]kernel.Process, error) {
	tagged, err := s.proc.Tagged(ctx, s.census.leads)
	runs := make(map[string]messages.InstanceID, len(records)) // by tag
	for id, r := range records {
		if r != nil && r.Tag != "" {
			runs[r.Tag] = id
		}
	}
	ours := s.oursByName()
	seen := map[messages.InstanceID][]kernel.Process{}
	others := map[messages.InstanceID][]kernel.Process{}
	var strays []kernel.Process
	for _, x := range tagged {
		if x.Tag == "" {
			if s.strayCheck(x, ours) {
				strays = append(strays, x)
			}
			continue
		}
		if x.ID.Validate() != nil {
			continue
		}
		id, recorded := runs[x.Tag]
		switch {
		case recorded:
			seen[id] = append(seen[id], x)
		case ours(x.Dir):
			seen[x.ID] = append(seen[x.ID], x)
		default:
			others[x.ID] = append(others[x.ID], x)
		}
	}
	s.checks.note(strays)
	if err == nil {
		s.mu.Lock()
		s.others = others
		s.mu.Unlock()
	}
	return seen, err
}

// explain deals with those that hold the locks of instances without a process. What is proved to be the process of a
// run, though it shows no environment, is adopted; what cannot be told is a doubt.
func (s *Spawner) explain(ctx context.Context, locked map[messages.InstanceID]*runRecord, holders,
	seen map[messages.InstanceID][]kernel.Process,
	surveyed map[messages.InstanceID]bool) error {
	var errs []error
	for id, r := range locked {
		i := s.instance(id)
		err := s.survey(ctx, i, r, holders[id])
		errs = append(errs, err)
		surveyed[id] = err == nil
		if i.live() != nil || err != nil {
			continue
		}
		if s.outlived(ctx, i, r, slices.Concat(seen[id], holders[id])); i.process() != nil && !i.process().over() {
			continue
		}
		switch d := i.doubts(); {
		case d != nil && d.room != nil:
			continue // its process is known, and is taken over when there is room
		case d == nil && len(holders[id]) == 0 && !s.unlocked(id):
			i.setDoubt(&doubt{why: kernel.DoubtLock})
		}
		s.log.Warn("an instance has no process, but something holds its lock; it cannot be started before that has "+
			"ended", "instance", string(id),
			"lock", s.dir.InstanceLock(id), "holders", pidsOf(holders[id]))
	}
	return errors.Join(errs...)
}

func pidsOf(list []kernel.Process) []int {
	var pids []int
	for _, x := range list {
		pids = append(pids, x.PID)
	}
	return pids
}
