package messages

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"
)

// Cursor is a place in the event log. Cursors grow, also from one manager to the next; 0 is before every event.
type Cursor uint64

// EventType names what an [Event] is about, in the words of the log.
type EventType string

// The types of events.
const (
	ManagerStarted     EventType = "manager started"
	ManagerStopped     EventType = "manager stopped"
	ConfigApplied      EventType = "config applied"
	ConfigRejected     EventType = "config rejected"
	RemovalWaits       EventType = "removal waits" // instances have left a list that may not be whole
	OperatorActed      EventType = "operator"      // Command says how
	InstanceStarted    EventType = "instance started"
	InstanceReady      EventType = "instance ready"
	InstanceAdopted    EventType = "instance adopted"
	InstanceStopping   EventType = "instance stopping"
	InstanceStopped    EventType = "instance stopped"
	InstanceExited     EventType = "instance exited"
	InstanceUnhealthy  EventType = "instance unhealthy"
	InstanceRestarting EventType = "instance restarting"
	StartFailed        EventType = "start failed"
	PortConflict       EventType = "port conflict"
	PortChanged        EventType = "port changed"      // OldPort says from what, Why for what cause
	StateUnsaved       EventType = "state not saved"   // what a later manager must know is not on disk
	StateSaved         EventType = "state saved again" // and now it is
	OutputMoved        EventType = "output moved"      // somebody moved or removed a file that the process writes to
	OutputRemoved      EventType = "output removed"    // what an instance left that is known no more
	FleetChanged       EventType = "fleet standing"    // of this host; Why says which and why
	FleetClaimed       EventType = "fleet claimed"     // an instance is this host's from now on
	FleetReleased      EventType = "fleet released"    // and now any other's
	EventsLost         EventType = "events lost"       // in place of events that are no longer there
)

// EventTypes lists every type of event.
func EventTypes() []EventType {
	return []EventType{ManagerStarted, ManagerStopped, ConfigApplied, ConfigRejected, RemovalWaits, OperatorActed,
		InstanceStarted, InstanceReady,
		InstanceAdopted, InstanceStopping, InstanceStopped, InstanceExited, InstanceUnhealthy, InstanceRestarting,
		StartFailed,
		PortConflict, PortChanged, StateUnsaved, StateSaved, OutputMoved, OutputRemoved, FleetChanged, FleetClaimed,
		FleetReleased, EventsLost}
}

// Who causes events, beside operators, who are named by what their way of speaking knows of them: "uid 1000".
const (
	ByManager       = "procman"       // by its own rules
	ByConfiguration = "configuration" // the desired list has changed
	ByHost          = "host program"  // the program that embeds the supervisor
)

// Event is something worth knowing that happened: who did what, why, when. The log, the event log and every observer
// are told one and the same, after it is done.
type Event struct {
	Cursor  Cursor        `json:"cursor"` // 0 until it is in the event log
	At      time.Time     `json:"at"`
	What    EventType     `json:"event"`
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
	Delay   time.Duration `json:"-"` // of a restart; delay_seconds in JSON
	// of a restart: its number since the instance was last stable, see Status.ConsecutiveFailures
	Attempt int         `json:"attempt,omitempty"`
	Details []slog.Attr `json:"-"` // what the log says in place of Why; nil: it says Why
}

// Level is how much the event matters to whoever reads the log.
func (e Event) Level() slog.Level {
	switch {
	case e.What == ConfigRejected, e.What == StateUnsaved:
		return slog.LevelError
	case e.Bad:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// Log writes the event as a record whose message is its type.
func (e Event) Log(to *slog.Logger) {
	to.LogAttrs(context.Background(), e.Level(), string(e.What), e.attrs()...)
}

func (e Event) attrs() []slog.Attr {
	attrs := make([]slog.Attr, 0, 12)
	text := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	number := func(key string, value int) {
		if value != 0 {
			attrs = append(attrs, slog.Int(key, value))
		}
	}
	text("instance", string(e.ID))
	number("run", e.Run)
	number("pid", e.PID)
	number("port", e.Port)
	number("old_port", e.OldPort)
	text("command", e.Command)
	if e.Details == nil {
		text("detail", e.Why)
	}
	attrs = append(attrs, e.Details...)
	if e.By != ByManager {
		text("by", e.By)
	}
	if x := e.Exit; x != nil {
		attrs = append(attrs, slog.Int("code", x.Code), slog.String("signal", x.Signal), slog.Bool("known", x.Known),
			slog.String("reason", string(x.Reason)))
	}
	if e.What == InstanceRestarting {
		attrs = append(attrs, slog.Duration("delay", e.Delay), slog.Int("attempt", e.Attempt))
	}
	return attrs
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

// Reconciled says that a desired list has been compared with what runs, and all that follows from it was begun.
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
	HeldBy  string       // of a hold: who
	HeldAt  time.Time    // and when
	// it has left a list that may not be whole, and runs on: why that is in doubt; empty: it has not
	Leaving string
	Verdict Verdict // all of it in words
}

// Verdict is what there is to say of an instance, in words.
type Verdict struct {
	Summary string `json:"summary"` // where it stands, and why; a sentence without its subject
	// what the reason of the last exit says, and where to look; empty before the first
	Exit   string   `json:"exit"`
	Next   string   `json:"next"`      // what happens by itself, and when
	Change []string `json:"to_change"` // what would change that, and how
	// the number of the restart under way, or of the next one, since the instance was last stable; 0: none
	Attempt int `json:"attempt"`
}

// KeptProbes is how many probes of an instance are kept.
const KeptProbes = 3
