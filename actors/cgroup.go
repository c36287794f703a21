package actors

import (
	"context"
	"errors"

	"procman/messages"
)

// cgroup is the cgroup of a run.
type cgroup struct {
	world *World
	app   *messages.AppInstance
	run   int
	path  string // empty: it does without
	made  bool   // with the bounds of the app
}

func (c *cgroup) Acquire(_ context.Context, l *messages.Launch) (err error) {
	bounds := c.app.Bounds()
	switch {
	case c.world.Cgroups != nil:
		c.path, err = c.world.Cgroups.Make(c.app.InstanceID, c.run, bounds)
		l.Cgroup, c.made = c.path, true
	case bounds != (messages.Resources{}):
		err = &messages.StartError{Fault: messages.FaultBounds, Err: errNoCgroups, Help: "leave out resources"}
	}
	return err
}

func (c *cgroup) Attach(l *messages.Launched) error {
	c.path = l.Cgroup
	return nil
}

func (c *cgroup) Release(e *End) {
	if c.path == "" || e.Left || c.world.Cgroups == nil {
		return // or it is taken over by whoever adopts the process
	}
	if !c.made || c.app.Bounds().Memory > 0 { // the app of one that was adopted may not tell its bounds
		e.Rest.Starved = c.world.Cgroups.Starved(c.path)
	}
	c.world.Cgroups.Remove(c.app.InstanceID, c.path)
}

var errNoCgroups = errors.New("this manager makes no cgroups, by which they are bounded")
