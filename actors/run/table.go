package run

// cell is what one event does in one phase.
type cell struct {
	name string
	do   func(*move, Event)
}

type row map[Phase]cell

var (
	ignore = cell{".", func(*move, Event) {}}
	bug    = cell{"!", func(m *move, e Event) { m.act(Bug{Event: e.name(), Phase: m.Phase}) }}
)

// table has a cell for every event in every phase. It is what the README shows; it is never changed.
var table = map[string]row{
	"Launched": {
		New: {"report, probe soon", launched}, Starting: bug, Running: bug, Stopping: bug, Killing: bug, Exited: bug,
	},
	"LaunchFailed": {
		New: {"report", launchFailed}, Starting: bug, Running: bug, Stopping: bug, Killing: bug, Exited: bug,
	},
	"ProbeDue": {
		New: bug, Starting: {"probe", probeDue}, Running: {"probe", probeDue}, Stopping: ignore, Killing: ignore,
		Exited: ignore,
	},
	"Probed": {
		New: bug,
		Starting: {"healthy: report ready, watch -> running; else probe again, after the deadline report unhealthy",
			probedStarting},
		Running: {"healthy: forget failures, watch; else count, probe again, at the threshold report unhealthy",
			probedRunning},
		Stopping: ignore, Killing: ignore, Exited: ignore,
	},
	"StopAsked": {
		New:      {"cancel, or stop.signal once launched", stopBeforeLaunch},
		Starting: {"stop.signal, CONT, arm grace", stop}, Running: {"stop.signal, CONT, arm grace", stop},
		Stopping: {"shorten grace", stopAgain}, Killing: ignore, Exited: ignore,
	},
	"GraceOver": {
		New: bug, Starting: bug, Running: bug, Stopping: {"KILL, arm again", graceOver},
		Killing: {"KILL again", graceOver}, Exited: ignore,
	},
	"ProcessExited": {
		New: bug, Starting: {"release, report; KILL first what outlives it", exitedAlone},
		Running:  {"release, report; KILL first what outlives it", exitedAlone},
		Stopping: {"release, report, once nobody outlives it", exitedAsked},
		Killing:  {"release, report, once nobody outlives it; KILL", exitedKilled}, Exited: bug,
	},
	"RestChanged": {
		New: bug, Starting: bug, Running: bug, Stopping: {"release, report, once nobody is left", restChanged},
		Killing: {"release, report, once nobody is left", restChanged}, Exited: ignore,
	},
	"PolicyChanged": {
		New: {"use", policyChanged}, Starting: {"use", policyChanged},
		Running:  {"use, watch at the new pace", policyChanged},
		Stopping: ignore, Killing: ignore, Exited: ignore,
	},
}

// Events lists the names of all events, in the order of the table as it is shown.
func Events() []string {
	return []string{"Launched", "LaunchFailed", "ProbeDue", "Probed", "StopAsked", "GraceOver", "ProcessExited",
		"RestChanged", "PolicyChanged"}
}

// Cell returns the name of what the event does in the phase; empty if there is no such cell.
func Cell(event string, phase Phase) string { return table[event][phase].name }
