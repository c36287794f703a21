package plan

import (
	"maps"
	"slices"
	"strings"
	"time"

	"procman/messages"
)

// App is an entry of the desired list with the hashes of what it runs and of its restart policy. It is never changed
// once made, so that two equal pointers are two equal apps.
type App struct {
	*messages.AppInstance
	Spec string
	Rule string // see messages.RestartPolicy.Hash
}

// NewApp completes a with its defaults and validates it.
func NewApp(a messages.AppInstance) (*App, error) {
	a = a.WithDefaults()
	return hashed(&a)
}

// AppOf is NewApp of one that is never changed: if it is complete, it is not copied.
func AppOf(a *messages.AppInstance) (*App, error) {
	whole := a.WithDefaults()
	if whole.Same(a) {
		return hashed(a)
	}
	return hashed(&whole)
}

// hashed validates a, and hashes it.
func hashed(a *messages.AppInstance) (*App, error) {
	if err := a.Validate(); err != nil {
		return nil, err
	}
	return &App{AppInstance: a, Spec: a.SpecHash(), Rule: a.Restart.Hash()}, nil
}

// wishes reports whether an edit that makes b of a is a wish to see an instance run that has ended or waits for its
// next start: one of what runs, or of when it is started again. Whoever edits a label wants no job to run a second
// time.
func (a *App) wishes(b *App) bool { return a.Spec != b.Spec || a.Rule != b.Rule }

// Equal reports whether a and b say the same. It hashes nothing: a list of thousands is compared in the root's mailbox.
func (a *App) Equal(b *App) bool {
	return a == b || a.Spec == b.Spec && a.SamePolicy(*b.AppInstance) && a.Disabled == b.Disabled &&
		a.EnvFault == b.EnvFault &&
		slices.Equal(a.Secrets, b.Secrets) && maps.Equal(a.Labels, b.Labels) && a.Placement.Same(b.Placement)
}

// As returns the app as one whose specification is that one.
func (a *App) As(spec string) *App {
	b := *a
	b.Spec = spec
	return &b
}

// Instance is all that the root knows of one instance. The zero value but for its ID and Phase Stopped is an instance
// nothing is known of.
type Instance struct {
	ID     messages.InstanceID
	Want   *App // what should run; nil: nothing
	Phase  messages.Phase
	Reason string // for a person: why it is in this phase

	// The run that exists, is being launched or was the last.
	Run       int
	Adoptions int    // how often an actor took over this run
	Have      *App   // what it was launched with, its policy kept up to date; nil if that is not known
	Spec      string // the hash of what it runs
	Rule      string // the hash of the restart policy by which it was last wanted; empty: not known
	PID       int    // 0: no process
	Port      int
	StartedAt time.Time
	Adopted   bool
	Orphan    bool // in Backoff: the process of Run may live, though no actor has it
	counted   bool // Run is among Starts
	restored  bool // from memory: the first Want confirms what was remembered

	Health       messages.Health
	HealthySince time.Time // zero: Run was not healthy yet
	HealthyUntil time.Time // zero: it still is
	LastProbe    *messages.Probe

	left      messages.StopPolicy // how Run is ended, from memory; zero: not known
	StopAs    messages.ExitReason // in Stopping: why
	Lingering string              // in Stopping, for a person: what has not ended; empty: nothing is known of that
	FirstExit *messages.Exit      // in Stopping: how its first process ended; nil: it lives, as far as is known
	KillAt    time.Time           // in Stopping: when the grace period ends

	Starts    int // runs that had a process
	Attempts  int // failures since the instance was last stable
	Conflicts int // port conflicts in a row
	Losses    int // actors lost in a row
	DueAt     time.Time
	LastExit  *messages.Exit

	Waits messages.StartFault // in Starting: what the host keeps the run from; empty: nothing
	Doubt string              // what lives and may be the instance's, though it is not taken for it; empty: nothing
	Left  string              // who was left, by policy, when its newest run ended; empty: nobody

	pending *failure // an end to be judged as soon as it is known what is wanted
}

// New returns an instance nothing is known of yet.
func New(id messages.InstanceID) Instance {
	return Instance{ID: id, Phase: messages.Stopped, Health: messages.HealthUnknown}
}

// Restarts is the number of starts after the first.
func (i Instance) Restarts() int { return max(0, i.Starts-1) }

// Live reports whether a process of the instance exists or may come to exist without a further Launch.
func (i Instance) Live() bool {
	switch i.Phase {
	case messages.Starting, messages.Running, messages.Stopping:
		return true
	}
	return i.Orphan
}

// Memory returns what has to survive the death of the root. Two instances with the same memory need no second writing.
func (i Instance) Memory(held bool) messages.Memory {
	reason := i.Reason
	if i.Waits != "" || i.Doubt != "" {
		reason = "" // that of a shortage changes often, and a later manager finds out for itself
	}
	phase := i.Phase
	if phase == messages.Starting && i.Adopted && !i.HealthySince.IsZero() {
		// as it was remembered: that it is found again changes nothing that a later manager has to know
		phase = messages.Running
	}
	return messages.Memory{
		ID: i.ID, Run: i.Run, Exited: !i.Live(), Spec: i.Spec, Rule: i.Rule, Starts: i.Starts, Counted: i.counted,
		Attempts: i.Attempts,
		Phase:    phase, Reason: reason, DueAt: i.DueAt, HealthySince: i.HealthySince,
		Stop: i.Ending(), StopAs: i.StopAs, KillAt: i.KillAt, Held: held, LastExit: i.LastExit,
	}
}

// Status returns what is told to the world.
func (i *Instance) Status() messages.Status {
	var s messages.Status
	i.Facts(&s)
	s.Reason = i.Because()
	return s
}

// Because returns why the instance is in its phase, for a person.
func (i *Instance) Because() string {
	because := i.Reason
	if i.Lingering != "" {
		because = strings.TrimPrefix(i.Reason+"; "+i.Lingering, "; ")
	}
	if i.Left != "" && i.Phase == messages.Stopped {
		because = strings.TrimPrefix(i.Reason+"; "+i.Left, "; ")
	}
	return because
}

// Facts puts the status into s, without its reason. What that points to is of i, which is not changed any more: nothing
// is made.
func (i *Instance) Facts(s *messages.Status) {
	*s = messages.Status{
		ID: i.ID, Phase: i.Phase, Health: i.Health,
		PID: i.PID, Port: i.Port, Run: i.Run, Adopted: i.Adopted,
		Restarts: i.Restarts(), ConsecutiveFailures: i.Attempts,
		HealthySince: moment(&i.HealthySince), NextStartAt: moment(&i.DueAt),
		LastExit: i.LastExit, LastProbe: i.LastProbe,
	}
	if i.PID != 0 {
		s.StartedAt = moment(&i.StartedAt)
	}
	if app := i.shown(); app != nil {
		s.WasmPath, s.DbName, s.Labels, s.Placement = app.WasmPath, app.DbName, app.Labels, app.Placement
	}
}

func (i *Instance) shown() *App {
	if i.Want != nil {
		return i.Want
	}
	return i.Have
}

func moment(t *time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return t
}
