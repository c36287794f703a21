package fake

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"procman/actors"
	"procman/messages"
	"procman/supervisor"
)

// Ports leases ports that exist in memory only, from 30000 upwards.
type Ports struct {
	mu        sync.Mutex
	next      int
	sticky    map[messages.InstanceID]int
	leased    map[messages.InstanceID]int
	contested map[int]bool
	none      error
	limit     int // of ports that there are; 0: none
}

var _ actors.Ports = (*Ports)(nil)

// NewPorts returns a range in which every port is free.
func NewPorts() *Ports {
	return &Ports{next: 30000, sticky: map[messages.InstanceID]int{}, leased: map[messages.InstanceID]int{},
		contested: map[int]bool{}}
}

// Steal lets a stranger listen on the port.
func (p *Ports) Steal(port int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.contested[port] = true
}

// Exhaust makes every Acquire fail with err, until it is called with nil.
func (p *Ports) Exhaust(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.none = err
}

// Limit lets only so many ports exist.
func (p *Ports) Limit(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit = n
}

// Leased returns the leases in use.
func (p *Ports) Leased() map[messages.InstanceID]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.leased)
}

// Kept returns the ports that instances have or would get again.
func (p *Ports) Kept() map[messages.InstanceID]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.sticky)
}

// Acquire leases the port the instance had before, or the next one.
func (p *Ports) Acquire(id messages.InstanceID) (actors.Lease, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.none != nil {
		return nil, p.none
	}
	if p.sticky[id] == 0 && p.limit > 0 && len(p.sticky) >= p.limit {
		idle := slices.DeleteFunc(slices.Sorted(maps.Keys(p.sticky)),
			func(other messages.InstanceID) bool { return p.leased[other] != 0 })
		if len(idle) == 0 {
			return nil, &messages.StartError{Fault: messages.FaultNoPort, Err: fmt.Errorf("all %d are leased", p.limit)}
		}
		p.sticky[id] = p.sticky[idle[0]]
		delete(p.sticky, idle[0])
	}
	if p.sticky[id] == 0 {
		p.sticky[id] = p.next
		p.next++
	}
	p.leased[id] = p.sticky[id]
	return &lease{p, id, p.sticky[id]}, nil
}

// Claim leases the port that a survivor has.
func (p *Ports) Claim(id messages.InstanceID, port int) (actors.Lease, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for other, taken := range p.leased {
		if taken == port && other != id {
			return nil, fmt.Errorf("port %d is leased to %s", port, other)
		}
	}
	p.sticky[id], p.leased[id] = port, port
	p.next = max(p.next, port+1)
	return &lease{p, id, port}, nil
}

// Owns reports whether the instance has a port, or would get one again.
func (p *Ports) Owns(id messages.InstanceID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sticky[id] != 0
}

// Forget frees what the instance has.
func (p *Ports) Forget(id messages.InstanceID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.sticky, id)
	delete(p.leased, id)
}

type lease struct {
	ports *Ports
	id    messages.InstanceID
	port  int
}

func (l *lease) Port() int { return l.port }

func (l *lease) Release() {
	l.ports.mu.Lock()
	defer l.ports.mu.Unlock()
	delete(l.ports.leased, l.id)
}

func (l *lease) Discard() {
	l.ports.mu.Lock()
	defer l.ports.mu.Unlock()
	delete(l.ports.leased, l.id)
	delete(l.ports.sticky, l.id)
}

func (l *lease) Contested() bool {
	l.ports.mu.Lock()
	defer l.ports.mu.Unlock()
	return l.ports.contested[l.port]
}

// ErrRefused is what a process answers that listens on nothing yet.
var ErrRefused = errors.New("connection refused")

// ErrHangs makes a process take a probe and never answer it.
var ErrHangs = errors.New("hangs")

// HealthChecker answers for processes what the test says. Unless told otherwise a process refuses the connection.
type HealthChecker struct {
	mu       sync.Mutex
	fallback error
	answers  map[int]error // by PID
	checks   map[messages.InstanceID][]time.Time
}

var _ actors.HealthChecker = (*HealthChecker)(nil)

// NewHealthChecker returns a checker that says fallback of every process it was told nothing of; nil is healthy.
func NewHealthChecker(fallback error) *HealthChecker {
	return &HealthChecker{fallback: fallback, answers: map[int]error{}, checks: map[messages.InstanceID][]time.Time{}}
}

// Answer sets what the process says from now on; nil is healthy.
func (h *HealthChecker) Answer(p *Process, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answers[p.pid] = err
}

// Checks returns when the instance was probed.
func (h *HealthChecker) Checks(id messages.InstanceID) []time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.checks[id])
}

// Check asks the process.
func (h *HealthChecker) Check(ctx context.Context, t messages.Target) messages.Probe {
	h.mu.Lock()
	err, told := h.answers[t.PID]
	if !told {
		err = h.fallback
	}
	h.checks[t.ID] = append(h.checks[t.ID], time.Now())
	h.mu.Unlock()
	began := time.Now()
	if errors.Is(err, ErrHangs) {
		select {
		case <-time.After(t.Policy.Timeout):
			err = fmt.Errorf("timed out after %v", t.Policy.Timeout)
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err != nil {
		return messages.Probe{Error: err.Error(), At: began, Latency: time.Since(began)}
	}
	return messages.Probe{OK: true, Status: 200, At: began}
}

// Provider is a desired list in the test's hand.
type Provider struct {
	mu      sync.Mutex
	list    []messages.AppInstance
	err     error
	changes chan struct{}
}

var _ supervisor.Notifier = (*Provider)(nil)

// NewProvider returns a provider of that list.
func NewProvider(list ...messages.AppInstance) *Provider {
	return &Provider{list: list, changes: make(chan struct{}, 1)}
}

// Set replaces the list and says so.
func (p *Provider) Set(list ...messages.AppInstance) { p.set(list, nil) }

// Fail makes the list unknown and says so.
func (p *Provider) Fail(err error) { p.set(nil, err) }

func (p *Provider) set(list []messages.AppInstance, err error) {
	p.mu.Lock()
	p.list, p.err = list, err
	p.mu.Unlock()
	select {
	case p.changes <- struct{}{}:
	default:
	}
}

// AppInstances returns the list, or the error it was told to fail with.
func (p *Provider) AppInstances(context.Context) ([]messages.AppInstance, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.list), p.err
}

// Changes says when the list has changed.
func (p *Provider) Changes() <-chan struct{} { return p.changes }

// Memory remembers in memory only, across supervisors. Frozen, it forgets what it is told: so a supervisor that was
// killed leaves what had been written before.
//
// It is an archive, too: of what instances write something is left once they are forgotten.
type Memory struct {
	mu         sync.Mutex
	pages      map[messages.InstanceID]messages.Memory
	left       map[messages.InstanceID]time.Time
	obstructed map[messages.InstanceID]string
	frozen     bool
}

var _ supervisor.Memory = (*Memory)(nil)

// NewMemory returns a memory of nothing.
func NewMemory() *Memory {
	return &Memory{pages: map[messages.InstanceID]messages.Memory{}, left: map[messages.InstanceID]time.Time{},
		obstructed: map[messages.InstanceID]string{}}
}

// Kept reports whether anything of the instance is there.
func (m *Memory) Kept(id messages.InstanceID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, remembered := m.pages[id]
	_, left := m.left[id]
	return remembered || left
}

// Obstruct keeps what the instance left from being removed, until it is called with no reason.
func (m *Memory) Obstruct(id messages.InstanceID, why string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.obstructed[id] = why
}

// Archived returns what is left of those that were forgotten.
func (m *Memory) Archived(known func(messages.InstanceID) bool) (map[messages.InstanceID]time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	archived := map[messages.InstanceID]time.Time{}
	for id, since := range m.left {
		if _, remembered := m.pages[id]; !remembered && !known(id) {
			archived[id] = since
		}
	}
	return archived, nil
}

// Discard removes it.
func (m *Memory) Discard(_ context.Context, ids []messages.InstanceID) map[messages.InstanceID]error {
	m.mu.Lock()
	defer m.mu.Unlock()
	failed := map[messages.InstanceID]error{}
	for _, id := range ids {
		if why := m.obstructed[id]; why != "" {
			failed[id] = &messages.KeptError{ID: id, Why: why}
			continue
		}
		delete(m.left, id)
	}
	return failed
}

func (m *Memory) freeze(frozen bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.frozen = frozen
}

// Recall returns every page.
func (m *Memory) Recall(context.Context) ([]messages.Memory, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Values(m.pages)), nil
}

// Remember replaces a page.
func (m *Memory) Remember(page messages.Memory) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.frozen {
		m.pages[page.ID] = page
	}
	return nil
}

// Expunge drops a page.
func (m *Memory) Expunge(id messages.InstanceID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.frozen {
		delete(m.pages, id)
		m.left[id] = time.Now()
	}
	return nil
}
