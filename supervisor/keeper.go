package supervisor

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"procman/messages"
	"procman/supervisor/explain"
)

// keeper writes what the root remembers, so that the root never waits for a disk, nor one instance for the disk of
// another: of several memories of one instance that wait only the newest is written, and a few instances are served at
// a time. What cannot be written is said, and tried again until it is.
type keeper struct {
	memory Memory
	// tell is called when what is remembered of an instance cannot be written, with why, and with
	// nil when it is written again.
	tell func(messages.InstanceID, error)
	// event is called likewise, once for all that cannot be written at a time. Neither may wait, or call the keeper.
	event func(messages.Event)

	mu      sync.Mutex
	pages   map[messages.InstanceID]*page
	kept    map[messages.InstanceID]explain.Hold // as they are on disk
	order   []messages.InstanceID                // that wait for a writer
	later   map[messages.InstanceID]bool         // that may change again in a moment; nil: none may
	soon    *time.Timer                          // when those are given to a writer
	writers int
	troubled
	closed bool
	idle   chan struct{} // closed once there is no writer any more, after close
}

// troubled is what cannot be written at the moment.
type troubled struct {
	instances map[messages.InstanceID]error
	again     *time.Timer
	pause     time.Duration
	lost      int // were troubled since that began
}

// page is what is to be written of one instance.
type page struct {
	memory  messages.Memory
	expunge bool
	then    []func(error)
	queued  bool  // in order
	flying  *page // an earlier state of it that a writer has; nil: none has
}

const (
	maxWriters   = 4               // so many threads may a disk that stalls hold
	savePatience = 2 * time.Second // after which a disk counts as stalled, and nobody waits for it any more
	// in which what is remembered of a start or an end under way is written, if it is not over by then
	changing    = 200 * time.Millisecond
	saveAgain   = time.Second      // until what could not be written is tried again; doubled each time
	saveAtLeast = 10 * time.Second // but so often
)

func newKeeper(m Memory, tell func(messages.InstanceID, error), event func(messages.Event)) *keeper {
	return &keeper{memory: m, tell: tell, event: event, pages: map[messages.InstanceID]*page{},
		kept: map[messages.InstanceID]explain.Hold{}, idle: make(chan struct{}),
		troubled: troubled{instances: map[messages.InstanceID]error{}}}
}

// remember has m written. then is called, if it is not nil, once the hold in m is on disk, or could not be
// written at the first try; it must not wait, or call the keeper.
func (k *keeper) remember(m messages.Memory, then func(error)) {
	k.put(m.ID, false, func(p *page) {
		p.memory, p.expunge = m, false
		switch f := p.flying; {
		case then == nil:
		case f != nil && (f.expunge || holdOf(f.memory) != holdOf(m)): // what is being written says otherwise
			p.then = append(p.then, then)
		case k.kept[m.ID] == holdOf(m):
			then(nil)
		case f != nil:
			f.then = append(f.then, then)
		default:
			p.then = append(p.then, then)
		}
	})
}

// rememberSoon has m written within a moment, or what has become of it by then. What a crash of the manager in that
// moment forgets is that something was under way, which the next one finds by the processes.
func (k *keeper) rememberSoon(m messages.Memory) {
	k.put(m.ID, true, func(p *page) { p.memory, p.expunge = m, false })
}

// knows says what is on disk of a hold.
func (k *keeper) knows(m messages.Memory) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keep(m)
}

// keep notes what is on disk of a hold; k.mu is held.
func (k *keeper) keep(m messages.Memory) {
	if h := holdOf(m); h != (explain.Hold{}) {
		k.kept[m.ID] = h
	} else {
		delete(k.kept, m.ID)
	}
}

func holdOf(m messages.Memory) explain.Hold {
	return explain.Hold{On: m.Held, By: m.HeldBy, At: m.HeldAt}
}

// expunge has what is remembered of the instance deleted.
func (k *keeper) expunge(id messages.InstanceID) {
	k.put(id, false, func(p *page) { p.expunge = true })
}

func (k *keeper) put(id messages.InstanceID, soon bool, change func(*page)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.pages[id]
	if p == nil {
		p = &page{}
		k.pages[id] = p
	}
	change(p)
	if !soon || k.closed || p.flying != nil {
		k.queue(id, p)
		return
	}
	if p.queued || k.later[id] {
		return
	}
	if k.later == nil {
		k.later = map[messages.InstanceID]bool{}
		k.soon = time.AfterFunc(changing, k.changed)
	}
	k.later[id] = true
}

// changed gives to the writers what has had its time to change.
func (k *keeper) changed() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.queueLater()
}

// queueLater is changed; k.mu is held.
func (k *keeper) queueLater() {
	for id := range k.later {
		k.queue(id, k.pages[id])
	}
}

// queue gives a page to a writer; k.mu is held.
func (k *keeper) queue(id messages.InstanceID, p *page) {
	if k.later[id] {
		if delete(k.later, id); len(k.later) == 0 {
			k.later = nil
			k.soon.Stop() // nobody need be woken for what is written now
		}
	}
	if p.queued || p.flying != nil {
		return // the writer that has it looks again
	}
	p.queued = true
	k.order = append(k.order, id)
	if k.writers < maxWriters {
		k.writers++
		go k.write()
	}
}

// write writes until nothing waits.
func (k *keeper) write() {
	for {
		id, p := k.next()
		if p == nil {
			return
		}
		slow := time.AfterFunc(savePatience, func() { k.slow(id, p) })
		var err error
		if p.expunge {
			err = k.memory.Expunge(id)
		} else {
			err = k.memory.Remember(p.memory)
		}
		slow.Stop()
		for _, then := range k.wrote(id, p, err) {
			then(err)
		}
	}
}

// next takes what has waited longest, as it is now; nil if there is nothing.
func (k *keeper) next() (id messages.InstanceID, taken *page) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.order) == 0 {
		k.writers--
		k.rest()
		return "", nil
	}
	id = k.order[0]
	k.order = k.order[1:]
	p := k.pages[id]
	taken = &page{memory: p.memory, expunge: p.expunge, then: p.then}
	*p = page{memory: p.memory, expunge: p.expunge, flying: taken}
	return id, taken
}

// slow is called when a write has taken long, unless it has ended meanwhile.
func (k *keeper) slow(id messages.InstanceID, taken *page) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if p := k.pages[id]; p != nil && p.flying == taken {
		k.trouble(id, errStalled(savePatience))
	}
}

// wrote takes in what became of a page, and returns who wants to know.
func (k *keeper) wrote(id messages.InstanceID, was *page, err error) []func(error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.pages[id]
	p.flying = nil
	if err != nil {
		k.trouble(id, err)
	} else {
		if was.expunge {
			delete(k.kept, id)
		} else {
			k.keep(was.memory)
		}
		k.well(id)
	}
	switch {
	case p.memory != was.memory || p.expunge != was.expunge || len(p.then) > 0:
		k.queue(id, p)
	case err == nil:
		delete(k.pages, id)
	case k.again == nil && !k.closed:
		k.pause = min(max(saveAgain, 2*k.pause), saveAtLeast)
		k.again = time.AfterFunc(k.pause, k.retry)
	}
	return was.then
}

// retry has everything written that could not be.
func (k *keeper) retry() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.again = nil
	for id := range k.instances {
		if p := k.pages[id]; p != nil && !k.closed {
			k.queue(id, p)
		}
	}
}

// trouble notes that what is remembered of an instance is not on disk; k.mu is held.
func (k *keeper) trouble(id messages.InstanceID, err error) {
	before, known := k.instances[id]
	k.instances[id] = err
	if !known || before.Error() != err.Error() {
		k.tell(id, err)
	}
	if known {
		return
	}
	k.lost++
	if len(k.instances) > 1 {
		return
	}
	k.event(messages.Event{At: time.Now(), What: messages.StateUnsaved, By: messages.ByManager, Bad: true,
		Why: fmt.Sprintf(
			"what is remembered of instances cannot be written (%s): a crash of the daemon would forget it",
			messages.Cause(err)),
		Details: []slog.Attr{slog.String("instance", string(id)), slog.Any("error", err),
			slog.String("consequence", "a crash of the manager would forget counters, a delay under way, a hold; "+
				"what is asked for is done all the same, and it is tried again until it is written")}})
}

// well notes that it is; k.mu is held.
func (k *keeper) well(id messages.InstanceID) {
	if _, was := k.instances[id]; !was {
		return
	}
	delete(k.instances, id)
	k.tell(id, nil)
	if len(k.instances) > 0 {
		return
	}
	k.event(messages.Event{At: time.Now(), What: messages.StateSaved, By: messages.ByManager,
		Why: fmt.Sprintf("what is remembered of every instance is written again; of %d it was not", k.lost)})
	k.pause, k.lost = 0, 0
}

// close has what waits written, but for no longer than patience, and returns what is not.
func (k *keeper) close(patience time.Duration) error {
	k.mu.Lock()
	k.closed = true
	if k.again != nil {
		k.again.Stop()
	}
	if k.soon != nil {
		k.soon.Stop()
	}
	k.queueLater()
	for id := range k.instances { // once more
		if p := k.pages[id]; p != nil {
			k.queue(id, p)
		}
	}
	k.rest()
	k.mu.Unlock()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-k.idle:
	case <-late.C:
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.pages) == 0 {
		return nil
	}
	why := errStalled(patience)
	for _, err := range k.instances {
		why = err
	}
	return fmt.Errorf("what is remembered of %s could not be written, and the next manager will not know it: %w",
		counted(len(k.pages)), why)
}

// rest closes idle when its time has come; k.mu is held.
func (k *keeper) rest() {
	if k.closed && k.writers == 0 && len(k.order) == 0 {
		select {
		case <-k.idle:
		default:
			close(k.idle)
		}
	}
}

func errStalled(patience time.Duration) error {
	return fmt.Errorf("the state disk does not answer since %v", patience)
}
