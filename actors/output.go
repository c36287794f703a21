package actors

import (
	"context"

	"procman/messages"
)

// output is what a run writes, on its way. It is released after the end of the run was reported: to forward what is
// there may take as long as a disk does.
type output struct {
	world    *World
	app      *messages.AppInstance
	follower Follower // nil: none
}

func (o *output) Acquire(ctx context.Context, _ *messages.Launch) error {
	if o.world.Outputs == nil {
		return nil
	}
	return o.world.Outputs.Begin(ctx, o.app.InstanceID)
}

func (o *output) Attach(l *messages.Launched) error {
	if o.world.Outputs != nil {
		o.follower = o.world.Outputs.Follow(o.app.InstanceID, l.Run, l.PID)
	}
	return nil
}

func (o *output) Release(*End) {
	if o.follower != nil {
		o.follower.Stop()
		o.follower = nil
	}
}
