package spawn

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"procman/actors/record"
	"procman/messages"
)

const memoryKind = "memory"

// errForeign says that a record lies in the directory of another instance.
var errForeign = errors.New("the record is another instance's")

// memoryRecord is a messages.Memory on disk. Its times are CLOCK_MONOTONIC of the boot it names.
type memoryRecord struct {
	ID      messages.InstanceID `json:"instance"`
	Boot    string              `json:"boot_id"`
	Init    uint64              `json:"init_ticks,omitempty"` // when pid 1 was started; 0: not known
	Run     int                 `json:"run"`
	Exited  bool                `json:"exited"`
	Spec    string              `json:"spec_hash"`
	Rule    string              `json:"restart_hash,omitempty"`
	Starts  int                 `json:"starts"`
	Counted bool                `json:"counted"`
	messages.StopPolicy
	Attempts     int                 `json:"attempts"`
	Phase        messages.Phase      `json:"phase"`
	Reason       string              `json:"reason"`
	DueAt        *int64              `json:"due_ns"`
	HealthySince *int64              `json:"healthy_since_ns"`
	StopAs       messages.ExitReason `json:"stop_as"`
	KillAt       *int64              `json:"kill_ns"`
	Held         bool                `json:"held"`
	HeldBy       string              `json:"held_by,omitempty"`
	HeldAt       time.Time           `json:"held_at,omitzero"`
	LastExit     *memoryExit         `json:"last_exit"`
}

type memoryExit struct {
	Code   int                 `json:"code"`
	Signal string              `json:"signal"`
	Known  bool                `json:"known"`
	At     *int64              `json:"at_ns"`
	Reason messages.ExitReason `json:"reason"`
}

func memorize(m messages.Memory, boot string, c clock) memoryRecord {
	r := memoryRecord{
		ID: m.ID, Boot: boot, Run: m.Run, Exited: m.Exited, Spec: m.Spec, Rule: m.Rule, Starts: m.Starts,
		Counted: m.Counted, StopPolicy: m.Stop, Attempts: m.Attempts,
		Phase: m.Phase, Reason: m.Reason, DueAt: c.nanos(m.DueAt), HealthySince: c.nanos(m.HealthySince),
		StopAs: m.StopAs, KillAt: c.nanos(m.KillAt),
		Held: m.Held, HeldBy: m.HeldBy, HeldAt: m.HeldAt.Round(0),
	}
	if r.Signal == "TERM" { // as versions have it that know no other
		r.Signal = ""
	}
	if e := m.LastExit; e != nil {
		r.LastExit = &memoryExit{Code: e.Code, Signal: e.Signal, Known: e.Known, At: c.nanos(e.At), Reason: e.Reason}
	}
	return r
}

func (r memoryRecord) recall(boot string, c clock) messages.Memory {
	if r.Boot != boot {
		r.DueAt, r.HealthySince, r.KillAt = nil, nil, nil
	}
	if r.StopPolicy != (messages.StopPolicy{}) {
		r.Signal = r.Asks()
	}
	m := messages.Memory{
		ID: r.ID, Run: r.Run, Exited: r.Exited, Spec: r.Spec, Rule: r.Rule, Starts: r.Starts, Counted: r.Counted,
		Stop: r.StopPolicy, Attempts: r.Attempts,
		Phase: r.Phase, Reason: r.Reason, DueAt: c.time(r.DueAt), HealthySince: c.time(r.HealthySince),
		StopAs: r.StopAs, KillAt: c.time(r.KillAt),
		Held: r.Held, HeldBy: r.HeldBy, HeldAt: r.HeldAt, Rebooted: r.Boot != boot,
	}
	if e := r.LastExit; e != nil {
		m.LastExit = &messages.Exit{Code: e.Code, Signal: e.Signal, Known: e.Known, Reason: e.Reason}
		if r.Boot == boot {
			m.LastExit.At = c.time(e.At)
		}
	}
	return m
}

// Recall returns what is remembered of every instance, in the order of their ids. What it cannot read is in the error
// and in the log, and missing from the result; the rest is there all the same.
func (s *Spawner) Recall(ctx context.Context) ([]messages.Memory, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	ids, err := s.known()
	errs := []error{err}
	c, init := readClock(), s.initStart()
	var memories []messages.Memory
	read, wrong := make([]memoryRecord, len(ids)), make([]error, len(ids))
	each(len(ids), func(n int) {
		if wrong[n] = ctx.Err(); wrong[n] == nil {
			read[n], wrong[n] = s.readMemoryOf(ids[n], init)
		}
	})
	if err := ctx.Err(); err != nil {
		return nil, errors.Join(append(errs, err)...)
	}
	for n, id := range ids {
		r, err := read[n], wrong[n]
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			s.log.Warn("what is remembered of an instance cannot be read", "instance", string(id), "error", err,
				"consequence", "its counters begin anew; an operator's hold on it is lost")
			errs = append(errs, err)
		default:
			memories = append(memories, r.recall(s.boot, c))
		}
	}
	return memories, errors.Join(errs...)
}

func (s *Spawner) readMemory(id messages.InstanceID) (memoryRecord, error) {
	return s.readMemoryOf(id, s.initStart())
}

// readMemoryOf reads what is remembered while pid 1 has that start.
func (s *Spawner) readMemoryOf(id messages.InstanceID, init uint64) (memoryRecord, error) {
	var r memoryRecord
	err := record.Read(s.dir.Memory(id), memoryKind, &r)
	if err == nil && r.ID != id {
		err = fmt.Errorf("%s: %w", s.dir.Memory(id), errForeign)
	}
	// A container that was started again has the host's boot id as before. But its processes have all ended, and by no
	// failure of theirs.
	if r.Init != 0 && init != 0 && r.Init != init {
		r.Boot = ""
	}
	return r, err
}

// initStart returns when pid 1 was started, in ticks; 0 if it is not shown.
func (s *Spawner) initStart() uint64 {
	if known := s.init.Load(); known != 0 {
		return known // it ends with us
	}
	st, err := s.proc.Stat(1)
	if err != nil {
		return 0
	}
	s.init.Store(st.Start)
	return st.Start
}

// Remember replaces what is remembered of one instance. What it said last is what Recall returns, also after this
// process was killed. A change of Held, and everything remembered while it is true, is on disk when Remember returns.
// It takes as long as the disk does.
func (s *Spawner) Remember(m messages.Memory) error {
	if err := m.ID.Validate(); err != nil {
		return err
	}
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	defer s.disk.Enter()()
	failpoint("before-remember")
	i := s.instance(m.ID)
	i.files.Lock()
	defer i.files.Unlock()
	sync := m.Held || s.wasHeld(i)
	path := s.dir.Memory(m.ID)
	r := memorize(m, s.boot, readClock())
	r.Init = s.initStart()
	if err := s.stage(m.ID, path, memoryKind, r, sync); err != nil {
		return err
	}
	failpoint("mid-remember")
	if err := record.Commit(path, sync); err != nil {
		return err
	}
	failpoint("after-remember")
	if sync {
		// The names on the way to the file may be as new as the file.
		if err := errors.Join(record.SyncDir(s.dir.Instances()), record.SyncDir(string(s.dir))); err != nil {
			return err
		}
	}
	i.held = holdAs(m.Held)
	return nil
}

// wasHeld returns Held as it is on disk.
func (s *Spawner) wasHeld(i *instance) bool {
	if i.held == holdUnknown {
		r, err := s.readMemory(i.id)
		// A record that cannot be read may have been a hold.
		i.held = holdAs(r.Held || err != nil && !errors.Is(err, fs.ErrNotExist))
	}
	return i.held == holds
}

// hold is whether an operator's hold is on disk.
type hold uint8

const (
	holdUnknown hold = iota
	holds
	holdsNot
)

func holdAs(held bool) hold {
	if held {
		return holds
	}
	return holdsNot
}

// Expunge forgets an instance that is no longer known: what is remembered of it, and the record of its newest run
// unless that still lives, or may live. Its output files stay.
func (s *Spawner) Expunge(id messages.InstanceID) error {
	if err := id.Validate(); err != nil {
		return err
	}
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	defer s.disk.Enter()()
	i := s.instance(id)
	i.files.Lock()
	defer i.files.Unlock()
	held := s.wasHeld(i)
	i.held = holdUnknown
	memory := []string{s.dir.Memory(id), record.Staged(s.dir.Memory(id))}
	_ = i.pen.take(context.Background()) // or a record on its way would come after us
	defer i.pen.give()
	i.mu.Lock()
	gone := (i.newest == nil || i.newest.ended()) && i.doubt == nil
	p := i.newest
	if gone {
		s.census.lead(i.newest, nil)
		i.newest, i.unsaved = nil, nil
	}
	i.mu.Unlock()
	var errs []error
	remove := func(paths ...string) {
		for _, path := range paths {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	// In this order: who dies in between leaves to the next what it needs to know that the rest can be forgotten, and
	// what the policy is for those whom the run has left.
	switch free := s.unlocked(id); {
	case gone && !free && p != nil:
		remove(s.dir.InstanceLock(id)) // who has it keeps it, with what it says: it is in nobody's way by that
	case gone && free:
		if err := clearLockRecord(s.dir.InstanceLock(id)); err != nil {
			errs = append(errs, err)
		}
	}
	if gone {
		remove(s.dir.Run(id), record.Staged(s.dir.Run(id)))
	}
	remove(memory...)
	if held && len(errs) == 0 {
		// Or the hold would be back after a crash of the host, on an instance that may have been given the id again.
		if err := record.SyncDir(s.dir.Instance(id)); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
