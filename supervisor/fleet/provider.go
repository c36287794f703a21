package fleet

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"procman/messages"
	"procman/supervisor"
)

// provider pushes what of the fleet is this host's, beside the host's own list.
type provider struct {
	h       *Host
	inner   supervisor.AppInstanceProvider
	changes chan struct{}
	known   chan struct{} // closed once it is known what of the fleet runs here

	mu     sync.Mutex
	apps   map[messages.InstanceID]*messages.AppInstance // the fleet's that run here; nobody changes one
	order  []messages.InstanceID                         // of apps; nil: it is not known
	given  bool                                          // known is closed
	before []messages.AppInstance                        // is given once, before apps; nil: nothing is
	locals map[messages.InstanceID]struct{}              // of the host's own list
	said   map[messages.InstanceID]bool
}

var (
	_ supervisor.Notifier = (*provider)(nil)
	_ supervisor.Drafter  = (*provider)(nil)
)

func newProvider(h *Host) *provider {
	p := &provider{h: h, inner: h.config.Provider, changes: make(chan struct{}, 1), known: make(chan struct{}),
		said: map[messages.InstanceID]bool{},
		apps: map[messages.InstanceID]*messages.AppInstance{}}
	if n, is := p.inner.(supervisor.Notifier); is {
		h.work.Go(func() { p.forward(n.Changes()) })
	} else {
		h.work.Go(p.resync)
	}
	return p
}

// resyncPause is how often a provider is asked that does not say when its list may have changed.
const resyncPause = 30 * time.Second

func (p *provider) resync() {
	for t := time.NewTicker(resyncPause); ; {
		select {
		case <-t.C:
			p.notify()
		case <-p.h.life.Done():
			t.Stop()
			return
		}
	}
}

func (p *provider) forward(changes <-chan struct{}) {
	for {
		select {
		case _, open := <-changes:
			if !open {
				return
			}
			p.notify()
		case <-p.h.life.Done():
			return
		}
	}
}

func (p *provider) notify() {
	select {
	case p.changes <- struct{}{}:
	default:
	}
}

// Changes has a value when the list may have changed.
func (p *provider) Changes() <-chan struct{} { return p.changes }

// AppInstances returns the host's own instances, and those of the fleet that are its. It waits until it is known what
// of the fleet lives here, or what lives would be taken for what nobody wants.
func (p *provider) AppInstances(ctx context.Context) ([]messages.AppInstance, error) {
	own, err := p.inner.AppInstances(ctx)
	if err != nil {
		return nil, err
	}
	select {
	case <-p.known:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.h.life.Done():
		return nil, p.h.errorf("the host has let go of it")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	locals := make(map[messages.InstanceID]struct{}, len(own))
	for n := range own {
		locals[own[n].InstanceID] = struct{}{}
	}
	p.locals = locals
	theirs := p.theirs()
	if p.before != nil {
		theirs, p.before = p.before, nil
		p.notify()
	}
	list := slices.Clip(own)
	for n := range theirs {
		id := theirs[n].InstanceID
		if _, local := locals[id]; local {
			p.clash(id)
			continue
		}
		list = append(list, theirs[n])
	}
	p.h.gate.locals(locals)
	return list, nil
}

// clash says once that the host's own list has an instance of that name.
func (p *provider) clash(id messages.InstanceID) {
	if p.said[id] {
		return
	}
	p.said[id] = true
	p.h.tell(messages.Event{What: messages.ConfigRejected, ID: id, By: messages.ByConfiguration, Bad: true,
		Why: "this host's own configuration has an instance of that name, so that the fleet's does not run here: " +
			"rename one of them"})
}

// theirs returns what of the fleet runs here.
func (p *provider) theirs() []messages.AppInstance {
	if p.order == nil {
		p.order = slices.Sorted(maps.Keys(p.apps))
	}
	list := make([]messages.AppInstance, 0, len(p.order))
	for _, id := range p.order {
		list = append(list, *p.apps[id])
	}
	return list
}

// set says what has changed of what runs here of the fleet; nil: that does not run here any more.
func (p *provider) set(changes map[messages.InstanceID]*messages.AppInstance) {
	p.mu.Lock()
	same := p.given
	for id, now := range changes {
		was := p.apps[id]
		if (was == nil) != (now == nil) {
			p.order = nil
		}
		same = same && (was == now || was != nil && now != nil && was.Same(now))
		if p.apps[id] = now; now == nil {
			delete(p.apps, id)
		}
	}
	if !p.given {
		p.given = true
		close(p.known)
	}
	p.mu.Unlock()
	if !same {
		p.notify()
	}
}

// hurry has those that are chosen end within so long, when they leave the list: it is told before they do.
func (p *provider) hurry(within time.Duration, chosen func(messages.InstanceID) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.theirs()
	changed := false
	for n := range before {
		if a := &before[n]; chosen(a.InstanceID) && a.Stop.Grace > within {
			a.Stop.Grace, changed = within, true
		}
	}
	if changed {
		p.before = before
	}
}

// Draft says how the host's own list came about. The fleet's is never in doubt.
func (p *provider) Draft() supervisor.Draft {
	d := supervisor.Draft{Whole: true}
	if inner, is := p.inner.(supervisor.Drafter); is {
		d = inner.Draft()
	}
	d.Concerns = func(id messages.InstanceID) bool { return !p.h.gate.isFleets(id) }
	return d
}

// Settled says that the list is in force as it is.
func (p *provider) Settled() {
	if inner, is := p.inner.(supervisor.Drafter); is {
		inner.Settled()
	}
}
