package output

import (
	"container/heap"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"procman/messages"
)

const (
	// MinTotal is the smallest total there may be, in bytes: what the smallest of files may keep.
	MinTotal = minMaxSize
	// leastKept is what a file keeps whatever the total is: with less, its newest lines would be gone.
	leastKept = 4 << 10
	// surveyEvery is how often files that nobody follows are looked at again, as long as there is too much.
	surveyEvery = time.Minute
	// overFor is how long there may be too much: what is not forwarded yet will soon be.
	overFor = 10 * time.Second
)

// account knows what all output files keep together, and who has to give some of it up when that is more than the
// total. What a change of one file costs does not grow with their number.
type account struct {
	mu    sync.Mutex
	total int64
	// of all; what was asked for counts as given up: a disk that does not answer is paid for by nobody else
	kept     int64
	shares   map[messages.InstanceID]*[2]share
	largest  shareHeap // those that may be asked
	round    uint32    // of surveys
	surveyed time.Time
	over     time.Time // since when there is too much that nobody can give up; zero: there is not
}

// share is what one file keeps.
type share struct {
	id       messages.InstanceID
	index    uint8
	followed bool   // what it keeps is told by who follows it, and no survey looks at it
	stuck    bool   // it gave up nothing when it was asked, and has not changed since
	next     int64  // up to where it is forwarded
	round    uint32 // of the survey that has seen it last
	kept     int64
	asked    int64 // to keep no more than this; 0: it is not asked
	at       int   // its place in the heap, from 1 on; 0: it is not in it
}

func newAccount(total int64) *account {
	return &account{total: total, shares: map[messages.InstanceID]*[2]share{}}
}

// counted is what a share counts for.
func (s *share) counted() int64 {
	if s.asked > 0 {
		return min(s.kept, s.asked)
	}
	return s.kept
}

// change changes a share, and what follows from it. mu is held.
func (a *account) change(s *share, do func()) {
	before := s.counted()
	do()
	a.kept += s.counted() - before
	switch may := s.asked == 0 && !s.stuck && s.kept > leastKept; {
	case may && s.at == 0:
		heap.Push(&a.largest, s)
	case may:
		heap.Fix(&a.largest, s.at-1)
	case s.at > 0:
		heap.Remove(&a.largest, s.at-1)
	}
}

// of returns the share of a file. mu is held.
func (a *account) of(id messages.InstanceID, index uint8) *share {
	both := a.shares[id]
	if both == nil {
		both = &[2]share{{id: id}, {id: id, index: 1}}
		a.shares[id] = both
	}
	return &both[index]
}

// asked returns what a file is asked to keep at the most; 0: it is not asked.
func (a *account) asked(id messages.InstanceID, index uint8) int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if both := a.shares[id]; both != nil {
		return both[index].asked
	}
	return 0
}

// standing is what is told of a file after a turn.
type standing struct {
	kept, next int64 // see share
	followed   bool
	asked      int64 // what it was asked to keep in that turn, at the most
	gave       bool  // it gave something up
	unseen     bool  // it could not be looked at
}

// tell tells what a file keeps, and returns whom to wake since they are asked now.
func (a *account) tell(id messages.InstanceID, index uint8, is standing) []messages.InstanceID {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.of(id, index)
	if is.unseen {
		is.kept, is.next = s.kept, s.next
	}
	a.change(s, func() {
		same := is.kept == s.kept && is.next == s.next
		s.stuck = is.asked > 0 && !is.gave && is.kept > is.asked || s.stuck && same
		s.kept, s.next, s.followed = is.kept, is.next, is.followed
		if is.asked > 0 { // else it may have been asked just now, which its next turn answers
			s.asked = 0
		}
	})
	return a.ask()
}

// found tells what a survey has seen of a file that nobody follows.
func (a *account) found(id messages.InstanceID, index uint8, kept int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.of(id, index)
	s.round = a.round
	if !s.followed {
		a.change(s, func() { s.kept, s.stuck = kept, false })
	}
}

// follows reports whether somebody follows a file, and tells what it keeps.
func (a *account) follows(id messages.InstanceID, index uint8) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	both := a.shares[id]
	return both != nil && both[index].followed
}

// unfollowed says that nobody follows the files of an instance any more.
func (a *account) unfollowed(id messages.InstanceID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if both := a.shares[id]; both != nil {
		both[0].followed, both[1].followed = false, false
	}
}

// due reports whether a survey is to be made, and that it is.
func (a *account) due(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.surveyed.IsZero() && (a.kept <= a.total || now.Sub(a.surveyed) < surveyEvery) {
		return false
	}
	a.surveyed = now
	a.round++
	return true
}

// ended says that a survey has seen all there is, and returns whom to wake.
func (a *account) ended() []messages.InstanceID {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, both := range a.shares {
		gone := true
		for i := range both {
			s := &both[i]
			if s.followed || s.round == a.round {
				gone = false
				continue
			}
			a.change(s, func() { s.kept, s.asked = 0, 0 })
		}
		if gone {
			delete(a.shares, id)
		}
	}
	return a.ask()
}

// limit changes the total, and returns whom to wake.
func (a *account) limit(total int64) []messages.InstanceID {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.total = total
	return a.ask()
}

// ask has the largest give up what is too much, and an eighth of the total with it, so that it is not asked for again
// at once: all of them keep the same, and whoever has less loses nothing. It returns who they are. mu is held.
func (a *account) ask() (wake []messages.InstanceID) {
	if a.kept <= a.total {
		return nil
	}
	over := a.kept - (a.total - a.total/8)
	var from []*share
	var sum int64
	for len(a.largest) > 0 {
		s := heap.Pop(&a.largest).(*share)
		from, sum = append(from, s), sum+s.kept
		next := int64(leastKept)
		if len(a.largest) > 0 {
			next = a.largest[0].kept
		}
		if sum-int64(len(from))*next >= over {
			break
		}
	}
	level := int64(leastKept)
	if len(from) > 0 {
		level = max(level, (sum-over)/int64(len(from))/leastKept*leastKept)
	}
	for _, s := range from {
		a.change(s, func() {
			if s.kept > level {
				s.asked = level
				wake = append(wake, s.id)
			}
		})
	}
	return wake
}

// excess is why the total has not been kept for a while; nil: it is, or will be.
func (a *account) excess(now time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.kept <= a.total:
		a.over = time.Time{}
		return nil
	case a.over.IsZero():
		a.over = now
	}
	if now.Sub(a.over) < overFor {
		return nil
	}
	return fmt.Errorf("%d files keep %d bytes, and no more than %d are meant: what is not forwarded yet stays, "+
		"and of each file %d bytes", 2*len(a.shares), a.kept, a.total, leastKept)
}

// shareHeap has the largest first.
type shareHeap []*share

func (h shareHeap) Len() int           { return len(h) }
func (h shareHeap) Less(i, j int) bool { return h[i].kept > h[j].kept }
func (h shareHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i]; h[i].at, h[j].at = i+1, j+1 }
func (h *shareHeap) Push(s any)        { *h = append(*h, s.(*share)); s.(*share).at = len(*h) }
func (h *shareHeap) Pop() any {
	last := (*h)[len(*h)-1]
	(*h)[len(*h)-1] = nil
	*h, last.at = (*h)[:len(*h)-1], 0
	return last
}

// SetTotal says how many bytes all output files may keep together, from now on; 0: any. See [Options.Total].
func (u *Outputs) SetTotal(total int64) error {
	if err := checkTotal(total); err != nil {
		return err
	}
	u.mu.Lock()
	a := u.account.Load()
	switch {
	case total == 0:
		u.account.Store(nil)
		u.mu.Unlock()
		return nil
	case a == nil:
		a = newAccount(total)
		u.account.Store(a)
	}
	u.mu.Unlock()
	u.enforce(a, a.limit(total))
	return nil
}

func checkTotal(total int64) error {
	if total != 0 && total < MinTotal {
		return fmt.Errorf("the total of all output files is %d bytes; it must be at least %d", total, MinTotal)
	}
	return nil
}

// Kept returns how many bytes the output files keep together, 0 while there is no total for them; and how many were
// given up for it since New.
func (u *Outputs) Kept() (kept, givenUp int64) {
	if a := u.account.Load(); a != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, both := range a.shares {
			kept += both[0].kept + both[1].kept
		}
	}
	return kept, u.givenUp.Load()
}

// enforce wakes those that are asked, and has files looked at again that nobody follows if it is time to.
func (u *Outputs) enforce(a *account, asked []messages.InstanceID) {
	u.overTotal.note(u.log, a.excess(time.Now()), "output.total cannot be kept")
	survey := a.due(time.Now())
	if len(asked) == 0 && !survey {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return
	}
	for _, id := range asked {
		u.wake(u.source(id))
	}
	if survey {
		u.crew.Go(func() { u.survey(a) })
	}
}

// survey looks at the files that nobody follows.
func (u *Outputs) survey(a *account) {
	dir, err := os.Open(u.dir.Instances())
	if err == nil {
		var names []string
		names, err = dir.Readdirnames(-1)
		err = errors.Join(err, dir.Close())
		for _, name := range names {
			select {
			case <-u.closing:
				return
			default:
			}
			if id := messages.InstanceID(name); id.Validate() == nil {
				u.surveyOne(a, id)
			}
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		u.log.Warn("the output of instances that do not run is not counted for output.total", "error", err)
		return
	}
	u.enforce(a, a.ended())
}

func (u *Outputs) surveyOne(a *account, id messages.InstanceID) {
	for i, path := range []string{u.dir.Stdout(id), u.dir.Stderr(id)} {
		if a.follows(id, uint8(i)) {
			continue
		}
		kept := int64(0)
		if f, err := statPath(path); err == nil {
			kept = min(f.Size, f.Allocated)
		}
		a.found(id, uint8(i), kept)
	}
}

// allowed returns how much of a file the total leaves; 0: as much as without one.
func (u *Outputs) allowed(t *tail) int64 {
	if a := u.account.Load(); a != nil {
		return a.asked(t.source.id, t.index)
	}
	return 0
}

// count tells what a file keeps after a turn that ended so, and trims it first if it is asked.
func (u *Outputs) count(t *tail, followed bool, failure error) {
	a := u.account.Load()
	if a == nil {
		return
	}
	is := standing{followed: followed, asked: a.asked(t.source.id, t.index)}
	switch {
	case failure == nil:
		is.gave = is.asked > 0 && u.giveUp(t, is.asked)
		is.kept, is.next = t.end-t.head, t.Next
	case !errors.Is(failure, fs.ErrNotExist):
		is.unseen = true
	}
	u.enforce(a, a.tell(t.source.id, t.index, is))
}

// giveUp trims the head of a file so that no more than limit is kept, and reports whether it did.
func (u *Outputs) giveUp(t *tail, limit int64) bool {
	before := t.head
	if !t.noPunch {
		u.cut(t, limit, 0)
	}
	u.givenUp.Add(t.head - before)
	return t.head > before
}

// shrink trims what is asked for of files that nobody follows. What was not forwarded yet stays. When they were written
// is what they tell as before.
func (w *worker) shrink(s *source) {
	w.follower = &follower{source: s, run: s.run, pid: s.pid} // whose they are
	for _, t := range s.tails {
		if w.u.allowed(t) == 0 {
			continue
		}
		since := modified(t.path(), s.checkpoints(), w.u.dir.Instance(s.id))
		err := w.open(t)
		if err == nil {
			err = w.close(t)
		}
		if errors.Is(err, fs.ErrNotExist) {
			w.u.count(t, false, err)
			continue
		}
		w.conclude(t, err)
		head := t.head
		w.u.count(t, false, err)
		if t.head > head {
			since.restore()
			s.tell()
		}
	}
}

// times are when files were modified.
type times map[string]time.Time

func modified(paths ...string) times {
	known := times{}
	for _, path := range paths {
		if info, err := os.Lstat(path); err == nil {
			known[path] = info.ModTime()
		}
	}
	return known
}

// restore sets them again. Where that fails, the files look younger than they are, and are kept for longer.
func (known times) restore() {
	for path, at := range known {
		_ = os.Chtimes(path, time.Time{}, at)
	}
}
