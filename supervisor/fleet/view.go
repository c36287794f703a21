package fleet

import (
	"sync/atomic"
	"time"

	"procman/messages"
)

// standing is how the host stands, and when it does not any more.
type standing struct {
	messages.FleetStanding
	deadline, killAt time.Duration // CLOCK_BOOTTIME; 0: no lease
}

// view is what readers see of the actor.
type view struct{ now atomic.Pointer[standing] }

func (v *view) set(s standing) { v.now.Store(&s) }

// Standing returns how the host stands with its fleet. It never waits.
func (h *Host) Standing() messages.FleetStanding {
	v := h.view.now.Load()
	if v == nil {
		return messages.FleetStanding{Fleet: h.config.Fleet, Host: h.config.Name, Phase: "new"}
	}
	s := v.FleetStanding
	if v.deadline != 0 {
		s.Deadline = max(0, v.deadline-h.now())
	}
	return s
}
