package config

import (
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"time"

	"procman/messages"
)

// File is a configuration, its defaults filled in. It is not to be changed: instances that say the same share it.
type File struct {
	Path       string // absolute
	Executable string // absolute, or a name to be looked up in PATH
	StateDir   messages.StateDir
	Socket     string // absolute
	OnShutdown OnShutdown
	Ports      Ports
	Start      Start
	Health     messages.HealthPolicy
	Restart    messages.RestartPolicy
	Stop       messages.StopPolicy
	Output     Output
	Log        Log
	Metrics    Metrics
	API        API
	Fleet      *Fleet // nil: the host is in none
	Hooks      []Hook
	// Instances are complete and valid: the policies above are merged with the defaults and each instance's own, key by
	// key. Those of Path come first, then those of each fragment. The list may be replaced but is not changed: a
	// provider that is given the configuration knows by it what it need not read again.
	Instances []*messages.AppInstance
	Includes  []string // absolute; the fragments, in the order in which they were read
	EnvFiles  []string // absolute; the other files that were read beside Path, env files and the token file, each once

	known memory // what need not be read again
}

// Settings returns the configuration without its instances, for who keeps it for long.
func (f *File) Settings() *File {
	s := *f
	s.Instances, s.known = nil, nil
	return &s
}

// OnShutdown says what becomes of the children when the daemon is told to end.
type OnShutdown string

// The ways to shut down.
const (
	ShutdownStop  OnShutdown = "stop"
	ShutdownLeave OnShutdown = "leave" // they keep running; the next daemon adopts them
)

// Ports is the range instances get their ports from, both ends included.
type Ports struct {
	First, Last int
	Hold        bool // keep a leased port bound while the instance uses it
}

// Start says how instances are started.
type Start struct {
	Deadline time.Duration // see messages.StartPolicy
	Parallel int           // so many at a time; 0: chosen from the cores
}

// Output says what is kept of the output of instances.
type Output struct {
	Keep    time.Duration // of what an instance left that is listed no more
	MaxSize int64         // bytes, per instance and stream
	Total   int64         // bytes, of all instances; 0: no limit
	Forward bool          // into the daemon's structured log
}

// Log says how the daemon logs.
type Log struct {
	Level  slog.Level
	Format LogFormat
}

// LogFormat is the form of the daemon's log records.
type LogFormat string

// The log formats.
const (
	LogJSON LogFormat = "json"
	LogText LogFormat = "text"
)

// Metrics says where metrics are served beside the socket.
type Metrics struct {
	Listen string // host:port; empty: nowhere else
	Socket string // absolute; empty: no socket of their own
	Group  string // a name or a number: whoever is in it may read at Socket; empty: the daemon's user only
}

// RestartNeeded returns the keys that differ between two configurations and take effect only in a new daemon. Every
// other key is applied to the running one: ports from the next lease on, the rest at once.
func RestartNeeded(old, new *File) []string { return everyKey().restartNeeded(old, new) }

func (t *tables) restartNeeded(old, new *File) (keys []string) {
	was, is := &level{file: old}, &level{file: new}
	each(t.file, func(k key, name string) {
		if k.Effect == messages.NewDaemon &&
			(!reflect.DeepEqual(k.at(was), k.at(is)) || k.content != nil && k.content(old) != k.content(new)) {
			keys = append(keys, name)
		}
	})
	if (old.Fleet == nil) != (new.Fleet == nil) {
		keys = slices.DeleteFunc(keys, func(name string) bool { return strings.HasPrefix(name, "fleet.") })
		keys = append(keys, "fleet")
	}
	return keys
}
