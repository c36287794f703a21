package spawn

import (
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"procman/actors/kernel"
)

// census knows who may belong to a run beside its first process. Nobody comes to belong to a run but by being forked by
// one who does, or by the program that it was started for. So whoever was looked at once, and was not young any more,
// is not looked at again; and as the kernel gives numbers in turn, only those given since the last reading can be
// somebody new. A reading costs what has changed on the host, and not a line for each of its processes.
//
// Where the kernel does not tell the last number, or too many were given since, all processes are looked at. A process
// that was given a number out of turn, which a restored checkpoint may be, is seen by then only.
type census struct {
	proc kernel.Procfs
	tags func(pid int, buffer []byte) kernel.Tags
	log  *slog.Logger
	quit <-chan struct{} // closed when nobody wants to know any more
	turn bool            // whether numbers are seen as this process has them

	// Used by one reading at a time.
	last  int       // the number that was given last when the newest reading began
	forks uint64    // of the host; not later than last
	at    time.Time // when forks was read; zero: never
	young []int     // who showed no tag, or that of who forked it, and may execute a program that shows another
	live  int       // how many processes there were when all were looked at

	buffers sync.Pool // see enquiry

	mu        sync.Mutex
	leaders   map[int]*process // of the newest runs, by pid
	kept      map[int]relative // by pid; who has ended since may be among them
	families  map[string]map[int]bool
	strangers map[int]kernel.Process // as they were; some may turn out to be of a run that was not known then
}

// relative is a process that may belong to runs.
type relative struct {
	kernel.Process
	runs []string // by their tags
}

func newCensus(proc kernel.Procfs, log *slog.Logger) *census {
	return &census{proc: proc, log: log, turn: proc.Self(),
		leaders: map[int]*process{}, kept: map[int]relative{}, families: map[string]map[int]bool{},
		strangers: map[int]kernel.Process{},
		tags: func(pid int, buffer []byte) kernel.Tags {
			if tags := proc.TagsOf(pid, buffer); tags.Tag != "" {
				return tags
			}
			return tagsByLock(proc, pid, buffer)
		}}
}

// Bounds of what is read instead of the whole table.
const (
	mostNew = 4096                   // numbers
	aWhile  = 500 * time.Millisecond // in which a host cannot give all of them
)

// read brings it up to date.
func (c *census) read() error {
	last, turned := c.turned()
	var pids []int
	var err error
	if turned {
		if pids, err = c.proc.PIDs(); err != nil {
			return err
		}
		c.live = len(pids)
		c.retain(pids)
	} else {
		if pids, err = c.given(last); err != nil {
			return err
		}
	}
	e := enquiry{tags: c.tags, buffers: &c.buffers}
	defer e.end()
	for range 10 { // who is forked meanwhile may be the only one left of its family
		if !turned { // then they are among all
			pids = append(slices.Clone(c.young), pids...)
		}
		turned = false
		if err := c.visit(pids, &e); err != nil {
			return err
		}
		c.last = last
		if last, err = c.proc.LastPID(); err != nil || last == c.last || !c.turn {
			break
		}
		if pids, err = c.given(last); err != nil {
			return err
		}
	}
	return nil
}

// turned returns the number that was given last, and whether any process may be a new one.
func (c *census) turned() (last int, turned bool) {
	last, err := c.proc.LastPID()
	if err != nil || !c.turn {
		return 0, true
	}
	if time.Since(c.at) > aWhile {
		forks, err := c.proc.Forks()
		limit, limitErr := c.proc.MaxPID()
		turned = err != nil || limitErr != nil || c.at.IsZero() || forks-c.forks > uint64(limit)/2
		c.forks, c.at = forks, time.Now()
	}
	return last, turned || last < c.last || last-c.last > mostNew || c.size() > 2*c.live+mostNew
}

// given returns the numbers that were given since the last reading, in turn; those of all processes if the turn has
// come to the smallest again, which is once in tens of thousands.
func (c *census) given(last int) (pids []int, err error) {
	if last < c.last {
		return c.proc.PIDs()
	}
	for pid := c.last + 1; pid <= last; pid++ {
		pids = append(pids, pid)
	}
	return pids, nil
}

// size returns of how many something is known; most of them may have ended since.
func (c *census) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.kept) + len(c.strangers)
}

// retain forgets all others: they have ended.
func (c *census) retain(pids []int) {
	live := make(map[int]bool, len(pids))
	for _, pid := range pids {
		live[pid] = true
	}
	c.mu.Lock()
	gone := slices.Collect(maps.Keys(c.kept))
	maps.DeleteFunc(c.strangers, func(pid int, _ kernel.Process) bool { return !live[pid] })
	c.mu.Unlock()
	for _, pid := range gone {
		if !live[pid] {
			c.forget(pid)
		}
	}
}

// visit looks at those processes, of which some are none.
func (c *census) visit(pids []int, e *enquiry) error {
	settled := time.Now().Add(-young)
	again := make(map[int]bool, len(c.young))
	for _, pid := range c.young {
		again[pid] = true
	}
	c.young = nil
	buffer := make([]byte, 1<<10)
	var undecided []kernel.Process
	for _, pid := range pids {
		select {
		case <-c.quit: // on a busy host thousands may take a while
			return ErrClosed
		default:
		}
		leader, was, stranger := c.known(pid)
		if leader != nil && leader.unreaped() {
			continue // nobody else can have been given its number
		}
		st, err := c.proc.StatInto(pid, buffer)
		if err != nil || st.Thread {
			c.forget(pid)
			continue
		}
		x := kernel.Process{PID: pid, Stat: st}
		isYoung := !sinceBoot(x.Start).Before(settled)
		silent := was != nil && was.Tag == "" && again[pid] // while a program is being executed no tag is to be seen
		if was != nil && was.Start == st.Start && (st.Forked || !was.Forked) && !silent {
			if st.Forked && isYoung {
				c.young = append(c.young, pid)
			}
			continue
		}
		c.forget(pid)
		undecided = append(undecided, x)
		if stranger != nil && stranger.Start == st.Start && !again[pid] {
			continue // it shows no tag
		}
		answered := true
		if x.Tags, answered = e.ask(pid); !answered {
			c.log.Warn("the environment of a process cannot be read: that takes for ever; should it belong to a run, "+
				"it may be missed",
				"pid", pid, "name", x.Name)
		}
		if x.Tag != "" {
			c.keep(x, x.Tag)
			undecided = undecided[:len(undecided)-1]
		}
		if answered && isYoung && (x.Tag == "" || st.Forked) {
			// what is forked shows its parent's, until it executes a program
			c.young = append(c.young, pid)
		}
	}
	c.settle(undecided)
	return nil
}

// settle keeps those that may belong to a run; the others are strangers.
func (c *census) settle(undecided []kernel.Process) {
	for grown := true; grown; {
		grown = false
		rest := undecided[:0]
		for _, x := range undecided {
			if runs := c.runsOf(x); len(runs) > 0 {
				c.keep(x, runs...)
				grown = true
			} else {
				rest = append(rest, x)
			}
		}
		undecided = rest
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, x := range undecided {
		c.strangers[x.PID] = x
	}
}

// runsOf returns the runs that a process without a tag may belong to.
func (c *census) runsOf(x kernel.Process) (runs []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, pid := range []int{x.Session, x.Group, x.Parent} {
		if leader := c.leaders[pid]; leader != nil {
			runs = append(runs, leader.tag)
		}
	}
	if parent, is := c.kept[x.Parent]; is {
		runs = append(runs, parent.runs...)
	}
	return runs
}

// known returns what is known of the number: whose first process has it, who may belong to a run, and which stranger.
func (c *census) known(pid int) (leader *process, kept, stranger *kernel.Process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if was, is := c.kept[pid]; is {
		kept = &was.Process
	}
	if was, is := c.strangers[pid]; is {
		stranger = &was
	}
	return c.leaders[pid], kept, stranger
}

func (c *census) keep(x kernel.Process, runs ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept[x.PID] = relative{x, runs}
	for _, tag := range runs {
		if c.families[tag] == nil {
			c.families[tag] = map[int]bool{}
		}
		c.families[tag][x.PID] = true
	}
}

func (c *census) forget(pid int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.strangers, pid)
	was, is := c.kept[pid]
	if !is {
		return
	}
	delete(c.kept, pid)
	for _, tag := range was.runs {
		delete(c.families[tag], pid)
		if len(c.families[tag]) == 0 {
			delete(c.families, tag)
		}
	}
}

// meet says which process is, or was, the first of a run that was begun a while ago: some who were taken for strangers
// may belong to it.
func (c *census) meet(p *process) {
	c.lead(nil, p)
	c.mu.Lock()
	strangers := slices.Collect(maps.Values(c.strangers))
	clear(c.strangers)
	c.mu.Unlock()
	c.settle(strangers)
}

// lead says which process is the newest of an instance, instead of the one that was; each may be nil.
func (c *census) lead(was, now *process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if was != nil && c.leaders[was.pid] == was {
		delete(c.leaders, was.pid)
	}
	if now != nil && now.pid != 0 {
		c.leaders[now.pid] = now
	}
}

// leads reports whether the number is that of the first process of a run, which lives. Who only looks on has no census.
func (c *census) leads(pid int) bool {
	if c == nil {
		return false
	}
	c.mu.Lock()
	p := c.leaders[pid]
	c.mu.Unlock()
	return p != nil && !p.ended()
}

// of returns the process of the run and those who may belong to it, as they are now, as far as the newest reading
// knows; none if there are no others. p.rest is locked.
func (c *census) of(p *process) map[int]kernel.Process {
	c.mu.Lock()
	asked := make([]kernel.Process, 0, len(c.families[p.tag])+len(p.rest.seen)+1)
	for pid := range c.families[p.tag] {
		asked = append(asked, c.kept[pid].Process)
	}
	c.mu.Unlock()
	for _, was := range p.rest.seen {
		asked = append(asked, was.Process)
	}
	if len(asked) == 0 && p.unreaped() {
		return nil // it is alone: what has its number is itself
	}
	if p.pid != 0 {
		leader := kernel.Process{PID: p.pid, Stat: kernel.Stat{Start: p.start}}
		if p.start != 0 {
			leader.Tag = p.tag
		}
		asked = append(asked, leader)
	}
	return c.now(asked)
}

// tagged returns all that show a tag, or hold the lock of a run, as they are now.
func (c *census) tagged() map[int]kernel.Process {
	c.mu.Lock()
	var asked []kernel.Process
	for _, x := range c.kept {
		if x.Tag != "" {
			asked = append(asked, x.Process)
		}
	}
	for pid, p := range c.leaders {
		asked = append(asked, kernel.Process{PID: pid, Stat: kernel.Stat{Start: p.start}, Tags: p.tags()})
	}
	c.mu.Unlock()
	return c.now(asked)
}

// now looks at them again. Who has ended is not in the table.
func (c *census) now(asked []kernel.Process) map[int]kernel.Process {
	table := make(map[int]kernel.Process, len(asked))
	buffer := make([]byte, 1<<10)
	for _, x := range asked {
		if _, done := table[x.PID]; done {
			continue
		}
		st, err := c.proc.StatInto(x.PID, buffer)
		if err != nil || x.Start != 0 && st.Start != x.Start {
			continue
		}
		x.Stat = st
		table[x.PID] = x
	}
	return table
}
