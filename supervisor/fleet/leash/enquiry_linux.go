package leash

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"procman/actors/kernel"
)

// enquiry asks processes what they show.
type enquiry struct {
	done  chan struct{}
	mu    sync.Mutex
	seen  []tagged
	blank []int // those that are executing a program, and show nothing yet
	at    int   // the process that is asked
	since time.Time
}

// ask begins an enquiry. To read the environment of a process that hangs in the kernel may never end: then the goroutine stays
// with it, and that one is not asked again. It notes who is executing a program, and so shows nothing yet.
func (e *ender) ask(pids []int) *enquiry {
	q := &enquiry{done: make(chan struct{})}
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
			tags := e.proc.TagsOf(pid, buffer)
			if tags.Tag == "" && e.executes(pid) {
				q.showsNothing(pid)
			}
			if tags.Tag == "" || tags.Dir != string(e.dir) {
				continue
			}
			env, _ := e.proc.Environ(pid) // it has ended, and the table says so
			st, err := e.proc.Stat(pid)
			if fence, _ := env.Lookup(EnvFence); err == nil {
				q.found(tagged{kernel.Process{PID: pid, Stat: st, Tags: tags}, fence == Fenced})
			}
		}
	}()
	return q
}

// executes reports whether a program is being loaded into the process, which has nothing to show until that is done.
func (e *ender) executes(pid int) bool {
	st, err := e.proc.Stat(pid)
	if err != nil || !st.Bare || st.Forked || st.Zombie() || st.Parent == kthreadd || pid == kthreadd {
		return false
	}
	env, err := e.proc.Environ(pid)
	return err == nil && len(env) == 0
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

func (q *enquiry) showsNothing(pid int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.blank = append(q.blank, pid)
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

// stirs reports whether anybody may live although nobody was left. While starts may be under way that is whenever anything of the
// host was forked since. Later only who was forked by then can become a process of a fenced run: a child of a daemon whose exec
// hung, and that does not show yet what it is.
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
	e.loading = len(q.blank) > 0
	for _, pid := range born {
		if !slices.Contains(q.blank, pid) {
			delete(e.unborn, pid)
		}
	}
	return false
}
