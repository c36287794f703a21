package leash

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"procman/actors/kernel"
)

// enquiry asks processes what they show.
type enquiry struct {
	done    chan struct{}
	mu      sync.Mutex
	seen    []tagged
	unborn  map[int]uint64 // those that do not show yet what they are, and when they were started
	loading []int          // of these, those whose program is being loaded
	at      int            // the process that is asked
	since   time.Time
}

// ask begins an enquiry. To read the environment of a process that hangs in the kernel may never end: then the
// goroutine stays with it, and that one is not asked again. It notes who does not show yet what it is.
func (e *ender) ask(pids []int) *enquiry {
	q := &enquiry{done: make(chan struct{}), unborn: map[int]uint64{}}
	hung := maps.Clone(e.hung)
	go func() {
		defer close(q.done)
		buffer := make([]byte, 16<<10)
		for _, pid := range pids {
			q.begin(pid)
			if start, hangs := hung[pid]; hangs {
				if st, err := e.proc.Stat(pid); err != nil || st.Start == start {
					continue
				}
			}
			was, err := e.proc.Stat(pid) // before it is asked: afterwards it may have become what it is
			tags := e.proc.TagsOf(pid, buffer)
			if err == nil && tags.Tag == "" && e.unbornAt(pid, was) {
				q.showsNothing(pid, was)
			}
			if tags.Tag == "" || tags.Dir != string(e.dir) {
				continue
			}
			env, _ := e.proc.Environ(pid) // it has ended, and the table says so
			st, err := e.proc.Stat(pid)   // by now that is of who shows the tags
			if fence, _ := env.Lookup(EnvFence); err == nil {
				q.found(tagged{kernel.Process{PID: pid, Stat: st, Tags: tags}, fence == Fenced})
			}
		}
	}()
	return q
}

// unbornAt reports whether the process did not show yet what it is: it had executed no program since it was forked, or
// that was being loaded.
func (e *ender) unbornAt(pid int, was kernel.Stat) bool {
	if was.Zombie() || was.Parent == kthreadd || pid == kthreadd {
		return false
	}
	if was.Bare && !was.Forked {
		_, err := e.proc.Environ(pid) // of another user's, and of one that is being taken down, it cannot be read
		return err == nil
	}
	return was.Forked
}

func (q *enquiry) begin(pid int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.at, q.since = pid, time.Now()
}

func (q *enquiry) found(p tagged) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.seen = append(q.seen, p)
}

func (q *enquiry) showsNothing(pid int, st kernel.Stat) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.unborn[pid] = st.Start
	if !st.Forked {
		q.loading = append(q.loading, pid)
	}
}

// hangs returns the process that has not shown its environment for long; 0: none.
func (q *enquiry) hangs() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	if time.Since(q.since) < tagPatience {
		return 0
	}
	return q.at
}

// wait returns when all were asked, or with an error when one hangs. That a host is busy is no such error.
func (e *ender) wait(q *enquiry) error {
	look := time.NewTicker(tagPatience / 4)
	defer look.Stop()
	for {
		select {
		case <-q.done:
			return nil
		case <-look.C:
			at := q.hangs()
			if at == 0 {
				continue
			}
			st, err := e.proc.Stat(at)
			if err != nil {
				return err // it ends; the others are asked in the next round
			}
			e.hung[at] = st.Start
			e.log.Error("a process does not show its environment, and is not asked again", "pid", at, "name", st.Name)
			return fmt.Errorf("process %d does not show its environment; the others are asked in the next round", at)
		}
	}
}

// stirs reports whether anybody may live although nobody was left. While starts may be under way that is whenever
// anything of the host was forked since. Later only who was forked by then can become a process of a fenced run: a
// child of a daemon whose exec hung, and that does not show yet what it is.
func (e *ender) stirs(shut bool) bool {
	now := e.now()
	if now-e.swept >= int64(sweep) {
		return true
	}
	if !shut {
		if forks, err := e.proc.Forks(); err != nil || forks != e.forks {
			return true
		}
	}
	var born []int
	for pid, start := range e.unborn {
		switch st, err := e.proc.Stat(pid); {
		case err != nil || st.Start != start || st.Zombie():
			delete(e.unborn, pid)
		case !st.Forked:
			born = append(born, pid)
		}
	}
	if e.loading = false; len(born) == 0 {
		return false
	}
	q := e.ask(born)
	if err := e.wait(q); err != nil || len(q.seen) > 0 {
		return true
	}
	e.loading = len(q.loading) > 0
	for _, pid := range born {
		if _, still := q.unborn[pid]; !still {
			delete(e.unborn, pid)
		}
	}
	return false
}
