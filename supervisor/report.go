package supervisor

import (
	"procman/actors"
	"procman/messages"
	"procman/supervisor/explain"
)

// show publishes what the handle's readers see.
func (r *root) show(e *entry) {
	if absent := r.absent(e); e.Unread == r.listed || e.Closing != r.closing || e.Absent != absent {
		v := e.change()
		v.Unread, v.Closing, v.Absent = !r.listed, r.closing, absent
	}
	if k := e.shown.Load(); k == nil || k.View != e.View {
		e.shown.Store(&shown{View: e.View, reason: e.Because(r.config.Terms), recent: &e.recent})
	}
}

// shown is what the handle's readers see of an instance. It is never changed, but for its recent probes.
type shown struct {
	*explain.View
	reason string // kept, for a read makes nothing
	recent *actors.Recent
}

// status puts the status with the newest probe into s: the root is told of few.
func (k *shown) status(s *messages.Status) {
	k.Facts(s)
	s.Reason = k.reason
	if p := k.recent.Of(s.Run); p != nil {
		s.LastProbe = p
	}
}

// view returns what is known with the newest probes.
func (k *shown) view(q messages.Queue) explain.View {
	v := *k.View
	v.Seen = &explain.Seen{Probes: k.recent.All(), Queue: q}
	if p := k.recent.Of(v.Run); p != nil {
		v.LastProbe = p
	}
	return v
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
