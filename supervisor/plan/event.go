package plan

import (
	"time"

	"procman/messages"
)

// Event is something that happened to an instance, or that somebody wishes.
type Event interface{ name() string }

// The events. Those that are facts reported by an instance actor have the form of their message.
type (
	// Want says that App should run.
	Want struct{ App *App }
	// Unwant says that nothing should run. App is what the list says of the instance that is held down; nil if it is
	// not in the list.
	Unwant struct{ App *App }
	// Survivor says what a manager that starts finds of the instance: what its predecessor remembered, and the run that
	// was found, if there is one.
	Survivor struct {
		Memory messages.Memory // zero but for its ID: nothing is remembered
		Found  *messages.Survivor
	}
	// Launched: see messages.Launched.
	Launched messages.Launched
	// Refused: see messages.Refused.
	Refused messages.Refused
	// LaunchFailed: see messages.LaunchFailed.
	LaunchFailed messages.LaunchFailed
	// Ready: see messages.Ready.
	Ready messages.Ready
	// Probed: see messages.Probed.
	Probed messages.Probed
	// Unhealthy: see messages.Unhealthy.
	Unhealthy messages.Unhealthy
	// Lingers: see messages.Lingers.
	Lingers messages.Lingers
	// Exited: see messages.Exited.
	Exited messages.Exited
	// Lost says that the instance's actor is gone and has not reported an end of the process.
	Lost struct{}
	// Due says that the timer armed for At has fired.
	Due struct{ At time.Time }
	// Retry is an operator's wish not to wait any longer.
	Retry struct{}
	// Restart is the wish for a new process: an operator's, or for the reason that is given.
	Restart struct {
		As  messages.ExitReason // empty: an operator's
		Why string
	}
)

func (Want) name() string         { return "Want" }
func (Unwant) name() string       { return "Unwant" }
func (Survivor) name() string     { return "Survivor" }
func (Launched) name() string     { return "Launched" }
func (Refused) name() string      { return "Refused" }
func (LaunchFailed) name() string { return "LaunchFailed" }
func (Ready) name() string        { return "Ready" }
func (Probed) name() string       { return "Probed" }
func (Unhealthy) name() string    { return "Unhealthy" }
func (Lingers) name() string      { return "Lingers" }
func (Exited) name() string       { return "Exited" }
func (Lost) name() string         { return "Lost" }
func (Due) name() string          { return "Due" }
func (Retry) name() string        { return "Retry" }
func (Restart) name() string      { return "Restart" }

// Name returns the name of an event, as the table has it.
func Name(e Event) string { return e.name() }

// Action is something the root has to do. Actions are carried out in their order.
type Action interface{ action() }

// The actions.
type (
	// Launch: spawn an actor that starts a process of App.
	Launch struct {
		App *App
		Run int
		// Precedence says who goes first, if there are more than can start at a time.
		Precedence messages.Precedence
	}
	// Adopt: spawn an actor that takes over the process of Run. App is nil while it is not known what runs there.
	Adopt struct {
		App      *App
		Run      int
		Adoption int
		Ready    bool                // it was healthy before
		Stop     messages.StopPolicy // by which the run is ended
	}
	// Stop: tell the actor to end its run.
	Stop messages.StopPolicy
	// Urge: tell the actor that its start goes before others.
	Urge struct{}
	// Apply: tell the actor the policy of App.
	Apply struct{ App *App }
	// Drop: stop the actor, its last report has been read.
	Drop struct{}
	// Arm: send Due{At} at that time, and only that.
	Arm struct{ At time.Time }
	// Forget: nothing of the instance is needed any more, its port least of all.
	Forget struct{}
	// Tell: say what has happened, once all is done. Who is told adds when, on whose behalf, and the phase that was
	// reached.
	Tell messages.Event
	// Bug: an event came that cannot happen in this phase. Nothing was changed.
	Bug struct {
		Event string
		Phase messages.Phase
	}
)

func (Launch) action() {}
func (Adopt) action()  {}
func (Stop) action()   {}
func (Urge) action()   {}
func (Apply) action()  {}
func (Drop) action()   {}
func (Arm) action()    {}
func (Forget) action() {}
func (Tell) action()   {}
func (Bug) action()    {}
