package spawn

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"procman/actors/kernel"
	"procman/actors/record"
	"procman/messages"
)

// Look returns what records and processes tell of every instance, in the order of their ids. It changes nothing, takes
// no lock and signals nobody, so that it may be called while a manager uses the directory. What it cannot read is in
// the error, the rest is there all the same. The error wraps fs.ErrNotExist if there is no such directory.
func Look(ctx context.Context, dir messages.StateDir) ([]Trace, error) {
	s, err := onlooker(dir)
	if err != nil {
		return nil, err
	}
	ids, err := s.known()
	errs := []error{err}
	records := make(map[messages.InstanceID]*runRecord, len(ids))
	for _, id := range ids {
		r, err := s.readRun(id)
		errs = append(errs, err)
		records[id] = r
	}
	seen, err := s.scan(ctx, records)
	if err != nil {
		return nil, errors.Join(append(errs, fmt.Errorf("the processes of the host cannot be looked at: %w", err))...)
	}
	all := map[messages.InstanceID]bool{}
	for _, id := range ids {
		all[id] = true
	}
	for id := range seen {
		all[id] = true
	}
	var traces []Trace
	clock := readClock()
	for _, id := range slices.Sorted(maps.Keys(all)) {
		t := Trace{ID: id}
		m, err := s.readMemory(id)
		switch {
		case err == nil:
			m := m.recall(s.boot, clock)
			t.Memory = &m
		case !errors.Is(err, fs.ErrNotExist):
			errs = append(errs, err)
		}
		if t.Survivor, err = s.trace(id, records[id], seen[id]); err != nil {
			errs = append(errs, fmt.Errorf("the process of %q cannot be looked at: %w", string(id), err))
		}
		if t.Memory != nil || t.Survivor != nil {
			traces = append(traces, t)
		}
	}
	return traces, errors.Join(errs...)
}

// onlooker returns a Spawner that can only read: it has no lock and watches nothing.
func onlooker(dir messages.StateDir) (*Spawner, error) {
	path, err := filepath.Abs(string(dir))
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return nil, fmt.Errorf("the state directory cannot be read: %w", err)
	}
	boot, err := bootID(Options{Proc: "/proc"})
	if err != nil {
		return nil, err
	}
	return &Spawner{dir: messages.StateDir(path), log: slog.New(slog.DiscardHandler), proc: "/proc", boot: boot}, nil
}

// trace finds the process of one instance: the one on record, else the best of those seen. It returns nil if none is on
// record and none lives.
func (s *Spawner) trace(id messages.InstanceID, r *runRecord, seen []kernel.Process) (*messages.Survivor, error) {
	var found *messages.Survivor
	var d *doubt
	if r != nil && r.Run > 0 {
		v := messages.Survivor{ID: id, Run: r.Run, PID: r.PID, Port: r.Port, SpecHash: r.Spec,
			StartedAt: readClock().read(r.Started, r.Boot == s.boot)}
		var err error
		if v.Alive, v.Exit, d, err = s.onRecord(r); err != nil || v.Alive {
			return &v, err
		}
		found = &v
	}
	f := s.judgeSeen(id, r, seen)
	if f.leader != nil {
		x := f.record
		return &messages.Survivor{ID: id, Run: x.Run, PID: x.PID, Port: x.Port, SpecHash: x.Spec,
			StartedAt: sinceBoot(x.Start), Alive: true}, nil
	}
	if d == nil {
		d = f.doubt
	}
	if d != nil {
		v := messages.Survivor{ID: id, Run: d.run, PID: d.pid, Alive: true, Unclear: s.unclear(id, d).Error()}
		if found != nil {
			v.Run, v.SpecHash = found.Run, found.SpecHash
		}
		return &v, nil
	}
	return found, nil
}

// onRecord reports whether the process on record lives, and otherwise how it ended as far as that can be told, or why
// it cannot be told.
func (s *Spawner) onRecord(r *runRecord) (alive bool, end messages.Exit, d *doubt, err error) {
	end = r.exit(s.boot)
	if r.Boot != s.boot || r.Exit != nil {
		return false, end, nil, nil
	}
	fd, err := kernel.OpenPidfd(r.PID)
	if errors.Is(err, unix.ESRCH) {
		return false, end, nil, nil
	}
	if err != nil {
		return false, end, nil, err
	}
	defer fd.Close()
	verdict, d, _ := s.judgeRecorded(fd, r)
	switch {
	case verdict != kernel.Leader:
		return false, end, d, nil
	case !fd.Ended():
		return true, messages.Exit{}, nil, nil
	}
	if st, err := s.proc.Stat(r.PID); err == nil && st.Start == r.Start && st.Zombie() {
		end = exitOf(syscall.WaitStatus(st.Status), true, time.Now())
	}
	return false, end, nil, nil
}

// Owner returns the pid of the manager that has the directory, by what it wrote into the lock file and holds open; 0 if
// there is none, or none that this user can see. It takes no lock.
func Owner(dir messages.StateDir) int {
	text, err := record.ReadFile(dir.Lock(), 32)
	if err != nil {
		return 0 // who has it is a help to a person, no more
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 0 || pid == os.Getpid() {
		return 0
	}
	path, err := filepath.EvalSymlinks(dir.Lock())
	if err != nil || !kernel.Procfs("/proc").Holds(pid, path) {
		return 0
	}
	return pid
}
