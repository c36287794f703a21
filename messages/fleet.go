package messages

import (
	"encoding/json"
	"time"
)

// FleetStanding is how a host stands with its fleet, as far as it knows.
type FleetStanding struct {
	Fleet string `json:"fleet"`
	Host  string `json:"host"`
	// Phase is out, joining, in, suspect, yielding, fenced, leaving or gone; new before it is known.
	Phase       string `json:"phase"`
	Why         string `json:"reason"` // what keeps it out, or will; empty: nothing
	Incarnation string `json:"incarnation"`
	// Deadline is how much is left of the time in which what is fenced may run here; 0: no lease, or none left.
	Deadline  time.Duration `json:"-"`
	Suspect   bool          `json:"suspect"`   // the store has not answered for a while
	Assigned  int           `json:"assigned"`  // instances that are this host's
	Fenced    int           `json:"fenced"`    // of these, those that end with the lease
	Takeovers uint64        `json:"takeovers"` // from hosts that were lost, since this daemon began
	Leash     bool          `json:"leash"`     // one lives
	Revision  int64         `json:"revision"`  // of the store, up to which all is known here
}

// FleetHost is a host of a fleet.
type FleetHost struct {
	Name string `json:"name"`
	// its key is there; else it is named by what waits for it, or is drained
	Live        bool              `json:"live"`
	Draining    bool              `json:"draining"`
	Incarnation string            `json:"incarnation"`
	Capacity    int               `json:"capacity"` // 0: no limit
	Assigned    int               `json:"assigned"`
	Labels      map[string]string `json:"labels"`
	API         string            `json:"api"` // where its API answers others; empty: nowhere
	Joined      time.Time         `json:"joined_at"`
	Version     string            `json:"version"`
}

// FleetInstance is an instance of a fleet's list, or one that is still assigned though it has left that.
type FleetInstance struct {
	ID      InstanceID        `json:"id"`
	Movable bool              `json:"movable"`
	Fence   string            `json:"fence"` // leash or none; empty: it does not move
	Hosts   map[string]string `json:"hosts"` // labels that its host must have
	// State is how it stands: assigned, held, leaves, waits, unheard, turn, settling, no member, no match, no room,
	// draining or unknown.
	State string `json:"state"`
	Host  string `json:"host"`  // where it runs, or for whom it waits; empty: neither
	Epoch int64  `json:"epoch"` // of the assignment; 0: none
	Why   string `json:"reason"`
	// Spec is the description as it was applied, in the keys of the configuration.
	Spec json.RawMessage `json:"spec,omitempty"`
}

// FleetChange is what an apply or a delete did to one instance.
type FleetChange struct {
	ID InstanceID `json:"id"`
	Do string     `json:"do"` // add, change, delete; same: nothing was to be done
}

// ErrInvalidList is the answer to a list of which something is wrong. Nothing was changed.
type ErrInvalidList struct{ Err error }

func (e ErrInvalidList) Error() string { return e.Err.Error() }
func (e ErrInvalidList) Unwrap() error { return e.Err }
