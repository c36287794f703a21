package actors

import (
	"sync"

	"github.com/asynkron/protoactor-go/actor"
)

// dispatcher has the mailboxes of many actors worked off by few goroutines, in the order in which they have got
// something. A goroutine for each, of a thousand actors that are made at once, would be kept by the runtime for good,
// and each would have its stack grown. While nobody has got anything there is no goroutine.
type dispatcher struct {
	most int // goroutines: those who receive never block

	mu      sync.Mutex
	waiting []func()
	working int
}

var _ actor.Dispatcher = (*dispatcher)(nil)

func (d *dispatcher) Schedule(run func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting = append(d.waiting, run)
	if d.working < d.most {
		d.working++
		go d.work()
	}
}

func (d *dispatcher) work() {
	for run := d.next(); run != nil; run = d.next() {
		run()
	}
}

// next returns nil to a goroutine that is not needed any more.
func (d *dispatcher) next() func() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.waiting) == 0 {
		d.waiting = nil
		d.working--
		return nil
	}
	run := d.waiting[0]
	d.waiting[0] = nil
	d.waiting = d.waiting[1:]
	return run
}

// Throughput is how many messages of a mailbox are worked off before another goroutine may go on: that of protoactor.
func (d *dispatcher) Throughput() int { return 300 }
