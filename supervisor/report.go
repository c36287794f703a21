package supervisor

import (
	"procman/actors"
	"procman/messages"
	"procman/supervisor/explain"
)

// show publishes what the handle's readers see.
func (r *root) show(e *entry) {
	if e.Unread == r.listed || e.Closing != r.closing {
		v := e.change()
		v.Unread, v.Closing = !r.listed, r.closing
	}
	absent := r.absent(e)
	if k, is := r.handle.shown.Load(e.ID); is && k.(*shown).View == e.View && k.(*shown).absent == absent {
		return
	}
	r.handle.shown.Store(e.ID, &shown{View: e.View, absent: absent, known: e.Status(r.config.Terms), recent: e.recent})
}

// shown is what the handle's readers see of an instance. It is never changed, but for its recent probes.
type shown struct {
	*explain.View
	absent bool            // only its hold is known
	known  messages.Status // to the root, which is told of few probes; kept, for a read makes nothing
	recent *actors.Recent
}

// status returns the status with the newest probe: the root is told of few.
func (k *shown) status(q messages.Queue, t explain.Terms) messages.Status {
	s := k.known
	if q.Waits {
		v := *k.View
		v.Seen = &explain.Seen{Queue: q}
		s = v.Status(t)
	}
	if p := k.recent.Of(s.Run); p != nil {
		s.LastProbe = p
	}
	return s
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
