package spawn

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"procman/actors/kernel"
	"procman/messages"
)

// Cgroup returns the path of the run's own cgroup; empty: it has none.
func (p *process) Cgroup() string {
	if p.record.Cgroup == nil {
		return ""
	}
	return p.record.Cgroup.Path
}

// enterCgroup opens the cgroup that the launch names, and notes it; -1: it names none.
func (s *Spawner) enterCgroup(l messages.Launch, r *runRecord) (int, error) {
	if l.Cgroup == "" {
		return -1, nil
	}
	fd, c, err := s.cgroups.Enter(l.Cgroup)
	if err != nil {
		return -1, startError(err, "")
	}
	r.Cgroup = &c
	return fd, nil
}

// inCgroup reports whether the process is in the cgroup of the run on record.
func (s *Spawner) inCgroup(r *runRecord, pid int) bool {
	if r == nil || r.Cgroup == nil || r.Boot != s.boot {
		return false
	}
	pids, err := s.cgroups.Procs(*r.Cgroup)
	return err == nil && slices.Contains(pids, pid)
}

// populated reports whether somebody is in the cgroup of the run.
func (s *Spawner) populated(r *runRecord) bool {
	if r == nil || r.Cgroup == nil || r.Boot != s.boot {
		return false
	}
	pids, err := s.cgroups.Procs(*r.Cgroup)
	return err == nil && len(pids) > 0
}

// cgroupOf returns the cgroup of that run in which the process is, of which no record tells; nil: none.
func (s *Spawner) cgroupOf(id messages.InstanceID, run, pid int) *messages.Cgroup {
	for _, c := range s.cgroups.Named(id, run) {
		if pids, err := s.cgroups.Procs(c); err == nil && slices.Contains(pids, pid) {
			return &c
		}
	}
	return nil
}

// vacate removes the cgroup of a run whose first process has ended, if nobody is in it: so none needs to be looked for
// there.
func (p *process) vacate() {
	if p.mute && p.home.cgroups.Vacate(*p.record.Cgroup) {
		p.rest.mu.Lock()
		defer p.rest.mu.Unlock()
		p.rest.vacant = true
	}
}

// join adds those to the table that are in the run's own cgroup, beside its first process, and returns their pids.
func (p *process) join(table map[int]kernel.Process) (map[int]kernel.Process, map[int]bool) {
	if p.record.Cgroup == nil || p.rest.vacant {
		return table, nil
	}
	pids, err := p.home.cgroups.Procs(*p.record.Cgroup)
	if err != nil {
		p.home.log.Error("who is in the cgroup of a run cannot be read", "instance", string(p.id), "run", p.record.Run,
			"error", err)
	}
	alone := p.unreaped()
	in := make(map[int]bool, len(pids))
	var unseen []int
	for _, pid := range pids {
		if pid == p.pid && alone {
			continue
		}
		in[pid] = true
		if _, there := table[pid]; !there {
			unseen = append(unseen, pid)
		}
	}
	if len(unseen) == 0 {
		return table, in
	}
	if table == nil {
		table = map[int]kernel.Process{}
	}
	for pid, x := range p.home.census.ask(unseen) {
		table[pid] = x
	}
	return table, in
}

// execTime is given to who shows no environment: while a program is being executed there is none to be read.
const execTime = 5 * time.Millisecond

// ask returns what the processes with those pids are, and show.
func (c *census) ask(pids []int) map[int]kernel.Process {
	e := enquiry{tags: c.tags, buffers: &c.buffers}
	defer e.end()
	asked := make([]kernel.Process, 0, len(pids))
	var silent []int // places in asked
	buffer := make([]byte, 1<<10)
	for _, pid := range pids {
		st, err := c.proc.StatInto(pid, buffer)
		if err != nil || st.Thread {
			continue
		}
		x := kernel.Process{PID: pid, Stat: st}
		switch _, kept, stranger := c.known(pid); {
		case kept != nil && kept.Start == st.Start && (st.Forked || !kept.Forked):
			x.Tags = kept.Tags
		case stranger != nil && stranger.Start == st.Start: // it shows no tag
		default:
			if x.Tags, _ = e.ask(pid); x.Tags == (kernel.Tags{}) { // of one that does not answer its cgroup tells
				silent = append(silent, len(asked))
			}
		}
		asked = append(asked, x)
	}
	if len(silent) > 0 {
		time.Sleep(execTime)
		for _, at := range silent {
			asked[at].Tags, _ = e.ask(asked[at].PID)
		}
	}
	return c.now(asked)
}

// killCgroup sends KILL to all in the cgroup of the run at once, also to those that are being forked, unless one of
// them is another run's: a manager may be an instance.
func (p *process) killCgroup() {
	c := p.record.Cgroup
	pids, err := p.home.cgroups.Procs(*c)
	if err == nil && len(pids) > 0 {
		p.rest.mu.Lock()
		strange := slices.ContainsFunc(pids,
			func(pid int) bool { _, known := p.rest.seen[pid]; return !known && pid != p.pid })
		p.rest.mu.Unlock()
		if strange {
			return // those that are the run's are sent it one by one
		}
		err = p.home.cgroups.Kill(*c)
	}
	if err != nil {
		p.home.log.Warn("a cgroup cannot be killed as a whole; its processes are, one by one", "instance", string(p.id),
			"run", p.record.Run, "error", err)
	}
}

// sweep removes the cgroups of runs that are over. Those of runs on record, and of what lives, are not.
func (s *Spawner) sweep(records map[messages.InstanceID]*runRecord) {
	if s.cgroups.Absent() != nil {
		return
	}
	known := map[string]bool{}
	for id, r := range records {
		if p := s.instance(id).process(); p != nil && p.record.Cgroup != nil && !p.over() {
			known[p.record.Cgroup.Path] = true
		}
		if r != nil && r.Cgroup != nil && s.instance(id).doubts() != nil {
			known[r.Cgroup.Path] = true
		}
	}
	s.cgroups.Sweep(func(at string) bool { return known[at] })
}

// left ends by policy what ended runs of the instance have left in their cgroups. The error names whom a start waits
// for.
func (s *Spawner) left(ctx context.Context, i *instance, a messages.AppInstance) error {
	if a.Stop.Leftovers == messages.LeftoversLeave {
		return nil
	}
	left := s.cgroups.Left(i.id)
	if len(left) == 0 || i.doubts() != nil {
		return nil
	}
	var waits []string
	for _, c := range left {
		p := s.leftIn(i.id, c)
		if len(p.others()) == 0 {
			continue // what is in it is another run's
		}
		waits = append(waits, fmt.Sprintf("%s in the cgroup %s of an ended run", messages.Members(p.others()),
			path.Base(c.Path)))
		s.endLeft(p, a.Stop)
	}
	if len(waits) == 0 || ctx.Err() != nil {
		return ctx.Err()
	}
	return fault(messages.FaultLocked, "", errors.New("waits for "+strings.Join(waits, ", ")+
		"; it was sent "+a.Stop.Asks().Plain()+", and gets KILL when its grace of "+a.Stop.Grace.String()+" is over"),
		"")
}

// leftIn returns the ended run of which that is the cgroup, with who lives of it. Its tag is what they show.
func (s *Spawner) leftIn(id messages.InstanceID, c messages.Cgroup) *process {
	r := runRecord{ID: id, Boot: s.boot, Tag: c.Path, Cgroup: &c}
	pids, err := s.cgroups.Procs(c)
	if err != nil {
		s.log.Error("who is in the cgroup of an ended run cannot be read", "instance", string(id), "cgroup", c.Path,
			"error", err)
	}
	for _, x := range s.census.ask(pids) {
		if x.Tag != "" && x.ID == id && s.isOurs(x.Dir) {
			r.Tag, r.Run = x.Tag, x.Run
		}
	}
	p := s.ended(id, r)
	p.look(time.Now())
	return p
}

// endLeft ends those of an ended run, in a goroutine of its own: the signal of the policy, its grace period, KILL.
func (s *Spawner) endLeft(p *process, policy messages.StopPolicy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending[p.tag] {
		return
	}
	s.ending[p.tag] = true
	s.log.Warn("what an ended run left is ended", "instance", string(p.id), "processes", messages.Members(p.others()))
	s.work.Go(func() {
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.ending, p.tag)
		}()
		p.look(time.Now())
		sig, grace := policy.Asks().Number(), policy.Grace
		for p.Signal(sig, messages.LeftoversEnd) == nil && !p.emptied(grace) && !s.isClosed() {
			sig, grace = syscall.SIGKILL, killAgain
		}
	})
}
