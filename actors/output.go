package actors

import (
	"context"

	"procman/messages"
)

// output is what a run writes, on its way. It is released after the end of the run was reported: to forward what is there may
// take as long as a disk does.
type output struct {
	outputs  Outputs // nil: it is not forwarded
	id       messages.InstanceID
	follower Follower // nil: none
}

func (o *output) Acquire(ctx context.Context, _ *messages.Launch) error {
	if o.outputs == nil {
		return nil
	}
	return o.outputs.Begin(ctx, o.id)
}

func (o *output) Attach(l *messages.Launched) error {
	if o.outputs != nil {
		o.follower = o.outputs.Follow(o.id, l.Run, l.PID)
	}
	return nil
}

func (o *output) Release(*End) {
	if o.follower != nil {
		o.follower.Stop()
		o.follower = nil
	}
}
