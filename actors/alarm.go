package actors

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// Alarm sends an actor one message at a time: setting it anew replaces what was set before, except for a message that
// is already on its way. So the message says for which time it was set, and the receiver compares.
// The zero Alarm is ready. It belongs to the actor that sets it.
type Alarm struct{ timer *time.Timer }

// Set has message sent to the actor itself at the time given.
func (a *Alarm) Set(c actor.Context, at time.Time, message any) {
	a.Stop()
	root, self := c.ActorSystem().Root, c.Self()
	a.timer = time.AfterFunc(time.Until(at), func() { root.Send(self, message) })
}

// Stop ends the alarm.
func (a *Alarm) Stop() {
	if a.timer != nil {
		a.timer.Stop()
		a.timer = nil
	}
}
