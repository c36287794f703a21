package daemon

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"procman/supervisor/config"
	"procman/supervisor/explain"
	"procman/supervisor/fleet/store"
)

// Options are what a command line says of the daemon that it means, or is.
type Options struct {
	Stdout, Stderr io.Writer
	Env            func(string) string // looks a variable up
	Config, Socket string              // as they are named; empty: they are looked for
	Verbose, Quiet bool
	PendingIO      *PendingIO
	FleetStore     FleetStore // nil: this program has no part in a fleet

	signals  signals // that are open already; nil: none
	standsIn bool    // it is a guard that goes on in the place of a daemon
}

// FleetStore opens what the hosts of a fleet share. It waits for nobody.
type FleetStore func(config.Fleet, *slog.Logger) (store.Store, error)

// HearEarly hears signals from now on, if this program takes over from a daemon: what that is told counts from the
// first instant on.
func (o *Options) HearEarly() {
	if o.Env(lockVariable) != "" {
		o.signals = newSignals()
		o.signals.open()
	}
}

const BrokenConfiguration = "the configuration is broken:\n"

// Load finds the configuration and reads it.
func (o *Options) Load() (path string, file *config.File, err error) {
	defer o.TouchConfig()()
	if path, err = config.Find(o.Config); err != nil {
		return "", nil, err
	}
	if file, err = config.LoadFor(path, config.DaemonHost()); err != nil {
		return path, nil, fmt.Errorf(BrokenConfiguration+"%w", err)
	}
	return path, file, nil
}

// Named is the configuration that the caller names; empty: it is looked for.
func (o *Options) Named() string {
	if o.Config != "" {
		return o.Config
	}
	return o.Env("PROCMAN_CONFIG")
}

// TouchConfig notes that the configuration is being read, unless it is one that may take any time.
func (o *Options) TouchConfig() (done func()) {
	path := o.Named()
	if IsStream(path) {
		return func() {}
	}
	return o.PendingIO.Begin(strings.TrimSpace("the configuration " + path))
}

// IsStream reports whether a configuration is a stream of the caller's, as <(...) makes one: it can be read once only.
// Its name tells: a look at a file may wait for a disk. What lies below /dev/shm is a file like any other.
func IsStream(path string) bool {
	return path == "/dev/stdin" || strings.HasPrefix(path, "/dev/fd/") || strings.HasPrefix(path, "/proc/")
}

// LoadOrLastGood loads the configuration for a daemon. If it is broken or missing, and the one that was in force before
// is kept, that one is returned with why.
func (o *Options) LoadOrLastGood() (path string, file *config.File, instead, err error) {
	path, file, err = o.Load()
	if err == nil {
		done := o.PendingIO.Begin("the state directory " + string(file.StateDir))
		good, at := undecided(path, file.StateDir)
		if done(); good != nil {
			return path, good, &InsteadError{ErrUndecided, at}, nil
		}
		return path, file, nil, nil
	}
	candidates := []string{path}
	if path == "" {
		candidates = config.Places(o.Config, o.Env)
	}
	for _, candidate := range candidates {
		done := o.PendingIO.Begin("a state directory that may have the last good one of " + candidate)
		good, at, keptErr := FindLastGood(candidate, o.Env)
		if done(); good != nil {
			return good.Path, good, &InsteadError{err, at}, nil
		}
		err = errors.Join(err, keptErr)
	}
	return "", nil, nil, err
}

// DefaultFile is a configuration that says nothing.
func DefaultFile() (*config.File, error) {
	file, err := config.Parse("procman.yaml", []byte("instances: []"), config.ThisHost())
	var wrong config.Errors
	if errors.As(err, &wrong) { // of no line that anybody has written
		err = errors.New(wrong[0].Message)
	}
	if err != nil {
		return nil, fmt.Errorf("where the daemon answers is not known (%w); use --socket or -c", err)
	}
	return file, nil
}

// flags are those that a successor gets, too.
func (o *Options) flags(file *config.File) (flags []string) {
	if o.Socket != "" {
		flags = append(flags, "--socket="+file.Socket)
	}
	if o.Verbose {
		flags = append(flags, "--verbose")
	}
	if o.Quiet {
		flags = append(flags, "--quiet")
	}
	return flags
}

// Terms are the words of whoever uses the command line.
func Terms() explain.Terms {
	return explain.Terms{Start: "procman start", Stop: "procman stop", Restart: "procman restart",
		Reload: "procman reload",
		List:   "the configuration", Next: "the file", Watched: "the file is watched"}
}
