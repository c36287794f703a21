package plan

import (
	"procman/messages"
)

// cell is what one event does in one phase.
type cell struct {
	name string
	do   func(*move, Event)
}

// row says what an event does, phase by phase.
type row map[messages.Phase]cell

var (
	ignore = cell{".", func(*move, Event) {}}
	bug    = cell{"!", func(m *move, e Event) { m.act(Bug{Event: e.name(), Phase: m.Phase}) }}
)

// table has a cell for every event in every phase. It is what the README shows; it is never changed.
var table = map[string]row{
	"Want": {
		messages.Stopped:  {"launch", wantIdle},
		messages.Starting: {"keep, or stop(changed)", wantLive},
		messages.Running:  {"keep, or stop(changed)", wantLive},
		messages.Stopping: {"remember", wantStopping},
		messages.Backoff:  {"launch", wantIdle},
		messages.Failed:   {"launch", wantIdle},
	},
	"Unwant": {
		messages.Stopped:  {"forget", forget},
		messages.Starting: {"stop(stopped)", unwantLive},
		messages.Running:  {"stop(stopped)", unwantLive},
		messages.Stopping: {"want nothing", unwantStopping},
		messages.Backoff:  {"forget (an orphan: adopt, stop)", forget},
		messages.Failed:   {"forget", forget},
	},
	"Survivor": {
		messages.Stopped:  {"restore: adopt, wait or stay", restore},
		messages.Starting: bug,
		messages.Running:  bug,
		messages.Stopping: bug,
		messages.Backoff:  bug,
		messages.Failed:   bug,
	},
	"Launched": {
		messages.Stopped:  bug,
		messages.Starting: {"note pid and port", launched},
		messages.Running:  bug,
		messages.Stopping: {"note pid and port", launched},
		messages.Backoff:  bug,
		messages.Failed:   bug,
	},
	"Refused": {
		messages.Stopped:  bug,
		messages.Starting: {"wait, and say for what", refused},
		messages.Running:  bug,
		messages.Stopping: ignore,
		messages.Backoff:  bug,
		messages.Failed:   bug,
	},
	"LaunchFailed": {
		messages.Stopped:  bug,
		messages.Starting: {"retry", launchFailed},
		messages.Running:  bug,
		messages.Stopping: {"finish", launchCancelled},
		messages.Backoff:  bug,
		messages.Failed:   bug,
	},
	"Ready": {
		messages.Stopped:  bug,
		messages.Starting: {"-> running", ready},
		messages.Running:  ignore,
		messages.Stopping: ignore,
		messages.Backoff:  bug,
		messages.Failed:   bug,
	},
	"Probed": {
		messages.Stopped:  bug,
		messages.Starting: {"note", probed},
		messages.Running:  {"note", probed},
		messages.Stopping: ignore,
		messages.Backoff:  bug,
		messages.Failed:   bug,
	},
	"Unhealthy": {
		messages.Stopped:  bug,
		messages.Starting: {"stop(unhealthy), or only tell", unhealthy},
		messages.Running:  {"stop(unhealthy), or only tell", unhealthy},
		messages.Stopping: ignore,
		messages.Backoff:  bug,
		messages.Failed:   bug,
	},
	"Lingers": {
		messages.Stopped:  bug,
		messages.Starting: {"stop(exit)", lingers},
		messages.Running:  {"stop(exit)", lingers},
		messages.Stopping: {"note who lives", lingersStopping},
		messages.Backoff:  bug,
		messages.Failed:   bug,
	},
	"Exited": {
		messages.Stopped:  bug,
		messages.Starting: {"retry", exited},
		messages.Running:  {"retry", exited},
		messages.Stopping: {"finish", exitedStopping},
		messages.Backoff:  bug,
		messages.Failed:   bug,
	},
	"Lost": {
		messages.Stopped:  bug,
		messages.Starting: {"orphan: adopt", lost},
		messages.Running:  {"orphan: adopt", lost},
		messages.Stopping: {"orphan: adopt, stop", lostStopping},
		messages.Backoff:  bug,
		messages.Failed:   bug,
	},
	"Due": {
		messages.Stopped:  ignore,
		messages.Starting: ignore,
		messages.Running:  {"forgive failures, if stable", dueRunning},
		messages.Stopping: ignore,
		messages.Backoff:  {"launch, if at the time armed", dueBackoff},
		messages.Failed:   ignore,
	},
	"Retry": {
		messages.Stopped:  {"launch, if wanted", retryNow},
		messages.Starting: {"go first, if it waits", retryWaiting},
		messages.Running:  ignore,
		messages.Stopping: {"launch at its end", hurry},
		messages.Backoff:  {"launch", retryNow},
		messages.Failed:   {"launch", retryNow},
	},
	"Restart": {
		messages.Stopped:  {"launch, if wanted", retryNow},
		messages.Starting: {"stop(stopped), launch at its end", restart},
		messages.Running:  {"stop(stopped), launch at its end", restart},
		messages.Stopping: {"launch at its end", hurry},
		messages.Backoff:  {"launch", retryNow},
		messages.Failed:   {"launch", retryNow},
	},
}

// Events lists the names of all events, in the order of the table as it is shown.
func Events() []string {
	return []string{"Want", "Unwant", "Survivor", "Launched", "Refused", "LaunchFailed", "Ready", "Probed", "Unhealthy",
		"Lingers", "Exited", "Lost", "Due", "Retry", "Restart"}
}

// Cell returns the name of what the event does in the phase; empty if there is no such cell.
func Cell(event string, phase messages.Phase) string { return table[event][phase].name }
