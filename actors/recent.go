package actors

import (
	"sync/atomic"

	"procman/messages"
)

// Recent is the newest probes of one instance. They are written as they are made and read by anybody, without waiting:
// so nobody has to be told of a probe that changes nothing. A nil Recent takes none and has none.
type Recent struct{ newest atomic.Pointer[recent] }

// recent is never changed. The newest comes first; the others may be missing.
type recent struct {
	run    int // of the newest
	probes [messages.KeptProbes]*messages.Probe
}

// add takes in a probe of that run. The probes of an instance come one after the other.
func (r *Recent) add(run int, p messages.Probe) {
	if r == nil {
		return
	}
	now := &recent{run: run}
	if before := r.newest.Load(); before != nil {
		if before.probes[0].Body == p.Body {
			p.Body = before.probes[0].Body // one copy for all: a healthy instance says the same every time
		}
		copy(now.probes[1:], before.probes[:])
	}
	now.probes[0] = &p
	r.newest.Store(now)
}

// Of returns the newest probe, nil if there is none of that run. It is not to be changed.
func (r *Recent) Of(run int) *messages.Probe {
	if r == nil {
		return nil
	}
	if now := r.newest.Load(); now != nil && now.run == run {
		return now.probes[0]
	}
	return nil
}

// All returns those that are kept, newest last, also those of earlier runs.
func (r *Recent) All() []messages.Probe {
	all := []messages.Probe{}
	if r == nil || r.newest.Load() == nil {
		return all
	}
	now := r.newest.Load()
	for n := len(now.probes) - 1; n >= 0; n-- {
		if p := now.probes[n]; p != nil {
			all = append(all, *p)
		}
	}
	return all
}
