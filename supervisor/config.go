package supervisor

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"procman/actors"
	"procman/messages"
	"procman/supervisor/explain"
	"procman/supervisor/plan"
)

// AppInstanceProvider knows which instances should run.
type AppInstanceProvider interface {
	// AppInstances returns the complete desired list. An error means "unknown", never "none": the last good list stays
	// in force.
	AppInstances(ctx context.Context) ([]messages.AppInstance, error)
}

// Sharer is a provider of instances that nobody changes any more.
type Sharer interface {
	AppInstanceProvider
	// Shared is asked in the place of AppInstances. The supervisor keeps the instances and not copies of them, and
	// knows one again that was in the list before.
	Shared(ctx context.Context) ([]*messages.AppInstance, error)
}

// Notifier is a provider that says when its list may have changed. One that does not is asked every Resync.
type Notifier interface {
	AppInstanceProvider
	Changes() <-chan struct{}
}

// Draft says how a list came about that nobody has confirmed.
type Draft = plan.Draft

// Drafter is a provider whose list may be seen while somebody is still at work on it. Instances that leave it are
// stopped only when it can be taken for whole, or when Reload confirms it; see plan.Removal.
type Drafter interface {
	AppInstanceProvider
	// Draft says how the list that AppInstances returned last came about since the last call of Settled.
	Draft() Draft
	// Settled says that that list is in force as it is.
	Settled()
}

// ProcessController starts, stops and queries instances.
type ProcessController interface {
	Start(ctx context.Context, id messages.InstanceID) error
	Stop(ctx context.Context, id messages.InstanceID) error
	Restart(ctx context.Context, id messages.InstanceID) error
	Signal(ctx context.Context, id messages.InstanceID, signal messages.SignalName) error
	Status(ctx context.Context) ([]messages.Status, error)
}

// HealthChecker performs health checks. One that is a BatchChecker, too, performs many at a time.
type HealthChecker = actors.HealthChecker

// BatchChecker performs many health checks at a time, with little for each.
type BatchChecker = actors.BatchChecker

// Memory keeps what the root must not forget when it dies. Its methods are called one at a time for an instance, and
// for a few instances at once. They may take as long as a disk does: no deed and no report waits for them.
type Memory interface {
	// Recall returns what is remembered of every instance, and what it could read even beside an error.
	Recall(ctx context.Context) ([]messages.Memory, error)
	// Remember replaces what is remembered of one instance. A change of Held is on disk when it returns.
	Remember(m messages.Memory) error
	// Expunge ends what is remembered of an instance that is no longer known.
	Expunge(id messages.InstanceID) error
}

// Config is what a Supervisor is made of. Provider, Spawner, Ports and Health are required.
type Config struct {
	Provider AppInstanceProvider
	Spawner  actors.Spawner
	Ports    actors.Ports
	Health   HealthChecker

	Cgroups actors.Cgroups     // nil: no run has a cgroup, and none can be bounded by resources
	Budget  actors.Budget      // nil: starts are not limited by what the manager needs itself
	Memory  Memory             // nil: the Spawner, if it is one; else nothing outlives the Supervisor
	Archive Archive            // nil: the Memory, if it is one; else the Spawner; else nothing is removed
	Outputs actors.Outputs     // nil: output is not forwarded
	System  *actor.ActorSystem // nil: one of its own
	Name    string             // of the root actor; default "procman"
	Logger  *slog.Logger       // nil: slog.Default()

	Observe []Observer // are told from the first on; see also Supervisor.Observe

	// Terms are the words of those who are told why and what next; see explain.Terms.
	Terms explain.Terms
	// Keep is how long is kept what an instance leaves that is known no more; asked at each look. nil, or 0: until
	// Prune.
	Keep func() time.Duration
	// StartParallel limits how many instances use the processor at once for their start; 0: chosen from the cores. One
	// whose start waits, and uses none, does not count; see package gate.
	StartParallel int
	// Resync is how often a provider that is no Notifier is asked; default 30s.
	Resync time.Duration
}

func (c Config) withDefaults() (Config, error) {
	if c.Provider == nil || c.Spawner == nil || c.Ports == nil || c.Health == nil {
		return c, errors.New("supervisor: Provider, Spawner, Ports and Health are required")
	}
	if c.Memory == nil {
		if m, ok := c.Spawner.(Memory); ok {
			c.Memory = m
		} else {
			c.Memory = forgetful{}
		}
	}
	if c.Archive == nil {
		for _, part := range []any{c.Memory, c.Spawner} {
			if a, ok := part.(Archive); ok && c.Archive == nil {
				c.Archive = a
			}
		}
	}
	if c.Keep == nil {
		c.Keep = func() time.Duration { return 0 }
	}
	if c.Name == "" {
		c.Name = "procman"
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Terms = c.Terms.WithDefaults()
	if c.StartParallel <= 0 {
		c.StartParallel = 4 * runtime.GOMAXPROCS(0)
	}
	if c.Resync <= 0 {
		c.Resync = 30 * time.Second
	}
	return c, nil
}

// forgetful is the memory of a supervisor whose processes nobody adopts.
type forgetful struct{}

func (forgetful) Recall(context.Context) ([]messages.Memory, error) { return nil, nil }
func (forgetful) Remember(messages.Memory) error                    { return nil }
func (forgetful) Expunge(messages.InstanceID) error                 { return nil }

// Static is a provider of a list that never changes.
type Static []messages.AppInstance

// AppInstances returns the list.
func (s Static) AppInstances(context.Context) ([]messages.AppInstance, error) { return s, nil }
