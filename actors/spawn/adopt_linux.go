package spawn

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"procman/actors"
	"procman/actors/kernel"
	"procman/messages"
)

// Adopt returns the process of that run of the instance, see actors.Spawner. After Survivors it need not look at all
// processes again. If that process lives and there is no room to hold it, the error is a *messages.StartError with
// FaultNotTaken; one that is to be ended is taken over all the same, see actors.ToEnd.
func (s *Spawner) Adopt(ctx context.Context, id messages.InstanceID, run int) (actors.Process, error) {
	if err := id.Validate(); err != nil {
		return nil, err
	}
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	i := s.instance(id)
	if err := s.takeTurn(ctx, i); err != nil {
		// whoever asked for a start may be gone, and what he started not known yet
		return nil, err
	}
	i.give()
	if p := i.process(); p != nil && p.answers(run) {
		return answer(p)
	}
	r, readErr := s.readRun(id)
	if isLack(readErr) {
		return nil, lackOf(readErr) // that nothing could be read does not say that there is no run
	}
	first := i.doubts() == nil
	if err := s.survey(ctx, i, r, nil); err != nil {
		return nil, lackOf(err)
	}
	intent := s.pending(id, r)
	if i.live() == nil && i.doubts() == nil && (!s.searched.Load() || intent != nil || !s.unlocked(id)) {
		times := looks
		if !first {
			times = 1 // it was waited for when the doubt arose
		}
		if _, err := s.search(ctx, map[messages.InstanceID]*runRecord{id: r}, false, times); err != nil {
			return nil, lackOf(err)
		}
	}
	if p := i.process(); p != nil && p.answers(run) {
		return answer(p)
	}
	switch d := i.doubts(); {
	case d != nil:
		return nil, s.unclear(id, d)
	case intent != nil && (run == actors.AnyRun || run == intent.Run):
		return nil, &messages.GoneError{Exit: intent.exit(s.boot)}
	case r != nil && (run == actors.AnyRun || run == r.Run):
		return nil, &messages.GoneError{Exit: r.exit(s.boot)}
	case readErr != nil:
		return nil, fmt.Errorf("%w: %w", messages.ErrNoRun, readErr)
	}
	return nil, messages.ErrNoRun
}

// isLack reports whether a look failed for want of what the host gives: that says nothing of what was looked at.
func isLack(err error) bool {
	return err != nil && startError(err, "").Fault == messages.FaultResources
}

// lackOf is what a look failed by, as the host's fault if it is one: then it is waited for.
func lackOf(err error) error {
	if isLack(err) {
		return startError(err, "")
	}
	return err
}

// answers reports whether the process is the answer to who asks for that run: it lives, or its end is that run's.
func (p *process) answers(run int) bool { return !p.over() || run == actors.AnyRun || run == p.Run() }

func answer(p *process) (actors.Process, error) {
	if p.over() {
		return nil, &messages.GoneError{Exit: *p.ending()}
	}
	return p, nil
}

// adoptRecorded makes the process on record the instance's, if it still exists. If it cannot be told whether it does,
// the doubt is returned.
func (s *Spawner) adoptRecorded(ctx context.Context, i *instance, r *runRecord) (*doubt, error) {
	if r.Boot != s.boot || r.Exit != nil {
		return nil, nil
	}
	here := false // whether it has its lock here, which is not asked of one that was kept
	fd, err := s.kept(r.Tag)
	if err != nil {
		s.log.Warn("a stored process handle cannot be used", "instance", string(i.id), "pid", r.PID, "error", err)
	}
	if fd == nil {
		fd, err = kernel.OpenPidfd(r.PID)
		if errors.Is(err, unix.ESRCH) {
			return nil, nil
		}
		if err != nil {
			return s.noRoom(err, r.PID, *r)
		}
		var verdict kernel.Verdict
		var d *doubt
		if verdict, d, here = s.judgeRecorded(fd, r); verdict != kernel.Leader {
			fd.Close()
			return d, nil
		}
		if err := s.roomFor(ctx); err != nil {
			fd.Close()
			return s.noRoom(err, r.PID, *r)
		}
	}
	p := s.adopted(i.id, fd, *r)
	p.started = readClock().read(r.Started, true)
	s.begin(i, p, r.lost, nil)
	if !here {
		s.mark(*r)
	}
	if fd.Ended() {
		p.Wait() // a zombie: how it ended is known in a moment
	}
	return nil, nil
}

// roomFor returns why no process can be taken over.
func (s *Spawner) roomFor(ctx context.Context) error {
	if actors.IsToEnd(ctx) {
		return nil
	}
	if err := s.room(); err != nil {
		return &messages.StartError{Fault: messages.FaultNotTaken, Err: err}
	}
	return nil
}

// noRoom is the doubt about a process that lives, and cannot be held for want of what the host gives; any other error
// is returned.
func (s *Spawner) noRoom(err error, pid int, r runRecord) (*doubt, error) {
	e := startError(err, "")
	var known *messages.StartError
	if errors.As(err, &known) {
		e = known
	}
	if e.Fault != messages.FaultNotTaken && e.Fault != messages.FaultResources {
		return nil, err
	}
	return &doubt{pid: pid, start: r.Start, run: r.Run, spec: r.Spec, room: e.Err}, nil
}

// consult makes the process on record known, if it lives and nobody has asked for it yet. So a Spawner that was never
// told to look for survivors does not start a second process either, not even if the lock of the instance was deleted.
// The error says that it cannot be told whether one lives.
func (s *Spawner) consult(ctx context.Context, i *instance, app messages.AppInstance) error {
	if i.live() != nil {
		return nil
	}
	var r *runRecord
	if i.process() == nil { // of a run that this manager has seen it needs no record
		r, _ = s.readRun(i.id) // what is wrong with it was logged; there is the lock yet
	}
	if err := s.examine(ctx, i, r, nil); err != nil {
		return startError(err, "")
	}
	d := i.doubts()
	if d == nil {
		return nil
	}
	if x, live := s.again(d); d.why == kernel.DoubtManaged && live {
		// It is proved to be another manager's, and a copy of that one's records is no claim. What is not to be is that
		// the same thing runs twice.
		if x.Spec = d.spec; d.spec != app.SpecHash() && !s.sameInstance(x, app) {
			i.setDoubt(nil)
			return nil
		}
	}
	return s.unclear(i.id, d)
}

// adoptSeen makes a process that has no usable record the instance's, and puts it on record.
func (s *Spawner) adoptSeen(ctx context.Context, i *instance, x kernel.Process, r runRecord) (*doubt, error) {
	fd, err := s.open(x)
	if errors.Is(err, unix.ESRCH) {
		return nil, nil
	}
	if err != nil {
		return s.noRoom(err, x.PID, r)
	}
	if err := s.roomFor(ctx); err != nil {
		fd.Close()
		return s.noRoom(err, x.PID, r)
	}
	if r.Cgroup == nil {
		r.Cgroup = s.cgroupOf(i.id, r.Run, x.PID)
	}
	p := s.adopted(i.id, fd, r)
	p.started = readClock().read(r.Started, true)
	s.log.Info("a process without a usable record was found by its environment or its lock", "instance", string(i.id),
		"pid", x.PID, "run", r.Run)
	s.begin(i, p, true, nil)
	s.mark(r)
	return nil, nil
}

func (s *Spawner) adopted(id messages.InstanceID, fd *kernel.Pidfd, r runRecord) *process {
	return &process{
		group: group{fd: fd, pid: r.PID, id: id, tag: r.Tag, start: r.Start},
		home:  s, record: r,
	}
}
