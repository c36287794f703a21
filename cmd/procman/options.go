package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"procman/supervisor/config"
	"procman/supervisor/explain"
)

// options are what a command line says of the daemon that it means, or is.
type options struct {
	stdout, stderr io.Writer
	env            func(string) string // looks a variable up
	config, socket string              // as they are named; empty: they are looked for
	verbose, quiet bool
	touches        *touches

	ears     ears // that are open already; nil: none
	standsIn bool // it is a guard that goes on in the place of a daemon
}

// hearEarly hears signals from now on, if this program takes over from a daemon: what that is told counts from the first instant
// on.
func (o *options) hearEarly() {
	if o.env(lockVariable) != "" {
		o.ears = newSignals()
		o.ears.open()
	}
}

const brokenConfiguration = "the configuration is broken:\n"

// load finds the configuration and reads it.
func (o *options) load() (path string, file *config.File, err error) {
	defer o.touchConfig()()
	if path, err = config.Find(o.config); err != nil {
		return "", nil, err
	}
	if file, err = config.LoadFor(path, config.DaemonHost()); err != nil {
		return path, nil, fmt.Errorf(brokenConfiguration+"%w", err)
	}
	return path, file, nil
}

// named is the configuration that the caller names; empty: it is looked for.
func (o *options) named() string {
	if o.config != "" {
		return o.config
	}
	return o.env("PROCMAN_CONFIG")
}

// touchConfig notes that the configuration is being read, unless it is one that may take any time.
func (o *options) touchConfig() (done func()) {
	path := o.named()
	if passing(path) {
		return func() {}
	}
	return o.touches.begin(strings.TrimSpace("the configuration " + path))
}

// passing reports whether a configuration is a stream of the caller's, as <(...) makes one: it can be read once only.
func passing(path string) bool {
	return strings.HasPrefix(path, "/dev/") || strings.HasPrefix(path, "/proc/")
}

// loadOrLastGood loads the configuration for a daemon. If it is broken or missing, and the one that was in force before is
// kept, that one is returned with why.
func (o *options) loadOrLastGood() (path string, file *config.File, instead, err error) {
	path, file, err = o.load()
	if err == nil {
		done := o.touches.begin("the state directory " + string(file.StateDir))
		good, at := undecided(path, file.StateDir)
		if done(); good != nil {
			return path, good, &insteadError{errUndecided, at}, nil
		}
		return path, file, nil, nil
	}
	candidates := []string{path}
	if path == "" {
		candidates = config.Places(o.config, o.env)
	}
	for _, candidate := range candidates {
		done := o.touches.begin("a state directory that may have the last good one of " + candidate)
		good, at, keptErr := findLastGood(candidate, o.env)
		if done(); good != nil {
			return good.Path, good, &insteadError{err, at}, nil
		}
		err = errors.Join(err, keptErr)
	}
	return "", nil, nil, err
}

// defaultFile is a configuration that says nothing.
func defaultFile() (*config.File, error) {
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
func (o *options) flags(file *config.File) (flags []string) {
	if o.socket != "" {
		flags = append(flags, "--socket="+file.Socket)
	}
	if o.verbose {
		flags = append(flags, "--verbose")
	}
	if o.quiet {
		flags = append(flags, "--quiet")
	}
	return flags
}

// terms are the words of whoever uses the command line.
func terms() explain.Terms {
	return explain.Terms{Start: "procman start", Stop: "procman stop", Restart: "procman restart", Reload: "procman reload",
		List: "the configuration", Next: "the file", Watched: "the file is watched"}
}
