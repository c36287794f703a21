package spawn

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"procman/actors/kernel"
	"procman/actors/record"
	"procman/messages"
)

// doubt is a process of which it cannot be told whether it is the instance's.
type doubt struct {
	why     kernel.Doubt
	pid     int    // 0: none that is visible here
	start   uint64 // 0: not known
	run     int
	spec    string
	manager otherManager
	room    error // it is the run's, but there is no room to hold it; nil: there is
}

// otherManager is a live manager of another state directory.
type otherManager struct {
	dir string
	pid int // 0: none; unseen: there is one
}

// unseen stands for the pid of a manager that is not visible here.
const unseen = -1

// findings is what is known of one instance's processes.
type findings struct {
	leader *kernel.Process // of those that were seen; nil: none
	record runRecord       // of leader
	rivals []kernel.Process
	doubt  *doubt
}

// runOf returns what Judge needs of a record.
func runOf(r *runRecord) *kernel.Run {
	if r == nil {
		return nil
	}
	return &kernel.Run{Boot: r.Boot, PID: r.PID, Start: r.Start, Tag: r.Tag, Number: r.Run, Ended: r.Exit != nil}
}

// judgeRecorded says what the process is that has the pid on record. The pidfd was opened before: were the pid given to
// another process in between, the pidfd would be that of a process that began earlier, and nothing below would fit. Of
// a leader it reports whether it has its lock here.
func (s *Spawner) judgeRecorded(fd *kernel.Pidfd, r *runRecord) (verdict kernel.Verdict, d *doubt, here bool) {
	e := kernel.Evidence{Boot: s.boot, Record: runOf(r), PID: r.PID}
	st, err := s.proc.Stat(r.PID)
	switch {
	case err == nil:
		e.Stat = st
	case fd.Ended():
		return kernel.Stranger, nil, false // it was reaped: whatever it was, it is no more
	case isLack(err): // we could not look
		return kernel.Unclear, &doubt{pid: r.PID, start: r.Start, run: r.Run, spec: r.Spec, room: err}, false
	default:
		e.Hidden = true // it lives: hidepid, another pid namespace, another user's
	}
	if env, err := s.proc.Environ(r.PID); err == nil { // what it cannot show does not count against it
		e.Shows = env.Tags()
		e.Ours = e.Shows.ID == r.ID && s.isOurs(e.Shows.Dir)
	}
	var why kernel.Doubt
	if verdict, why = kernel.Judge(e); verdict != kernel.Leader { // rare, and only now does it take more to know
		e.Child = fd.Child()
		e.Lock, e.Witness, _ = s.lockOf(r.PID, r.ID)
		verdict, why = kernel.Judge(e)
	}
	var m otherManager
	if verdict == kernel.Leader {
		m, here = s.managerAndLock(r.ID, r.PID, e.Shows.Dir, r.Dir)
		e.Manager = m.pid
		verdict, why = kernel.Judge(e)
	}
	if verdict == kernel.Unclear && fd.Ended() {
		return kernel.Stranger, nil, false // whatever it was, it is no more
	}
	if verdict == kernel.Unclear {
		return verdict, &doubt{why: why, pid: r.PID, start: e.Stat.Start, run: r.Run, spec: r.Spec, manager: m}, false
	}
	return verdict, nil, here
}

// judgeSeen says what each of those is that were seen, beside the process of the record r, and finds the leader among
// them. A process of which r is the record has been looked at before.
func (s *Spawner) judgeSeen(id messages.InstanceID, r *runRecord, seen []kernel.Process) findings {
	type candidate struct {
		kernel.Process
		record  runRecord
		witness bool
	}
	first := map[string]candidate{}
	var f findings
	for _, x := range seen {
		if x.Zombie() || r != nil && x.PID == r.PID && x.Start == r.Start {
			continue
		}
		e := kernel.Evidence{Boot: s.boot, Record: runOf(r), PID: x.PID, Stat: x.Stat, Shows: x.Tags,
			Ours: x.ID == id && s.isOurs(x.Dir)}
		var says *runRecord
		if x.Tag == "" || r == nil || x.Tag != r.Tag && x.Run >= r.Run {
			e.Lock, e.Witness, says = s.lockOf(x.PID, id)
			e.Ours = e.Ours || e.Lock && x.ID == id
			e.Helper = !e.Lock && s.isHelper(id, x)
			e.Cgroup = x.Tag == "" && s.inCgroup(r, x.PID)
		}
		verdict, why := kernel.Judge(e)
		var m otherManager
		if verdict == kernel.Leader {
			m = s.managerOf(id, x.PID, x.Dir)
			e.Manager = m.pid
			verdict, why = kernel.Judge(e)
		}
		switch verdict {
		case kernel.Unclear:
			if f.doubt == nil || x.Start < f.doubt.start { // what a process starts was started later
				f.doubt = &doubt{why: why, pid: x.PID, start: x.Start, run: x.Run, spec: x.Spec, manager: m}
			}
		case kernel.Leader:
			c := candidate{Process: x, record: s.recordOf(id, x)}
			if says != nil && e.Witness != nil && says.Tag == e.Witness.Tag && says.PID == x.PID &&
				(x.Tag == "" || x.Tag == says.Tag) {
				c.record, c.witness = *says, true
				c.record.ID = id
			}
			// What a process starts in a session of its own carries its tag as well, but was started later.
			if had, ok := first[c.record.Tag]; !ok || x.Start < had.Start {
				first[c.record.Tag] = c
			}
		}
	}
	var leaders []candidate
	for _, c := range first {
		leaders = append(leaders, c)
	}
	sure := func(c candidate) int {
		if c.witness {
			return 1
		}
		return 0
	}
	slices.SortFunc(leaders, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(sure(b), sure(a)), cmp.Compare(b.record.Run, a.record.Run),
			cmp.Compare(b.Start, a.Start), cmp.Compare(b.PID, a.PID))
	})
	for n, c := range leaders {
		if n == 0 {
			f.leader, f.record = &c.Process, c.record
			continue
		}
		f.rivals = append(f.rivals, c.Process)
	}
	return f
}

// recordOf makes a record of what a process shows.
func (s *Spawner) recordOf(id messages.InstanceID, x kernel.Process) runRecord {
	return runRecord{
		ID: id, Boot: s.boot, PID: x.PID, Start: x.Start, Tag: x.Tag, Run: x.Run, Port: x.Port,
		Spec: x.Spec, Dir: x.Dir,
		Started: readClock().stamp(sinceBoot(x.Start)),
	}
}

// lockOf reports whether the process holds the lock of the instance where a process of procman does, and what the lock
// says of the run that took it, see recordInLock.
func (s *Spawner) lockOf(pid int, id messages.InstanceID) (held bool, witness *kernel.Run, says *runRecord) {
	target, err := s.proc.FD(pid, kernel.LockFD)
	if err != nil {
		return false, nil, nil
	}
	path := s.dir.InstanceLock(id)
	name := strings.TrimSuffix(target, " (deleted)")
	// The link is compared by name first: to follow one that leads elsewhere could block on a dead file system.
	if filepath.Base(name) != filepath.Base(path) || filepath.Base(filepath.Dir(name)) != string(id) {
		return false, nil, nil
	}
	held = name == path
	if !held {
		held, _ = s.proc.HasOpen(pid, kernel.LockFD, path) // an error is no proof
	}
	f, err := s.proc.OpenFD(pid, kernel.LockFD, os.O_RDONLY)
	if err != nil {
		return held, nil, nil
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxTestimony))
	says = lockRecord(text, id)
	if err != nil || says == nil || says.PID == 0 {
		return held, nil, nil // it says nothing, or only that a start was intended
	}
	return held, runOf(says), says
}

// lockKind marks what is written into the lock file of an instance; maxTestimony is more than that ever is.
const (
	lockKind     = "lock"
	maxTestimony = 16 << 10
)

// recordInLock writes into the lock that the process holds for life whose it is. So it is known when its record is lost
// and it shows no environment. That it fails is no harm: there are the record and the tag.
func recordInLock(lock *os.File, r runRecord) error {
	text, err := record.Seal(lockKind, r)
	if err != nil {
		return err
	}
	if _, err = lock.WriteAt(text, 0); err == nil {
		err = lock.Truncate(int64(len(text)))
	}
	return err
}

// lockRecord returns what was written by recordInLock; nil if that is nothing, or of another instance.
func lockRecord(text []byte, id messages.InstanceID) *runRecord {
	var r runRecord
	if record.Unseal(lockKind, text, &r) != nil || r.ID != id {
		return nil
	}
	return &r
}

// isOurs reports whether the directory is that of this manager, whatever name leads to it.
func (s *Spawner) isOurs(dir string) bool {
	if dir == string(s.dir) {
		return true
	}
	if !filepath.IsAbs(dir) {
		return false
	}
	theirs, err := os.Stat(messages.StateDir(dir).Lock())
	if err != nil {
		return false
	}
	ours, err := os.Stat(s.dir.Lock())
	return err == nil && os.SameFile(theirs, ours)
}

// oursByName is isOurs for many processes: each name is looked at once.
func (s *Spawner) oursByName() func(dir string) bool {
	known := map[string]bool{}
	return func(dir string) bool {
		ours, asked := known[dir]
		if !asked {
			ours = s.isOurs(dir)
			known[dir] = ours
		}
		return ours
	}
}

// managerOf returns the live manager, other than this one, of the directories that the process was started under: those
// given, the one in which its lock lies, which may have been moved, and the one from which it was managed last. If
// there is none, those that exist are kept from any other from now on: a process has one manager.
func (s *Spawner) managerOf(id messages.InstanceID, pid int, dirs ...string) otherManager {
	m, _ := s.managerAndLock(id, pid, dirs...)
	return m
}

// managerAndLock is managerOf, and reports whether the process has its lock here.
func (s *Spawner) managerAndLock(id messages.InstanceID, pid int, dirs ...string) (m otherManager, here bool) {
	target, err := s.proc.FD(pid, kernel.LockFD)
	here = err == nil && target == s.dir.InstanceLock(id)
	if err == nil && !here {
		dirs = append(dirs, dirOfLock(target))
		if _, _, says := s.lockOf(pid, id); says != nil {
			dirs = append(dirs, says.Dir)
		}
	}
	for _, dir := range dirs {
		if dir == "" || dir == string(s.dir) || !filepath.IsAbs(dir) {
			continue
		}
		if pid := s.claim(dir); pid != 0 {
			return otherManager{dir, pid}, here
		}
	}
	return otherManager{}, here
}

// mark writes into the lock that the process holds from where it is managed now, if that lock lies elsewhere: so
// whoever comes to where it lay knows whose it is.
func (s *Spawner) mark(r runRecord) {
	target, err := s.proc.FD(r.PID, kernel.LockFD)
	if err != nil || target == s.dir.InstanceLock(r.ID) || dirOfLock(target) == "" {
		return
	}
	if _, witness, _ := s.lockOf(r.PID, r.ID); witness != nil && witness.Tag != r.Tag {
		return
	}
	lock, err := s.proc.OpenFD(r.PID, kernel.LockFD, os.O_WRONLY)
	if err != nil {
		return // it is a help to others, and no more
	}
	defer lock.Close()
	r.Dir = string(s.dir)
	s.inscribe(lock, func() {
		_ = lock.Truncate(0) // what is there is written over in any case
		s.note(lock, r)
	})
}

// dirOfLock returns the state directory in which an instance's lock lies; empty if that is none.
func dirOfLock(target string) string {
	name := strings.TrimSuffix(target, " (deleted)")
	if filepath.Base(name) != "lock" {
		return ""
	}
	instances := filepath.Dir(filepath.Dir(name))
	if filepath.Base(instances) != "instances" {
		return ""
	}
	return filepath.Dir(instances)
}

// claim takes the lock of another state directory, and keeps it until Close. It returns the pid of the manager that has
// it, unseen if that one is not visible here, and 0 if the directory has no manager, or does not exist. Who only looks
// takes none.
func (s *Spawner) claim(dir string) int {
	other := messages.StateDir(dir)
	if s.lock == nil {
		return Owner(other)
	}
	s.locking.Lock()
	defer s.locking.Unlock()
	if s.claims[dir] != nil || s.isOurs(dir) {
		return 0
	}
	f, err := record.Open(other.Lock(), os.O_RDWR, 0)
	if kernel.Gone(err) || errors.Is(err, unix.ENOTDIR) {
		return 0
	}
	if err != nil {
		return unseen
	}
	info, err := f.Stat()
	for _, had := range s.claims { // two names of one directory
		if then, statErr := had.Stat(); err == nil && statErr == nil && os.SameFile(info, then) {
			_ = f.Close()
			return 0
		}
	}
	if err == nil {
		err = lockSoon(f, unix.LOCK_EX)
	}
	if err == nil {
		err = sign(f)
	}
	if err != nil {
		_ = f.Close()
		if pid := Owner(other); pid != 0 {
			return pid
		}
		return unseen
	}
	s.log.Warn("processes were started under another state directory, of which no manager lives; they are managed "+
		"from here now, and no other manager gets it meanwhile",
		"dir", dir)
	s.claims[dir] = f
	return 0
}

// unclear puts a doubt into words: which process is meant, and what would settle it.
func (s *Spawner) unclear(id messages.InstanceID, d *doubt) *messages.StartError {
	say := func(help, format string, args ...any) *messages.StartError {
		return &messages.StartError{Fault: messages.FaultUnclear, Err: fmt.Errorf(format, args...), Help: help}
	}
	if d.room != nil {
		return &messages.StartError{Fault: messages.FaultNotTaken,
			Err: fmt.Errorf("process %d runs on: %w", d.pid, d.room)}
	}
	end := fmt.Sprintf("it is decided by itself once that process has ended: `kill %d`", d.pid)
	forget := fmt.Sprintf("; or, if it is none of %q's, remove %s", string(id), s.dir.Run(id))
	switch d.why {
	case kernel.DoubtHidden:
		return say(end+", if it is a leftover"+forget,
			"process %d lives and has the pid on record, but %s does not show what it is", d.pid, s.proc)
	case kernel.DoubtStart:
		return say(end+forget, "process %d has the pid on record, but no start time is on record, and it shows no tag",
			d.pid)
	case kernel.DoubtLock:
		if d.pid == 0 {
			return say("it is decided by itself once that has ended: `fuser "+s.dir.InstanceLock(id)+"`, as root",
				"something holds %s that is not visible here", s.dir.InstanceLock(id))
		}
		return say(end, "process %d holds %s, but shows no tag, and no record names it", d.pid, s.dir.InstanceLock(id))
	case kernel.DoubtIntent:
		return say(end, "process %d leads a session, writes to the output of %q and began when run %d was being "+
			"started, but shows another command line and no tag",
			d.pid, string(id), d.run)
	case kernel.DoubtManaged:
		m := d.manager
		if m.pid == unseen {
			return say("end that manager, or use its state directory",
				"process %d belongs to the state directory %s, which a manager has that is not visible here",
				d.pid, m.dir)
		}
		end := "end that manager"
		if socket := socketOf(messages.StateDir(m.dir)); socket != "" {
			end += fmt.Sprintf(" (`procman --socket %s detach`)", socket)
		}
		return say(end+", or use its state directory",
			"process %d belongs to the state directory %s, which the manager with pid %d has", d.pid, m.dir, m.pid)
	}
	return say(end, "process %d shows the tag of run %d of it, but no record and no lock says that it is its process",
		d.pid, d.run)
}

// again returns the process that is in doubt as it is now; false if it has ended.
func (s *Spawner) again(d *doubt) (kernel.Process, bool) {
	if d == nil || d.pid == 0 {
		return kernel.Process{}, false
	}
	st, err := s.proc.Stat(d.pid)
	if err != nil || d.start != 0 && st.Start != d.start {
		return kernel.Process{}, false
	}
	x := kernel.Process{PID: d.pid, Stat: st}
	if env, err := s.proc.Environ(d.pid); err == nil {
		x.Tags = env.Tags()
	}
	return x, true
}

// lockHolders returns the processes that hold the locks of the instances where a process of procman does. It reads one
// descriptor of every process.
func (s *Spawner) lockHolders(ctx context.Context,
	ids map[messages.InstanceID]*runRecord) (map[messages.InstanceID][]kernel.Process, error) {
	pids, err := s.proc.PIDs()
	if err != nil {
		return nil, err
	}
	holders := map[messages.InstanceID][]kernel.Process{}
	for _, pid := range pids {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		target, err := s.proc.FD(pid, kernel.LockFD)
		if err != nil || filepath.Base(strings.TrimSuffix(target, " (deleted)")) != "lock" {
			continue
		}
		id := messages.InstanceID(filepath.Base(filepath.Dir(target)))
		if _, wanted := ids[id]; !wanted {
			continue
		}
		if held, _, _ := s.lockOf(pid, id); !held {
			continue
		}
		if x, ok := s.again(&doubt{pid: pid}); ok {
			holders[id] = append(holders[id], x)
		}
	}
	return holders, nil
}

// inscribe changes what is written in the lock, but waits for the disk no longer than a start does. Who closes the file
// meanwhile closes it once it is written.
func (s *Spawner) inscribe(lock *os.File, change func()) {
	if _, err := s.disk.Do(context.Background(), diskPatience, func() error { change(); return nil }, nil); err != nil {
		s.log.Debug("the lock of an instance cannot be written", "lock", lock.Name(), "error", err)
	}
}

// note is recordInLock, of which a failure is no harm.
func (s *Spawner) note(lock *os.File, r runRecord) {
	if err := recordInLock(lock, r); err != nil {
		s.log.Debug("the lock of an instance cannot be written", "lock", lock.Name(), "error", err)
	}
}

// annul takes the record out of the lock again, of which a failure is no harm: then that run is one of which nothing is
// known.
func (s *Spawner) annul(lock *os.File) {
	if err := lock.Truncate(0); err != nil {
		s.log.Debug("the lock of an instance cannot be written", "lock", lock.Name(), "error", err)
	}
}

// clearLockRecord empties the lock file, see recordInLock. The file stays: somebody may hold it.
func clearLockRecord(path string) error {
	f, err := record.Open(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(0), f.Close())
}
