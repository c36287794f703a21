package messages

import (
	"encoding/json"
	"time"
)

// Cursor is a place in the event log. Cursors grow, also from one manager to the next; 0 is before every event.
type Cursor uint64

// Happening names what an [Event] is about, in the words of the log.
type Happening string

// The happenings.
const (
	ManagerStarted     Happening = "manager started"
	ManagerStopped     Happening = "manager stopped"
	ConfigApplied      Happening = "config applied"
	ConfigRejected     Happening = "config rejected"
	RemovalWaits       Happening = "removal waits" // instances have left a list that may not be whole
	OperatorActed      Happening = "operator"      // Command says how
	InstanceStarted    Happening = "instance started"
	InstanceReady      Happening = "instance ready"
	InstanceAdopted    Happening = "instance adopted"
	InstanceStopping   Happening = "instance stopping"
	InstanceStopped    Happening = "instance stopped"
	InstanceExited     Happening = "instance exited"
	InstanceUnhealthy  Happening = "instance unhealthy"
	InstanceRestarting Happening = "instance restarting"
	StartFailed        Happening = "start failed"
	PortConflict       Happening = "port conflict"
	PortChanged        Happening = "port changed"      // OldPort says from what, Why for what cause
	StateUnsaved       Happening = "state not saved"   // what a later manager must know is not on disk
	StateSaved         Happening = "state saved again" // and now it is
	OutputMoved        Happening = "output moved"      // somebody moved or removed a file that the process writes to
	EventsLost         Happening = "events lost"       // in place of events that are no longer there
)

// Happenings lists every happening.
func Happenings() []Happening {
	return []Happening{ManagerStarted, ManagerStopped, ConfigApplied, ConfigRejected, RemovalWaits, OperatorActed, InstanceStarted, InstanceReady,
		InstanceAdopted, InstanceStopping, InstanceStopped, InstanceExited, InstanceUnhealthy, InstanceRestarting, StartFailed,
		PortConflict, PortChanged, StateUnsaved, StateSaved, OutputMoved, EventsLost}
}

// Who causes events, beside operators, who are named by what their way of speaking knows of them: "uid 1000".
const (
	ByManager       = "procman"       // by its own rules
	ByConfiguration = "configuration" // the desired list has changed
	ByHost          = "host program"  // the program that embeds the supervisor
)

// Event is something worth knowing that happened: who did what, why, when. It is published on the actor system's
// EventStream, and told by the log and by the event log.
type Event struct {
	Cursor  Cursor        `json:"cursor"` // 0 until it is in the event log
	At      time.Time     `json:"at"`
	What    Happening     `json:"event"`
	ID      InstanceID    `json:"instance,omitempty"` // empty: it is about the manager
	By      string        `json:"by"`
	Command string        `json:"command,omitempty"` // of an operator: start, stop, restart, reload, shutdown, …
	Phase   Phase         `json:"phase,omitempty"`   // of the instance, after it
	Run     int           `json:"run,omitempty"`
	PID     int           `json:"pid,omitempty"`
	Port    int           `json:"port,omitempty"`
	OldPort int           `json:"old_port,omitempty"` // of a changed port
	Why     string        `json:"reason,omitempty"`   // for a person
	Bad     bool          `json:"bad,omitempty"`      // somebody should look
	Exit    *Exit         `json:"exit,omitempty"`
	Delay   time.Duration `json:"-"`                 // of a restart; delay_seconds in JSON
	Attempt int           `json:"attempt,omitempty"` // of a restart: its number since the instance was last stable, see Status.ConsecutiveFailures
}

// bareEvent is an Event without its methods.
type bareEvent Event

type eventJSON struct {
	bareEvent
	DelaySeconds float64 `json:"delay_seconds,omitempty"`
}

// MarshalJSON gives the delay in seconds.
func (e Event) MarshalJSON() ([]byte, error) {
	return json.Marshal(eventJSON{bareEvent(e), e.Delay.Seconds()})
}

// UnmarshalJSON reads what [Event.MarshalJSON] wrote.
func (e *Event) UnmarshalJSON(data []byte) error {
	var j eventJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	*e = Event(j.bareEvent)
	e.Delay = time.Duration(j.DelaySeconds * float64(time.Second))
	return nil
}

// LoggedEvent is an [Event] as it stands in the event log.
type LoggedEvent struct {
	Cursor Cursor
	JSON   []byte // one line of JSON; not to be changed
}

// Event reads the event.
func (l LoggedEvent) Event() (e Event, err error) { return e, json.Unmarshal(l.JSON, &e) }

// EventQuery says which events are asked for.
type EventQuery struct {
	Since  Cursor        // only those after it
	Age    time.Duration // only those that are not older; 0: any age
	ID     InstanceID    // only those of the instance; empty: all
	Last   int           // only the newest so many of those that are there; 0: all, negative: none, only new ones
	Follow bool          // go on with new ones until the context ends
}

// Reconciled says that a desired list has been compared with what runs, and all that follows from it was begun. It is
// published on the actor system's EventStream.
type Reconciled struct {
	Took                    time.Duration
	Listed                  int // instances in the list
	Added, Changed, Removed int
}

// Explanation is what is known of one instance beyond its Status, for whoever asks why.
type Explanation struct {
	Status  Status
	Probes  []Probe      // the newest ones, newest last, at most [KeptProbes]; those of earlier runs too
	Desired *AppInstance // what the list says of it; nil: it is not in the list. Not to be changed.
	KillAt  time.Time    // in Stopping: when the grace period ends
	StopAs  ExitReason   // in Stopping: why
	HeldBy  string       // of a hold: who
	HeldAt  time.Time    // and when
	Leaving string       // it has left a list that may not be whole, and runs on: why that is in doubt; empty: it has not
	Verdict Verdict      // all of it in words
}

// Verdict is what there is to say of an instance, in words.
type Verdict struct {
	Summary string   `json:"summary"`   // where it stands, and why; a sentence without its subject
	Exit    string   `json:"exit"`      // what the reason of the last exit says, and where to look; empty before the first
	Next    string   `json:"next"`      // what happens by itself, and when
	Change  []string `json:"to_change"` // what would change that, and how
	Attempt int      `json:"attempt"`   // the number of the restart under way, or of the next one, since the instance was last stable; 0: none
}

// KeptProbes is how many probes of an instance are kept.
const KeptProbes = 3
