package spawn

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"procman/actors/kernel"
	"procman/messages"
)

// intent is the record of a run that has no process yet. It is written into the lock before the fork. Should the
// manager die between the fork and the record, the process may have wiped its environment and closed its descriptors
// before anybody looks. Then it is told by what it cannot undo so easily: when it began, its command line, and the
// output files that it was given.
func (s *Spawner) intent(l messages.Launch, args []string) runRecord {
	return runRecord{
		ID: l.App.InstanceID, Boot: s.boot, Tag: newTag(), Run: l.Run, Port: l.Port, Spec: l.App.SpecHash(),
		Dir:     string(s.dir),
		Started: readClock().stamp(time.Now()), Args: hashOf(args),
	}
}

func hashOf(args []string) string {
	sum := sha256.Sum256([]byte(strings.Join(args, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// recall finds the process of a start of which nothing but the intent was written. It is in doubt if it shows no tag
// and another command line: then it may be one that the process has started.
func (s *Spawner) recall(ctx context.Context, id messages.InstanceID, r *runRecord, f *findings) {
	intent := s.pending(id, r)
	if intent == nil {
		return
	}
	as := *intent
	_, since := s.since(ctx, id, intent)
	var x *kernel.Process
	for _, p := range since {
		if p.Leads(p.PID) && (x == nil || x.Start > p.Start) {
			x = &p
		}
	}
	if x == nil {
		return
	}
	as.PID, as.Start = x.PID, x.Start
	if line, err := s.proc.CommandLine(x.PID); x.Tag == as.Tag || err == nil && hashOf(line) == as.Args {
		f.leader, f.record, f.doubt = x, as, nil
		return
	}
	f.doubt = &doubt{why: kernel.DoubtIntent, pid: x.PID, start: x.Start, run: as.Run, spec: as.Spec}
}

// pending returns the intent of a start of which nothing else was written; nil: there is none, or the record was
// written after all.
func (s *Spawner) pending(id messages.InstanceID, r *runRecord) *runRecord {
	intent := s.recordOfLock(id)
	if intent == nil || intent.PID != 0 || r != nil && r.Run >= intent.Run {
		return nil
	}
	return intent
}

// leftBehind returns what lives of a run of which nothing but the intent is known, and whose first process has ended:
// they write to the output that it was given, began after the intent, and their session is that of a process which is
// gone. The intent is told its pid by that.
func (s *Spawner) leftBehind(ctx context.Context, id messages.InstanceID, r, intent *runRecord) map[int]member {
	table, since := s.since(ctx, id, intent)
	left := map[int]member{}
	for _, p := range since {
		leader, there := table[p.Session]
		if p.Leads(p.PID) || p.Session == 0 || there && !leader.Zombie() || r != nil && p.Session == r.PID {
			continue
		}
		intent.PID = p.Session
		left[p.PID] = member{Process: p}
	}
	return left
}

// since returns the processes of the host, and of them those that began after the intent, write to the output of the
// instance, and show the tag of no other run; none if they cannot be looked at: the next look finds out.
func (s *Spawner) since(ctx context.Context, id messages.InstanceID, intent *runRecord) (table map[int]kernel.Process,
	since []kernel.Process) {
	table, err := s.proc.Table(ctx)
	if err != nil {
		return nil, nil
	}
	// The kernel counts the start of a process in ticks of 10 ms.
	began := readClock().read(intent.Started, true).Add(-20 * time.Millisecond)
	buffer := make([]byte, 64<<10)
	for pid, p := range table {
		if p.Zombie() || sinceBoot(p.Start).Before(began) || !s.writesFor(pid, id) {
			continue
		}
		if p.Tags = s.proc.TagsOf(pid, buffer); p.Tag == "" || p.Tag == intent.Tag {
			since = append(since, p)
		}
	}
	return table, since
}

// isHelper reports whether nothing but the intent is known of the run whose tag the process shows, and the process is
// not what was to be started.
func (s *Spawner) isHelper(id messages.InstanceID, x kernel.Process) bool {
	if x.Tag == "" {
		return false
	}
	intent := s.recordOfLock(id)
	if intent == nil || intent.PID != 0 || intent.Tag != x.Tag || s.writesFor(x.PID, id) {
		return false
	}
	line, err := s.proc.CommandLine(x.PID)
	return err == nil && hashOf(line) != intent.Args
}

// writesFor reports whether the process has an output file of the instance where it was given it.
func (s *Spawner) writesFor(pid int, id messages.InstanceID) bool {
	for fd, path := range map[int]string{1: s.dir.Stdout(id), 2: s.dir.Stderr(id)} {
		if open, err := s.proc.HasOpen(pid, fd, path); err == nil && open {
			return true
		}
	}
	return false
}
