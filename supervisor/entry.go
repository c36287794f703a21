package supervisor

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"procman/actors"
	"procman/messages"
	"procman/supervisor/explain"
	"procman/supervisor/plan"
)

// entry is what the root has of one instance.
type entry struct {
	*explain.View // readers have it too: it is changed by change only
	child         *actor.PID
	alarm         actors.Alarm
	recent        actors.Recent
	lists         int                   // see root.lists: of the newest list that it is in
	shown         atomic.Pointer[shown] // nil: nothing is yet
}

// change returns the view to be changed, in place of the one that readers have.
func (e *entry) change() *explain.View {
	v := *e.View
	e.View = &v
	return e.View
}

func (e *entry) memory() messages.Memory {
	m := e.Memory(e.Hold.On)
	m.HeldBy, m.HeldAt = e.Hold.By, e.Hold.At
	return m
}

func (e *entry) childIs(pid *actor.PID) bool { return e.child != nil && e.child.Id == pid.Id }

// instanceOf returns the instance of an actor that the root has made, whose name is <root>/<InstanceID>@<run>.
func instanceOf(child *actor.PID) messages.InstanceID {
	id, _, _ := strings.Cut(child.Id[strings.LastIndexByte(child.Id, '/')+1:], "@")
	return messages.InstanceID(id)
}

// entries are all of the root. It alone changes them, and reads them without the lock. Others see what is shown.
type entries struct {
	mu sync.RWMutex
	of map[messages.InstanceID]*entry
}

// get returns the entry of an instance, which may be a new one.
func (s *entries) get(id messages.InstanceID) *entry {
	e := s.of[id]
	if e == nil {
		e = &entry{View: &explain.View{Instance: plan.New(id)}}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.of[id] = e
	}
	return e
}

func (s *entries) drop(id messages.InstanceID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.of, id)
}

// see returns what is shown of an instance; nil: nothing is.
func (s *entries) see(id messages.InstanceID) *shown {
	s.mu.RLock()
	e := s.of[id]
	s.mu.RUnlock()
	if e == nil {
		return nil
	}
	return e.shown.Load()
}

// all returns what is shown of all.
func (s *entries) all() []*shown {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]*shown, 0, len(s.of))
	for _, e := range s.of {
		if k := e.shown.Load(); k != nil {
			all = append(all, k)
		}
	}
	return all
}
