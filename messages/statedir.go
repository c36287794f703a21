package messages

import "path/filepath"

// StateDir is the directory in which a manager keeps what must outlive it. The methods name its files; none of them
// touches the file system.
type StateDir string

const instances = "instances"

// Lock is held by the one manager that uses the directory.
func (d StateDir) Lock() string { return filepath.Join(string(d), "lock") }

// Socket is where the manager answers, unless it was told another place.
func (d StateDir) Socket() string { return filepath.Join(string(d), "procman.sock") }

// Events is the bounded log of what the manager did.
func (d StateDir) Events() string { return filepath.Join(string(d), "events.jsonl") }

// LastGood is the configuration that came into force last, with all that it was read from. It holds secrets.
func (d StateDir) LastGood() string { return filepath.Join(string(d), "last-good.json") }

// Traces is by what secrets are found in old output, without being there; see [Trace].
func (d StateDir) Traces() string { return filepath.Join(string(d), "traces.json") }

// Deadline says by when the fenced runs of a fleet's host must have ended.
func (d StateDir) Deadline() string { return filepath.Join(string(d), "deadline") }

// LeashLock is held by the one leash of the directory.
func (d StateDir) LeashLock() string { return filepath.Join(string(d), "leash.lock") }

// StartLock is held by who starts something fenced, until it is on record.
func (d StateDir) StartLock() string { return filepath.Join(string(d), "start.lock") }

// LeashLog is what the leash says.
func (d StateDir) LeashLog() string { return filepath.Join(string(d), "leash.log") }

// Instances holds one directory for each instance.
func (d StateDir) Instances() string { return filepath.Join(string(d), instances) }

// Instance is the directory of one instance.
func (d StateDir) Instance(id InstanceID) string {
	return filepath.Join(string(d), instances, string(id))
}

// of is a file in the directory of one instance: one join, since paths are made often.
func (d StateDir) of(id InstanceID, file string) string {
	return filepath.Join(string(d), instances, string(id), file)
}

// Stdout is where an instance's standard output goes.
func (d StateDir) Stdout(id InstanceID) string { return d.of(id, "stdout.log") }

// Stderr is where an instance's standard error goes.
func (d StateDir) Stderr(id InstanceID) string { return d.of(id, "stderr.log") }

// OutputPlace is how far an instance's output has been forwarded.
func (d StateDir) OutputPlace(id InstanceID) string { return d.of(id, "output.json") }

// Run is the record of an instance's newest process.
func (d StateDir) Run(id InstanceID) string { return d.of(id, "run.json") }

// Memory is what the root remembers of an instance.
func (d StateDir) Memory(id InstanceID) string { return d.of(id, "memory.json") }

// Fence marks an instance whose processes the leash ends at the deadline.
func (d StateDir) Fence(id InstanceID) string { return d.of(id, "fence.json") }

// Assigned is what a fleet has assigned to this host of the instance.
func (d StateDir) Assigned(id InstanceID) string { return d.of(id, "assigned.json") }

// Ending is what the leash did last to a run of an instance.
func (d StateDir) Ending(id InstanceID) string { return d.of(id, "leash.json") }

// InstanceLock is held by every process of an instance for as long as it lives.
func (d StateDir) InstanceLock(id InstanceID) string { return d.of(id, "lock") }
