package fleet

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"sync"
	"time"

	"procman/actors"
	"procman/messages"
	"procman/supervisor/fleet/leash"
	"procman/supervisor/fleet/member"
)

// permit says what may be started of an instance, and under which epoch.
type permit struct {
	epoch  int64
	fenced bool
	start  bool // else what lives goes on, and nothing is begun
}

// gate is where every start of the fleet's instances passes. It is what the host's actor and the goroutines that start
// processes share.
type gate struct {
	mu       sync.Mutex
	member   member.State
	fleets   map[messages.InstanceID]bool   // that were on the fleet's list here, and on no file's since
	permits  map[messages.InstanceID]permit // what is on the list now
	starting map[messages.InstanceID]int
	living   map[messages.InstanceID]int // by run; as far as is known
	marked   map[messages.InstanceID]leash.Mark
}

func newGate() *gate {
	return &gate{
		fleets: map[messages.InstanceID]bool{}, permits: map[messages.InstanceID]permit{},
		starting: map[messages.InstanceID]int{},
		living:   map[messages.InstanceID]int{}, marked: map[messages.InstanceID]leash.Mark{},
	}
}

// down reports whether nothing of the instance lives here or is being started.
func (g *gate) down(id messages.InstanceID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, lives := g.living[id]
	return !lives && g.starting[id] == 0
}

// fencedDown reports whether nothing that is fenced lives here or is being started; with all, nothing of the fleet's at
// all.
func (g *gate) fencedDown(all bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	counts := func(id messages.InstanceID) bool {
		_, marked := g.marked[id]
		return marked || all && g.fleets[id]
	}
	for id := range g.living {
		if counts(id) {
			return false
		}
	}
	for id, n := range g.starting {
		if n > 0 && counts(id) {
			return false
		}
	}
	return true
}

// ended notes that no process of the run, or of an earlier one, lives. It reports whether that is news.
func (g *gate) ended(id messages.InstanceID, run int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	lives, known := g.living[id]
	if !known || lives > run {
		return false
	}
	delete(g.living, id)
	return true
}

// enter begins a start, unless it is not allowed.
func (g *gate) enter(id messages.InstanceID) (p permit, ours bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.fleets[id] {
		return permit{}, false, nil
	}
	p, listed := g.permits[id]
	if !listed || !p.start {
		return p, true, notNow("this host does not have it now")
	}
	g.starting[id]++
	return p, true, nil
}

// leave ends a start. run is what lives since then; 0: nothing.
func (g *gate) leave(id messages.InstanceID, run int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if run > 0 {
		g.living[id] = run
	}
	if g.starting[id]--; g.starting[id] <= 0 {
		delete(g.starting, id)
	}
}

// mayStart answers right before the fork. until is when the leash kills what is fenced.
func (g *gate) mayStart(id messages.InstanceID, p permit, now time.Duration) (until time.Duration, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.permits[id] != p:
		return 0, notNow("this host has just given it up")
	case p.fenced && !g.member.MayStart(now):
		why := g.member.Why
		if why == "" {
			why = "its lease has no time left for a start"
		}
		return 0, notNow(why)
	}
	return g.member.KillAt(), nil
}

// permit has what is listed started as the permits say, and nothing else of these.
func (g *gate) permit(ids []messages.InstanceID, permits map[messages.InstanceID]permit) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, id := range ids {
		if p, is := permits[id]; is {
			g.permits[id], g.fleets[id] = p, true
		} else {
			delete(g.permits, id)
		}
	}
}

func (g *gate) mark(id messages.InstanceID, m leash.Mark) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.marked[id] = m
}

func (g *gate) isMarked(id messages.InstanceID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, marked := g.marked[id]
	return marked
}

func (g *gate) unmark(id messages.InstanceID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.marked, id)
}

func notNow(why string) error {
	return &messages.StartError{Fault: messages.FaultFleet, Err: errors.New(why),
		Help: "it starts as soon as that has changed, here or on another host"}
}

// diskPatience is how long a start waits for the mark of a fenced run.
const diskPatience = time.Second

// Spawner is the spawner of a fleet's host: what belongs to the fleet is started only while that is allowed.
type Spawner struct {
	actors.Spawner
	host *Host
}

// Spawn starts a process as the Spawner beneath does. Of an instance of the fleet's the error is a *messages.StartError
// with FaultFleet while this host may not start it. The environment has PROCMAN_EPOCH, the revision of the assignment:
// it grows with each change of hosts, for whoever can check it where the data is.
func (s *Spawner) Spawn(ctx context.Context, l messages.Launch) (actors.Process, error) {
	h, id := s.host, l.App.InstanceID
	p, ours, err := h.gate.enter(id)
	if err != nil {
		return nil, err
	}
	if !ours {
		return s.Spawner.Spawn(ctx, l)
	}
	run := 0
	defer func() {
		h.gate.leave(id, run)
		h.send(settled{})
	}()
	l.Extra = append(l.Extra, "PROCMAN_EPOCH="+strconv.FormatInt(p.epoch, 10))
	if p.fenced {
		var leave func()
		var cancel context.CancelFunc
		if ctx, cancel, leave, err = s.guarded(ctx, id, p); err != nil {
			return nil, err
		}
		defer leave()
		defer cancel()
		l.Extra = append(l.Extra, leash.EnvFence+"="+leash.Fenced)
	} else {
		if _, err := h.gate.mayStart(id, p, h.now()); err != nil {
			return nil, err
		}
		h.takeMark(id) // that of an earlier run: one that stays has the leash end what need not end
	}
	process, err := s.Spawner.Spawn(ctx, l)
	if err != nil {
		return nil, err
	}
	run = process.Run()
	return process, nil
}

// guarded marks a run as fenced, and holds the start lock from before the last question on.
func (s *Spawner) guarded(ctx context.Context, id messages.InstanceID, p permit) (_ context.Context,
	_ context.CancelFunc, leave func(), err error) {
	h := s.host
	m := leash.Mark{Epoch: p.epoch, Incarnation: h.incarnation()}
	h.gate.mark(id, m)
	left, err := h.disk.Do(ctx, diskPatience, func() error {
		if err := h.config.Guard.Fence(id, m); err != nil {
			return err
		}
		var err error
		leave, err = h.config.Guard.Enter()
		return err
	}, func() {
		if leave != nil {
			leave()
		}
	})
	if err != nil {
		if !left && leave != nil {
			leave()
		}
		return nil, nil, nil, &messages.StartError{Fault: messages.FaultStateDir, Err: err}
	}
	until, err := h.gate.mayStart(id, p, h.now())
	if err != nil {
		leave()
		return nil, nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, until-h.now())
	return ctx, cancel, leave, nil
}

// Survivors returns what the Spawner beneath finds, and lets the host know of it.
func (s *Spawner) Survivors(ctx context.Context) ([]messages.Survivor, error) {
	found, err := s.Spawner.Survivors(ctx)
	if ctx.Err() == nil {
		s.host.survivors(found)
	}
	return found, err
}

// isFleets reports whether the instance is the fleet's, or was until it left this host.
func (g *gate) isFleets(id messages.InstanceID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fleets[id]
}

// locals notes what is the host's own, and starts as it always does.
func (g *gate) locals(own map[messages.InstanceID]struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id := range own {
		delete(g.fleets, id)
	}
}

// markedNow returns what is marked as fenced.
func (g *gate) markedNow() map[messages.InstanceID]leash.Mark {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.marked)
}
