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

// Adopt returns the newest process of the instance. After Survivors it need not look at all processes again.
func (s *Spawner) Adopt(ctx context.Context, id messages.InstanceID) (actors.Process, error) {
	if err := id.Validate(); err != nil {
		return nil, err
	}
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	i := s.instance(id)
	if p := i.process(); p != nil {
		return answer(p)
	}
	r, readErr := s.readRun(id)
	if err := s.survey(ctx, i, r, nil); err != nil {
		return nil, err
	}
	if i.live() == nil && (!s.searched.Load() || !s.unlocked(id)) {
		if _, err := s.search(ctx, map[messages.InstanceID]*runRecord{id: r}, false); err != nil {
			return nil, err
		}
	}
	if p := i.process(); p != nil {
		return answer(p)
	}
	switch {
	case r != nil:
		return nil, &messages.GoneError{Exit: r.exit(s.boot)}
	case readErr != nil:
		return nil, fmt.Errorf("%w: %w", messages.ErrNoRun, readErr)
	}
	return nil, messages.ErrNoRun
}

func answer(p *process) (actors.Process, error) {
	if p.ended() {
		return nil, &messages.GoneError{Exit: p.exit}
	}
	return p, nil
}

// adoptRecorded makes the process on record the instance's, if it still exists.
func (s *Spawner) adoptRecorded(i *instance, r *runRecord) error {
	if r.Boot != s.boot || r.Exit != nil {
		return nil
	}
	fd, err := s.kept(r.Tag)
	if err != nil {
		s.log.Warn("a stored process handle cannot be used", "instance", string(i.id), "pid", r.PID, "error", err)
	}
	if fd == nil {
		fd, err = openPidfd(r.PID)
		if errors.Is(err, unix.ESRCH) {
			return nil
		}
		if err != nil {
			return err
		}
		ours, err := s.isRecorded(fd, r)
		if err != nil || !ours {
			fd.close()
			return err
		}
	}
	p := s.adopted(i.id, fd, *r)
	p.started = readClock().read(r.Started, true)
	s.begin(i, p, false)
	if fd.ended() {
		<-p.done // a zombie: how it ended is known in a moment
	}
	return nil
}

// consult makes the process on record known, if it lives and nobody has asked for it yet. So a Spawner that was never told
// to look for survivors does not start a second process either, not even if the lock of the instance was deleted.
func (s *Spawner) consult(i *instance) error {
	if i.process() != nil {
		return nil
	}
	r, err := s.readRun(i.id)
	if err != nil || r == nil {
		return nil // what is wrong with it was logged; there is the lock yet
	}
	return s.adoptRecorded(i, r)
}

// isRecorded reports whether the process is the one on record. The pidfd was opened before: were the pid given to another
// process in between, the pidfd would be that of a process that began earlier, and nothing below would fit.
func (s *Spawner) isRecorded(fd *pidfd, r *runRecord) (bool, error) {
	st, err := s.proc.Stat(r.PID)
	if kernel.Gone(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if st.Start != r.Start {
		return false, nil
	}
	env, err := s.proc.Environ(r.PID)
	if fd.ended() || st.Zombie() {
		return true, nil // it has no environment any more; of one that has not ended only the first thread is gone
	}
	if err != nil {
		return true, nil // the process of another user: what it cannot show does not count against it
	}
	t := env.Tags()
	if t.Tag == r.Tag && t.Dir == string(s.dir) && t.ID == r.ID {
		return true, nil
	}
	// Some programs write over their environment, and a state directory may be renamed. But nobody has the lock of an
	// instance by chance.
	if t.Tag != r.Tag && t.Tag != "" {
		return false, nil
	}
	return s.proc.HasOpen(r.PID, kernel.LockFD, s.dir.InstanceLock(r.ID))
}

// adoptSeen makes a process that has no usable record the instance's, and puts it on record.
func (s *Spawner) adoptSeen(i *instance, x kernel.Process) error {
	fd, err := s.open(x)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	started := sinceBoot(x.Start)
	p := s.adopted(i.id, fd, runRecord{
		ID: i.id, Boot: s.boot, PID: x.PID, Start: x.Start, Tag: x.Tag, Run: x.Run, Port: x.Port, Spec: x.Spec,
		Started: readClock().stamp(started),
	})
	p.started = started
	s.log.Info("a process without a usable record was found by its environment", "instance", string(i.id), "pid", x.PID, "run", x.Run)
	s.begin(i, p, true)
	return nil
}

func (s *Spawner) adopted(id messages.InstanceID, fd *pidfd, r runRecord) *process {
	return &process{
		group: group{fd: fd, pid: r.PID, id: id, tag: r.Tag, start: r.Start},
		home:  s, record: r, done: make(chan struct{}),
	}
}
