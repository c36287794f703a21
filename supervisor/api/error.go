package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"procman/messages"
	"procman/supervisor"
)

// Code classifies an [Error] for programs.
type Code string

// The codes.
const (
	CodeUnknownInstance Code = "unknown_instance" // 404
	CodeNotFound        Code = "not_found"        // 404: no such path, or no such host
	CodeNoFleet         Code = "no_fleet"         // 404: the daemon's host is in none
	CodeMethod          Code = "method_not_allowed"
	CodeInvalid         Code = "invalid"             // 400: the request, or 422: the configuration
	CodeForbidden       Code = "forbidden"           // 403: another user, or one who may only read
	CodeConflict        Code = "conflict"            // 409: not as things stand
	CodeNotRunning      Code = "not_running"         // 409: it has no process
	CodeOther           Code = "other_configuration" // 409: the request is for a daemon that runs by another
	CodeBusy            Code = "busy"                // 503: too many streams at once
	CodeEnding          Code = "ending"              // 503: the daemon is on its way out
	CodeNotReady        Code = "not_ready"           // 503
	CodeTimeout         Code = "timeout"             // 504: the daemon did not decide in time
	CodeFailed          Code = "failed"              // 500
)

// Codes lists every code.
func Codes() []Code {
	return []Code{CodeUnknownInstance, CodeNotFound, CodeNoFleet, CodeMethod, CodeInvalid, CodeForbidden, CodeConflict,
		CodeNotRunning, CodeOther, CodeBusy, CodeEnding,
		CodeNotReady, CodeTimeout, CodeFailed}
}

// Error is an answer that says no.
type Error struct {
	Message string `json:"error"`
	Code    Code   `json:"code"`
	Status  int    `json:"-"` // of HTTP
}

func (e *Error) Error() string { return e.Message }

// ErrUnreachable says that no daemon answers.
var ErrUnreachable = errors.New("the daemon cannot be reached")

// refuse makes the error for a request that cannot be understood.
func refuse(format string, args ...any) *Error {
	return &Error{Message: fmt.Sprintf(format, args...), Code: CodeInvalid, Status: http.StatusBadRequest}
}

// answerTo makes the error for what a command or a query came to.
func answerTo(err error) *Error {
	var already *Error
	var unknown messages.ErrUnknownInstance
	var disabled messages.ErrDisabled
	var idle messages.ErrNotRunning
	var invalid messages.ErrInvalidList
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &already):
		return already
	case errors.As(err, &unknown):
		return &Error{err.Error(), CodeUnknownInstance, http.StatusNotFound}
	case errors.As(err, &disabled):
		return &Error{err.Error(), CodeConflict, http.StatusConflict}
	case errors.As(err, &idle):
		return &Error{err.Error(), CodeNotRunning, http.StatusConflict}
	case errors.As(err, &invalid):
		return &Error{err.Error(), CodeInvalid, http.StatusUnprocessableEntity}
	case errors.As(err, &tooLarge):
		return &Error{fmt.Sprintf("the body is larger than %d bytes", tooLarge.Limit), CodeInvalid,
			http.StatusRequestEntityTooLarge}
	case errors.Is(err, supervisor.ErrStopped):
		return &Error{err.Error(), CodeEnding, http.StatusServiceUnavailable}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &Error{"the daemon did not decide in time: " + err.Error(), CodeTimeout, http.StatusGatewayTimeout}
	default:
		return &Error{err.Error(), CodeFailed, http.StatusInternalServerError}
	}
}
