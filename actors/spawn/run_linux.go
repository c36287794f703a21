package spawn

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"procman/messages"
)

// runKind marks records of runs.
const runKind = "run"

// runRecord is what is written of a run: who its process is, and how it ended.
type runRecord struct {
	ID      messages.InstanceID `json:"instance"`
	Boot    string              `json:"boot_id"`
	PID     int                 `json:"pid"`
	Start   uint64              `json:"start_ticks"` // of the process, since boot; with Boot and PID it names one process for ever
	Tag     string              `json:"tag"`
	Run     int                 `json:"run"`
	Port    int                 `json:"port"`
	Spec    string              `json:"spec_hash"`
	Started stamp               `json:"started_at"`
	Exit    *exitRecord         `json:"exit"` // nil until the process was seen to end
}

type exitRecord struct {
	Code   int                 `json:"code"`
	Signal string              `json:"signal"`
	Known  bool                `json:"known"`
	At     stamp               `json:"at"`
	Reason messages.ExitReason `json:"reason"`
}

// stamp is a time in a record: the wall clock's for people, CLOCK_MONOTONIC for ourselves.
type stamp struct {
	Wall time.Time `json:"wall"`
	Mono *int64    `json:"monotonic_ns"`
}

func (c clock) stamp(t time.Time) stamp { return stamp{Wall: t.Round(0).UTC(), Mono: c.nanos(t)} }

// read returns the time of a stamp. One of another boot can only be told by the wall clock; it lies in the past for sure.
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
	return &exitRecord{Code: e.Code, Signal: e.Signal, Known: e.Known, At: c.stamp(e.At), Reason: e.Reason}
}

// exit returns how the run ended. A run that was not concluded ended while nobody watched.
func (r *runRecord) exit(boot string) messages.Exit {
	c := readClock()
	if r.Exit == nil {
		return unknownExit(c.now)
	}
	e := r.Exit
	return messages.Exit{Code: e.Code, Signal: e.Signal, Known: e.Known, Reason: e.Reason, At: c.read(e.At, r.Boot == boot)}
}

func unknownExit(at time.Time) messages.Exit {
	return messages.Exit{Code: -1, At: at, Reason: messages.ReasonUnknown}
}

// readRun returns the record of the newest run; nil if there is none that can be read.
func (s *Spawner) readRun(id messages.InstanceID) (*runRecord, error) {
	var r runRecord
	err := readRecord(s.dir.Run(id), runKind, &r)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err == nil && r.ID != id:
		err = &fs.PathError{Op: "read", Path: s.dir.Run(id), Err: errForeign}
	}
	if err != nil {
		s.log.Warn("the record of a run cannot be used", "instance", string(id), "error", err,
			"consequence", "its process, if it lives, is looked for among all processes")
		return nil, err
	}
	return &r, nil
}

// writeRun replaces the record of the newest run. That it fails is no reason to stop anything: the process is found
// without it, by its environment; only its exit status may be missed.
func (s *Spawner) writeRun(r *runRecord) {
	path := s.dir.Run(r.ID)
	err := stage(path, runKind, r, false)
	if errors.Is(err, fs.ErrNotExist) {
		if err = s.makeDir(r.ID); err == nil { // the directory was deleted under us
			err = stage(path, runKind, r, false)
		}
	}
	if err == nil {
		failpoint("mid-record")
		err = commit(path, false)
	}
	if err != nil {
		s.log.Error("the record of a run cannot be written", "instance", string(r.ID), "run", r.Run, "pid", r.PID, "error", err,
			"consequence", "after a crash of the manager the process is looked for among all processes")
	}
}

func (s *Spawner) makeDir(id messages.InstanceID) error {
	return os.MkdirAll(s.dir.Instance(id), 0o700)
}
