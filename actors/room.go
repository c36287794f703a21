package actors

import (
	"context"

	"procman/messages"
)

// room is what a start needs of descriptors and processes while it is under way, see Budget.
type room struct {
	budget Budget // nil: there is no limit
	landed func()
}

func (r *room) Acquire(ctx context.Context, _ *messages.Launch) (err error) {
	if r.budget != nil {
		r.landed, err = r.budget.Admit(ctx)
	}
	return err
}

func (r *room) Attach(*messages.Launched) error { return nil }

func (r *room) Release(*End) {
	if r.budget != nil {
		r.landed()
	}
}
