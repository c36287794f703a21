package cli

import (
	"context"
	"slices"
	"time"

	"procman/actors/spawn"
	"procman/cmd/procman/daemon"
	"procman/cmd/procman/doctor"
	"procman/messages"
	"procman/supervisor/config"
	"procman/supervisor/fleet/leash"
)

// fleetFacts are those of a host of a fleet; nil of another.
func fleetFacts(ctx context.Context, f *config.Fleet, dir messages.StateDir, open daemon.FleetStore) *doctor.Fleet {
	if f == nil {
		return nil
	}
	facts := &doctor.Fleet{Grace: f.Grace, Clock: doctor.LookClock(), Store: storeFacts(ctx, *f, open)}
	l := &facts.Leash
	l.Able = doctor.Trial{Made: true, Err: leash.Able()}
	r, err := leash.Look(dir)
	l.PID, l.Lives, l.Over, l.Err = r.Leash, r.Lives, r.Over, err
	l.Left = time.Duration(r.KillAt - leash.Now())
	for _, id := range r.Fenced {
		l.Fenced = append(l.Fenced, string(id))
	}
	if len(r.Fenced) == 0 {
		return facts
	}
	traces, _ := spawn.Look(ctx, dir) // what cannot be read is found out elsewhere
	for _, t := range traces {
		if t.Memory != nil && slices.Contains(r.Fenced, t.ID) && t.Memory.Stop.Grace > f.Grace {
			facts.Cut = append(facts.Cut, string(t.ID))
		}
	}
	return facts
}
