package supervisor

import (
	"procman/messages"
	"procman/supervisor/explain"
)

// show publishes what the handle's readers see.
func (r *root) show(e *entry) {
	v := e.View
	v.Unread, v.Closing = !r.listed, r.closing
	r.handle.shown.Store(e.ID, &shown{View: v, absent: r.absent(e), status: v.Status(r.config.Terms)})
}

// shown is what the handle's readers see of an instance. It is never changed.
type shown struct {
	explain.View
	absent bool // only its hold is known
	status messages.Status
}

// probed keeps the newest probes, in a slice that nobody else has.
func (e *entry) probed(p messages.Probe) {
	kept := make([]messages.Probe, 0, messages.KeptProbes)
	kept = append(append(kept, e.Probes[max(0, len(e.Probes)-messages.KeptProbes+1):]...), p)
	if n := len(kept); n > 1 && kept[n-2].Body == p.Body {
		kept[n-1].Body = kept[n-2].Body // one copy for all: a healthy instance says the same every time
	}
	e.Probes = kept
}

// news is told once all that the message under way asks for is done.
func (r *root) news(told ...any) { r.untold = append(r.untold, told...) }

// flush tells the news. Whoever is answered finds them told.
func (r *root) flush() {
	told := r.untold
	r.untold = nil
	for _, t := range told {
		r.handle.tell(t)
	}
}
