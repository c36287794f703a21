package api

import (
	"time"

	"procman/messages"
)

// Schema is the version of [Document]. Fields may be added to it; nothing in it changes its meaning.
const Schema = 1

// Document is what GET /v1/instances answers, and what `procman status -o json` prints.
type Document struct {
	Schema    int               `json:"schema"`
	Manager   Manager           `json:"manager"`
	Instances []messages.Status `json:"instances"` // sorted by id
}

// Manager is what there is to know of the daemon itself.
type Manager struct {
	PID       int               `json:"pid"`
	Version   string            `json:"version"`
	StartedAt time.Time         `json:"started_at"`
	StateDir  messages.StateDir `json:"state_dir"`
	Ready     bool              `json:"ready"` // every desired instance has been healthy once; filled in by the Server
	// Config is the configuration it runs by, and Program the file it executes; absolute. A daemon of an earlier
	// version does not say.
	Config  string `json:"config,omitempty"`
	Program string `json:"program,omitempty"`
	// ConfigError is why Config, as it is on disk, is not in force, but the last good one; empty: it is in force.
	ConfigError string `json:"config_error,omitempty"`
	// Waits is for what it waits that does not answer, as a disk may not: what it does not know by that, is not shown;
	// empty: for nothing.
	Waits string `json:"waits,omitempty"`
	// UpgradeFailed is why it goes on in the place of another program; empty: it has not had to.
	UpgradeFailed string `json:"upgrade_failed,omitempty"`
	// Fleet is how it stands with its fleet; filled in by the Server, absent if it is in none.
	Fleet *FleetReport `json:"fleet,omitempty"`
}

// Mode says what becomes of the instances when the daemon is told to end.
type Mode string

// The modes.
const (
	ModeStop  Mode = "stop"
	ModeLeave Mode = "leave" // they keep running; the next daemon adopts them
)

// Ending is what POST /v1/shutdown answers: who ends, and how.
type Ending struct {
	Manager Manager `json:"manager"`
	Mode    Mode    `json:"mode"`
}

// Upgrading is what POST /v1/upgrade answers: whose program is replaced, and by which.
type Upgrading struct {
	Manager Manager `json:"manager"`
	Program string  `json:"program,omitempty"` // the file that is executed, absolute and without links
}

// Reloaded is what POST /v1/reload answers.
type Reloaded struct {
	Instances int      `json:"instances"` // in the list that is in force by it
	Pending   []string `json:"pending"`   // changed keys that take effect in a new daemon only
}

// Pruning is what POST /v1/prune answers.
type Pruning struct {
	Instances []messages.Pruned `json:"instances"` // that are known no more, with what became of what they left
}

// Condition is what /healthz and /readyz answer when all is well.
type Condition struct {
	Status string `json:"status"`
}

// outputLine is a line of a response of output: a line of the instance, or, as the last one, what went wrong.
type outputLine struct {
	messages.OutputLine
	Error string `json:"error,omitempty"`
	Code  Code   `json:"code,omitempty"` // of the error
}
