package spawn

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"procman/actors/kernel"
	"procman/actors/record"
	"procman/messages"
)

// outlived makes the newest run of the instance known whose first process has ended while others of it live: it is a
// run that is not over, and is ended like any other. Earlier runs are none of its business, and while it is in doubt
// who lives nobody is.
func (s *Spawner) outlived(ctx context.Context, i *instance, r *runRecord, seen []kernel.Process) {
	if i.doubts() != nil || i.process() != nil && !i.process().over() {
		return
	}
	newest := runRecord{}
	if r != nil && r.Boot == s.boot {
		newest = *r
	}
	belong := map[int]member{}
	for _, x := range seen {
		tag, run := s.runOfMember(i, r, x)
		switch {
		case tag == "" || run < newest.Run:
		case run > newest.Run:
			newest = runRecord{ID: i.id, Boot: s.boot, Tag: tag, Run: run, Port: x.Port, Spec: x.Spec, Dir: x.Dir}
			belong = map[int]member{x.PID: {Process: x}}
		case tag == newest.Tag:
			belong[x.PID] = member{Process: x}
		}
	}
	if intent := s.pending(i.id, r); intent != nil && newest.Run < intent.Run {
		if left := s.leftBehind(ctx, i.id, r, intent); len(left) > 0 || s.populated(intent) {
			newest, belong = *intent, left
		}
	}
	if newest.Tag == "" {
		return
	}
	p := s.ended(i.id, newest)
	p.rest.seen = belong
	s.census.meet(p)
	p.look(time.Now())
	if len(p.others()) == 0 {
		s.census.lead(p, nil)
		return
	}
	s.log.Info("a run is found whose first process has ended while others of it live", "instance", string(i.id),
		"run", newest.Run,
		"processes", messages.Members(p.others()))
	i.mu.Lock()
	defer i.mu.Unlock()
	s.census.lead(i.newest, p)
	i.newest = p
}

// runOfMember returns the tag and the number of the run to which a process belongs that is not its first one, by what
// it shows or by the lock that it holds; none if that is not proved.
func (s *Spawner) runOfMember(i *instance, r *runRecord, x kernel.Process) (tag string, run int) {
	e := kernel.Evidence{Boot: s.boot, Record: runOf(r), PID: x.PID, Stat: x.Stat, Shows: x.Tags,
		Ours: x.ID == i.id && s.isOurs(x.Dir)}
	e.Lock, e.Witness, _ = s.lockOf(x.PID, i.id)
	e.Helper = !e.Lock && s.isHelper(i.id, x)
	e.Cgroup = x.Tag == "" && s.inCgroup(r, x.PID)
	verdict, _ := kernel.Judge(e)
	switch {
	case verdict != kernel.Belongs:
		return "", 0
	case x.Tag != "":
		return x.Tag, x.Run
	case e.Witness != nil:
		return e.Witness.Tag, e.Witness.Number
	case e.Cgroup:
		return r.Tag, r.Run
	}
	return "", 0
}

// ended returns a run whose first process is gone.
func (s *Spawner) ended(id messages.InstanceID, r runRecord) *process {
	exit := r.exit(s.boot)
	return &process{
		group: group{pid: r.PID, id: id, tag: r.Tag, start: r.Start},
		home:  s, record: r, exit: &exit, started: readClock().read(r.Started, true),
	}
}

// clearPatience is how long Clear waits before it says that something is in the way: who was killed needs a moment to
// be gone.
const clearPatience = 200 * time.Millisecond

// Clear returns an error as long as another process than that of a run we know holds the instance's lock. What an ended
// run of the instance left is ended, or by policy has the lock to itself, and a new one is made for the next run.
func (s *Spawner) Clear(ctx context.Context, a messages.AppInstance) error {
	id := a.InstanceID
	if err := id.Validate(); err != nil {
		return fault(messages.FaultOther, "", err, "")
	}
	leave, err := s.enter()
	if err != nil {
		return fault(messages.FaultOther, "", err, "")
	}
	defer leave()
	i := s.instance(id)
	for deadline := time.Now().Add(clearPatience); ; {
		free, err := s.lockIsFree(ctx, id)
		if err != nil || i.live() != nil {
			return err // a process that we know Spawn waits for
		}
		if free {
			return s.left(ctx, i, a)
		}
		if time.Now().After(deadline) {
			return s.obstructed(ctx, i, a)
		}
		switch err := s.pause(ctx, lookAgain); {
		case errors.Is(err, ErrClosed):
			return fault(messages.FaultOther, "", err, "")
		case err != nil:
			return err
		}
	}
}

func (s *Spawner) lockIsFree(ctx context.Context, id messages.InstanceID) (bool, error) {
	free := make(chan bool, 1)
	_, err := s.disk.Do(ctx, diskPatience, func() error { free <- s.unlocked(id); return nil }, nil)
	var stalled *record.StalledError
	switch {
	case errors.As(err, &stalled):
		return false, stateError(err, s.dir.InstanceLock(id))
	case err != nil:
		return false, err
	}
	return <-free, nil
}

// obstructed deals with those that hold the lock of an instance that has no process.
func (s *Spawner) obstructed(ctx context.Context, i *instance, a messages.AppInstance) error {
	path := s.dir.InstanceLock(i.id)
	r, err := s.readRun(i.id)
	if isLack(err) {
		return startError(err, path)
	}
	// It may be the process of the newest run, for which there was no room before.
	if err := s.survey(ctx, i, r, nil); err != nil {
		return startError(err, path)
	}
	if p := i.live(); p != nil {
		return fault(messages.FaultLocked, path, fmt.Errorf("held by its own process %d", p.pid), "")
	}
	if d := i.doubts(); d != nil && d.room != nil {
		return s.unclear(i.id, d)
	}
	var left []kernel.Process // by ended runs of the instance
	var unclear []messages.Member
	for _, pid := range s.proc.Holders(path) {
		x, there := s.again(&doubt{pid: pid})
		if !there {
			continue
		}
		if tag, run := s.runOfMember(i, r, x); tag != "" {
			x.Tag, x.Run = tag, run
			left = append(left, x)
		} else {
			unclear = append(unclear, messages.Member{PID: pid, Name: x.Name})
		}
	}
	switch {
	case len(unclear) > 0:
		return fault(messages.FaultLocked, "", fmt.Errorf("waits for %s, which holds the lock %s and does not show "+
			"of which run it is",
			messages.Members(unclear), path), "if it is one of the instance's, end it")
	case len(left) == 0:
		return fault(messages.FaultLocked, path, errors.New("a process holds it that is not visible here"), "")
	case a.Stop.Leftovers == messages.LeftoversLeave:
		return s.newLock(ctx, i, path, left)
	}
	var waits []string
	for _, x := range left {
		waits = append(waits, fmt.Sprintf("%s of run %d",
			messages.Members([]messages.Member{{PID: x.PID, Name: x.Name}}), x.Run))
		s.endLeftover(i, x, a.Stop)
	}
	slices.Sort(waits)
	return fault(messages.FaultLocked, "", fmt.Errorf("waits for %s, which holds the lock; it was sent %s, and gets "+
		"KILL when its grace of %v is over",
		strings.Join(waits, ", "), a.Stop.Asks().Plain(), a.Stop.Grace), "")
}

// endLeftover ends the process and all of its run, in a goroutine of its own: the signal of the policy, its grace
// period, KILL.
func (s *Spawner) endLeftover(i *instance, x kernel.Process, policy messages.StopPolicy) {
	p := s.ended(i.id, runRecord{ID: i.id, Boot: s.boot, Tag: x.Tag, Run: x.Run})
	p.rest.seen = map[int]member{x.PID: {Process: x}}
	s.endLeft(p, policy)
}

// emptied reports whether nobody of the run lives, within the time given.
func (p *process) emptied(within time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	left := p.others()
	for err := error(nil); len(left) > 0 && err == nil; {
		left, err = p.Rest(ctx, left)
		if err != nil {
			return false
		}
	}
	return true
}

// killAgain is how long KILL is given to end a process before it is sent again.
const killAgain = 5 * time.Second

// newLock takes the lock's name away from those that an ended run left by policy. They keep the old file; the next run
// locks a new one. That no other process of the instance lives was proved for each that had the old one open.
func (s *Spawner) newLock(ctx context.Context, i *instance, path string, left []kernel.Process) error {
	if err := i.take(ctx); err != nil {
		return err
	}
	defer i.give()
	_, err := s.disk.Do(ctx, diskPatience, func() error { return os.Remove(path) }, nil)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return stateError(err, path)
	}
	for _, x := range left {
		s.log.Info("a process that an ended run left has the lock of its instance; the next run gets a new one",
			"instance", string(i.id),
			"pid", x.PID, "name", x.Name, "run", x.Run)
	}
	return nil
}
