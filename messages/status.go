package messages

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Phase is where an instance stands, as the root sees it.
type Phase string

// The phases.
const (
	Stopped  Phase = "stopped"  // no process, and none is due
	Starting Phase = "starting" // being started or found again, not healthy yet
	Running  Phase = "running"  // has answered healthy since it was started
	Stopping Phase = "stopping" // told to end
	Backoff  Phase = "backoff"  // ended or failed to start; the next start is due later
	Failed   Phase = "failed"   // ended, and its restart policy gives no further start
)

// Phases lists every phase, in the order of an instance's life.
func Phases() []Phase { return []Phase{Stopped, Starting, Running, Stopping, Backoff, Failed} }

// Health is what the probes of an instance say of it.
type Health string

// The healths.
const (
	HealthUnknown Health = "unknown"
	Healthy       Health = "healthy"
	NotHealthy    Health = "unhealthy"
)

// ExitReason says why a run ended, as far as the manager is concerned.
type ExitReason string

// The exit reasons.
const (
	ReasonExit         ExitReason = "exit"          // ended by itself, with a code
	ReasonSignal       ExitReason = "signal"        // killed by a signal that the manager did not send
	ReasonUnhealthy    ExitReason = "unhealthy"     // stopped because its health checks failed
	ReasonStopped      ExitReason = "stopped"       // stopped because it is not wanted, or for an operator
	ReasonChanged      ExitReason = "changed"       // stopped because what should run has changed
	ReasonStartFailed  ExitReason = "start_failed"  // there never was a process
	ReasonPortConflict ExitReason = "port_conflict" // somebody else took the port first
	ReasonUnknown      ExitReason = "unknown"       // ended while nobody watched
)

// Exit is how a run ended.
type Exit struct {
	Code   int        `json:"code"`   // the exit code; -1 if there is none or it is not known
	Signal string     `json:"signal"` // KILL, SEGV, …: the signal that ended the process, if one did
	Known  bool       `json:"known"`  // whether Code and Signal were read from the kernel; false: nobody could
	At     time.Time  `json:"at"`
	Reason ExitReason `json:"reason"`
}

// Unasked is why a run ended if nobody asked it to.
func (e Exit) Unasked() ExitReason {
	switch {
	case !e.Known:
		return ReasonUnknown
	case e.Signal != "":
		return ReasonSignal
	}
	return ReasonExit
}

func (e Exit) String() string {
	switch {
	case e.Reason == ReasonStartFailed:
		return "failed to start"
	case !e.Known:
		return "ended, exit status unknown"
	case e.Signal != "":
		return "killed by " + e.Signal
	default:
		return fmt.Sprintf("exited with code %d", e.Code)
	}
}

// Probe is the outcome of one health check.
type Probe struct {
	OK      bool
	Status  int           // the HTTP status, 0 if no response came
	Latency time.Duration // from the first byte sent to the verdict
	Error   string        // why it is not OK; empty if it is
	Body    string        // the first bytes of the response
	At      time.Time     // when the probe began
	// Conflict: the port answers, but the listener is not the instance.
	Conflict bool
	// Void: for a reason of the manager's own nothing was asked, so that this says nothing of the instance.
	Void bool
}

type probeJSON struct {
	OK             bool      `json:"ok"`
	Status         int       `json:"status"`
	LatencySeconds float64   `json:"latency_seconds"`
	Error          string    `json:"error"`
	At             time.Time `json:"at"`
}

// MarshalJSON gives the latency in seconds and leaves the body out.
func (p Probe) MarshalJSON() ([]byte, error) {
	return json.Marshal(probeJSON{p.OK, p.Status, p.Latency.Seconds(), p.Error, p.At})
}

// UnmarshalJSON reads what [Probe.MarshalJSON] wrote.
func (p *Probe) UnmarshalJSON(data []byte) error {
	var j probeJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	*p = Probe{OK: j.OK, Status: j.Status, Latency: time.Duration(j.LatencySeconds * float64(time.Second)),
		Error: j.Error, At: j.At}
	return nil
}

// Status is what is known of one instance at one moment.
type Status struct {
	ID     InstanceID `json:"id"`
	Phase  Phase      `json:"phase"`
	Health Health     `json:"health"`
	Reason string     `json:"reason"` // why it is in this phase, for a person; empty where the phase says it all
	// PID and Port are 0 while there is no process.
	PID     int  `json:"pid"`
	Port    int  `json:"port"`
	Run     int  `json:"run"`     // counts the processes of this instance, the first is 1
	Adopted bool `json:"adopted"` // the process was started by an earlier manager
	Held    bool `json:"held"`    // an operator stopped it; it stays down until an operator starts it
	// Disabled: the list says that it is not to run.
	Disabled bool `json:"disabled"`
	// Unsaved is a sentence, without its subject, if what a later manager must know of it (counters, a delay, a hold)
	// is not on disk, with the reason; empty: it is.
	Unsaved string `json:"unsaved"`
	// Outdated are the files of the instance that have changed since its process was started: executable, wasm. It is
	// known to who asks the API, for to find it out takes a look at them.
	Outdated WordList `json:"outdated"`

	Restarts            int        `json:"restarts"`             // every start after the first
	ConsecutiveFailures int        `json:"consecutive_failures"` // runs that failed since the instance was last stable
	StartedAt           *time.Time `json:"started_at"`
	HealthySince        *time.Time `json:"healthy_since"`
	NextStartAt         *time.Time `json:"next_start_at"`
	LastExit            *Exit      `json:"last_exit"`
	LastProbe           *Probe     `json:"last_probe"`

	Use *Use `json:"use,omitempty"` // if it is asked for, and there is a process that shows it

	WasmPath string            `json:"wasm_path"`
	DbName   string            `json:"db_name"`
	Labels   map[string]string `json:"labels"`

	Placement *Placement `json:"placement,omitempty"` // nil: nothing is said of it
}

// Well reports whether an instance is as it should be: it runs, and its last probe said that it is healthy.
func (s *Status) Well() bool { return s.Phase == Running && s.Health == Healthy }

// LeftAlone begins what the reason of a stopped instance says of what lives all the same: a process that may be its own
// and that nobody has signalled, or one that stop.leftovers leaves.
const LeftAlone = "a process is left alone: "

// ByLeftovers ends what it says of those that a policy leaves.
const ByLeftovers = ", as stop.leftovers says"

// Left returns what is left alone of a stopped instance, with the reason; empty if nothing is, as far as is known.
func (s Status) Left() string {
	_, left, _ := strings.Cut(s.Reason, LeftAlone)
	return left
}

// Target is what a health check is aimed at.
type Target struct {
	ID     InstanceID
	PID    int    // the first process of the run that must own the listener; 0: do not ask
	Tag    string // of that run; empty: not known
	Port   int
	Policy HealthPolicy // how it is asked; a field that is zero has its default
	App    *AppInstance // whose environment and directory its command gets; nil: it has none. It is not changed.
	Proved bool         // that the listener is the run's own was proved by an earlier probe, which is relied upon
	Steady bool         // it was well the last time

	Grouped bool // the run has a cgroup of its own: whoever is in it belongs to the run
}

// Transition is a change of an instance, as observers are told of it. From and To are equal when something worth
// knowing happened within a phase.
type Transition struct {
	ID       InstanceID
	From, To Phase
	Event    string // the name of what happened: Want, Launched, Ready, Exited, …
	Status   Status // after the change
}

// Use is what the process of an instance, with its threads, uses of the host.
type Use struct {
	CPU    float64 `json:"cpu_seconds"`  // user and system time since its start
	Memory int64   `json:"memory_bytes"` // resident
}
