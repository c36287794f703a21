package supervisor

import (
	"log/slog"
	"sync"

	"procman/messages"
)

// keeper writes what the root remembers, in a goroutine of its own so that the root never waits for a disk. Of several
// memories of one instance that wait, only the newest is written.
type keeper struct {
	memory Memory
	log    *slog.Logger

	mu     sync.Mutex
	wake   *sync.Cond
	waits  map[messages.InstanceID]*page
	order  []messages.InstanceID
	closed bool
}

// page is what waits to be written of one instance.
type page struct {
	memory  messages.Memory
	expunge bool
	then    []func(error)
}

func newKeeper(m Memory, log *slog.Logger) *keeper {
	k := &keeper{memory: m, log: log, waits: map[messages.InstanceID]*page{}}
	k.wake = sync.NewCond(&k.mu)
	return k
}

// remember has m written. then is called, if it is not nil, in another goroutine once m or something newer is written.
func (k *keeper) remember(m messages.Memory, then func(error)) {
	k.put(m.ID, func(p *page) {
		p.memory, p.expunge = m, false
		if then != nil {
			p.then = append(p.then, then)
		}
	})
}

// expunge has what is remembered of the instance deleted.
func (k *keeper) expunge(id messages.InstanceID) {
	k.put(id, func(p *page) { p.expunge = true })
}

func (k *keeper) put(id messages.InstanceID, change func(*page)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.waits[id]
	if p == nil {
		p = &page{}
		k.waits[id] = p
		k.order = append(k.order, id)
	}
	change(p)
	k.wake.Signal()
}

// run writes until close, and then what still waits.
func (k *keeper) run() {
	for {
		id, p := k.next()
		if p == nil {
			return
		}
		var err error
		if p.expunge {
			err = k.memory.Expunge(id)
		} else {
			err = k.memory.Remember(p.memory)
		}
		if err != nil {
			k.log.Error("what a later manager must know could not be written", "instance", string(id), "error", err,
				"consequence", "after a crash of the manager the process is found all the same; counters and a delay under way may be lost")
		}
		for _, then := range p.then {
			then(err)
		}
	}
}

func (k *keeper) next() (messages.InstanceID, *page) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for len(k.order) == 0 {
		if k.closed {
			return "", nil
		}
		k.wake.Wait()
	}
	id := k.order[0]
	k.order = k.order[1:]
	p := k.waits[id]
	delete(k.waits, id)
	return id, p
}

func (k *keeper) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	k.wake.Signal()
}
