package spawn

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"

	"procman/actors/record"
	"procman/messages"
)

// runKind marks records of runs.
const runKind = "run"

// runRecord is what is written of a run: who its process is, and how it ended.
type runRecord struct {
	ID   messages.InstanceID `json:"instance"`
	Boot string              `json:"boot_id"`
	PID  int                 `json:"pid"`
	// of the process, since boot; with Boot and PID it names one process for ever
	Start   uint64 `json:"start_ticks"`
	Tag     string `json:"tag"`
	Run     int    `json:"run"`
	Port    int    `json:"port"`
	Spec    string `json:"spec_hash"`
	Started stamp  `json:"started_at"`
	// under which it was started; it stays when the directory is moved or copied
	Dir string `json:"state_dir,omitempty"`

	Cgroup *messages.Cgroup `json:"cgroup,omitempty"` // of its own; nil: none

	lost bool        // it is not what is on disk
	Args string      `json:"args_hash,omitempty"` // of an intent, see Spawner.intent
	Exit *exitRecord `json:"exit"`                // nil until the process was seen to end
}

type exitRecord struct {
	Code   int    `json:"code"`
	Signal string `json:"signal"`
	Known  bool   `json:"known"`
	At     stamp  `json:"at"`
}

// stamp is a time in a record: the wall clock's for people, CLOCK_MONOTONIC for ourselves.
type stamp struct {
	Wall time.Time `json:"wall"`
	Mono *int64    `json:"monotonic_ns"`
}

func (c clock) stamp(t time.Time) stamp { return stamp{Wall: t.Round(0).UTC(), Mono: c.nanos(t)} }

// read returns the time of a stamp. One of another boot can only be told by the wall clock; it lies in the past for
// sure.
func (c clock) read(s stamp, sameBoot bool) time.Time {
	if sameBoot {
		return c.time(s.Mono)
	}
	if s.Wall.After(c.now) {
		return c.now
	}
	return s.Wall
}

func (c clock) exitRecord(e messages.Exit) *exitRecord {
	return &exitRecord{Code: e.Code, Signal: e.Signal, Known: e.Known, At: c.stamp(e.At)}
}

// exit returns how the run ended. A run that was not concluded ended while nobody watched.
func (r *runRecord) exit(boot string) messages.Exit {
	c := readClock()
	if r.Exit == nil {
		return unknownExit(c.now)
	}
	e := r.Exit
	return messages.Exit{Code: e.Code, Signal: e.Signal, Known: e.Known, At: c.read(e.At, r.Boot == boot)}
}

func unknownExit(at time.Time) messages.Exit {
	return messages.Exit{Code: -1, At: at}
}

// readRun returns the record of the newest run; nil if there is none that can be read. Where it is lost, damaged or of
// an earlier run than the last, the lock tells the same. What is wrong with it is in the error, also beside a record.
func (s *Spawner) readRun(id messages.InstanceID) (*runRecord, error) {
	var r *runRecord
	var read runRecord
	err := record.Read(s.dir.Run(id), runKind, &read)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = nil
	case err == nil && read.ID != id:
		err = &fs.PathError{Op: "read", Path: s.dir.Run(id), Err: errForeign}
	case err == nil:
		r = &read
	}
	if err != nil {
		s.log.Warn("the record of a run cannot be used", "instance", string(id), "error", err,
			"consequence", "its process, if it lives, is looked for among all processes")
	}
	if r != nil && r.Exit == nil && r.Boot == s.boot {
		return r, nil
	}
	if t := s.recordOfLock(id); t != nil && t.PID != 0 && (r == nil || t.Run > r.Run) {
		t.lost = true
		r = t
	}
	return r, err
}

// recordOfLock returns what the lock of the instance says of the run that took it last; nil if that is nothing, or of
// another boot.
func (s *Spawner) recordOfLock(id messages.InstanceID) *runRecord {
	text, err := record.ReadFile(s.dir.InstanceLock(id), maxTestimony)
	if err != nil {
		return nil
	}
	if r := lockRecord(text, id); r != nil && r.Boot == s.boot {
		return r
	}
	return nil
}

// save puts the record of the newest run on disk. Nobody on the way to a deed or a report waits for it; who starts a
// process does, but no longer than diskPatience. What could not be written is no reason to stop anything: the process
// is found without it, by its environment; only its exit status may be missed. It is tried again until it is written.
// then, if it is not nil, is called once that has been tried, and may wait for the disk too.
func (s *Spawner) save(i *instance, then func()) {
	if err := s.trySave(i, diskPatience, then); err != nil {
		s.saveLater(i, err)
	}
}

// Stalled returns why whoever needs the state directory now would wait for its file system; nil: he would not. A
// program cannot even be executed in place of this one then: the kernel waits for the threads that wait.
func (s *Spawner) Stalled() error { return s.disk.Stalled(diskPatience) }

// trySave returns nil if nothing is left to be written.
func (s *Spawner) trySave(i *instance, patience time.Duration, then func()) error {
	began := time.Now()
	if !i.pen.try() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if i.pen.take(ctx) != nil {
			return s.disk.Overdue(began)
		}
	}
	left, err := s.disk.Do(context.Background(), patience, func() error {
		err := s.writeNewest(i)
		if then != nil {
			then()
		}
		return err
	}, i.pen.give)
	if !left {
		i.pen.give()
	}
	return err
}

// writeNewest writes the record of the newest run as it is now, if it is not on disk.
func (s *Spawner) writeNewest(i *instance) error {
	for {
		i.mu.Lock()
		r := i.unsaved
		i.mu.Unlock()
		if r == nil {
			return nil
		}
		if err := s.writeRun(r); err != nil {
			return err
		}
		i.mu.Lock()
		if i.unsaved == r {
			i.unsaved = nil
		}
		i.mu.Unlock()
	}
}

// writeRun replaces the record of the newest run.
func (s *Spawner) writeRun(r *runRecord) error {
	path := s.dir.Run(r.ID)
	err := s.stage(r.ID, path, runKind, r, false)
	if err == nil {
		failpoint("mid-record")
		err = record.Commit(path, false)
	}
	return err
}

// stage is record.Stage for a file in the directory of an instance, which is made if it is missing.
func (s *Spawner) stage(id messages.InstanceID, path, kind string, body any, sync bool) error {
	err := record.Stage(path, kind, body, sync)
	if errors.Is(err, fs.ErrNotExist) { // it is the first file there, or the directory was deleted under us
		if err = s.makeDir(id); err == nil {
			err = record.Stage(path, kind, body, sync)
		}
	}
	return err
}

// saveLater has the record written as soon as that is possible.
func (s *Spawner) saveLater(i *instance, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := len(s.unsaved) == 0
	s.unsaved[i] = true
	if !first || s.closed {
		return
	}
	s.log.Error("the record of a run cannot be written; it is tried again until it is", "instance", string(i.id),
		"error", err,
		"consequence", "after a crash of the manager the process is looked for among all processes")
	s.work.Go(s.catchUp)
}

// catchUp writes what could not be written before.
func (s *Spawner) catchUp() {
	for pause := saveAgain; s.sleep(pause); pause = min(2*pause, 10*saveAgain) {
		s.mu.Lock()
		waiting := slices.Collect(maps.Keys(s.unsaved))
		s.mu.Unlock()
		for _, i := range waiting {
			err := s.trySave(i, diskPatience/10, nil)
			s.mu.Lock()
			if err == nil {
				delete(s.unsaved, i)
			}
			left := len(s.unsaved)
			s.mu.Unlock()
			if left == 0 {
				s.log.Info("the records of runs are written again", "records", len(waiting))
				return
			}
		}
	}
}

func (s *Spawner) makeDir(id messages.InstanceID) error {
	return os.MkdirAll(s.dir.Instance(id), 0o700)
}
