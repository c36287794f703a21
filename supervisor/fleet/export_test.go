package fleet

import (
	"context"
	"maps"

	"procman/messages"
)

// Unlisted returns what the host would list otherwise, did it look at everything anew: of that there must be nothing.
// It has no answer while changes are on their way.
func (h *Host) Unlisted(ctx context.Context) (wrong []messages.InstanceID, err error) {
	err = h.ask(ctx, func(a *hostActor) {
		if a.flushing || a.whole || len(a.touched) > 0 {
			return
		}
		state := func() (map[messages.InstanceID]permit, map[messages.InstanceID]*messages.AppInstance) {
			h.gate.mu.Lock()
			defer h.gate.mu.Unlock()
			h.provider.mu.Lock()
			defer h.provider.mu.Unlock()
			return maps.Clone(h.gate.permits), maps.Clone(h.provider.apps)
		}
		permits, apps := state()
		listed, fenced := maps.Clone(a.listed), a.fenced
		a.whole = true
		a.list()
		now, nowApps := state()
		for _, ids := range []map[messages.InstanceID]permit{permits, now} {
			for id := range ids {
				_, was := permits[id]
				_, is := now[id]
				if was != is || permits[id] != now[id] || apps[id] != nowApps[id] {
					wrong = append(wrong, id)
				}
			}
		}
		if !maps.Equal(listed, a.listed) || fenced != a.fenced {
			wrong = append(wrong, "listed")
		}
	})
	return wrong, err
}
