package cli

import (
	"context"
	"errors"
	"fmt"

	"procman/actors/spawn"
	"procman/cmd/procman/daemon"
	"procman/messages"
	"procman/supervisor/api"
)

// The exit codes.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitNotHealthy  = 3 // an asked-for instance is not running or not healthy
	exitUnknown     = 4 // no such instance
	exitUnreachable = 5 // the daemon cannot be reached
	exitChanges     = 6 // plan found changes
	exitInUse       = 75
	exitTimeout     = 124
)

// exit is an error with an exit code of its own. Without an error there is nothing to say.
type exit struct {
	code int
	err  error
}

func (e exit) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e exit) Unwrap() error { return e.err }

// others reports whether the daemon that answers is another's.
func others(err error) bool {
	var no *api.Error
	return errors.As(err, &no) && no.Code == api.CodeOther
}

// idle reports whether the instance has no process.
func idle(err error) bool {
	var no *api.Error
	return errors.As(err, &no) && no.Code == api.CodeNotRunning
}

func usage(format string, args ...any) error { return exit{exitUsage, fmt.Errorf(format, args...)} }

// codeOf returns the exit code for what a command came to.
func codeOf(err error) int {
	var e exit
	var unknown messages.ErrUnknownInstance
	var elsewhere daemon.ElsewhereError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e.code
	case errors.As(err, &unknown):
		return exitUnknown
	case errors.Is(err, api.ErrUnreachable), others(err):
		return exitUnreachable
	case idle(err):
		return exitNotHealthy
	case errors.Is(err, spawn.ErrInUse), errors.As(err, &elsewhere):
		return exitInUse
	case errors.Is(err, context.DeadlineExceeded):
		return exitTimeout
	}
	return exitFailed
}
