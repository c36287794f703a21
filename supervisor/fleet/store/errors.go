package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// What may be wrong. An *Error wraps one of them.
var (
	// ErrUnavailable says that no answer came: the store cannot be reached, has no quorum, or was too slow. What was
	// asked for may have happened, or may happen yet.
	ErrUnavailable = errors.New("the store does not answer")
	// ErrLeaseLost says that there is no such lease any more. What was asked for did not happen.
	ErrLeaseLost = errors.New("the lease is lost")
	// ErrCompacted says that the store has forgotten what was asked for.
	ErrCompacted = errors.New("the store has forgotten that revision")
	// ErrRefused says that this user may not do that, or is none. It did not happen.
	ErrRefused = errors.New("the store refuses it")
	// ErrFull says that the store takes no more writes. It did not happen.
	ErrFull = errors.New("the store is full")
	// ErrTooOld says that a server is of a version that cannot be relied upon.
	ErrTooOld = errors.New("the server is too old")
	// ErrInvalid says that the request can never succeed as it is. It did not happen.
	ErrInvalid = errors.New("the request is not valid")
	// ErrClosed is the answer of a Store after Close.
	ErrClosed = errors.New("the store is closed")
)

// Error says what failed.
type Error struct {
	Op     string // "renew the lease"
	Key    string // empty: it is about no key
	Kind   error  // one of those above
	Cause  error  // nil: nothing more is known
	Advice string // what to do; empty: nothing that is sure to help
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "cannot %s", e.Op)
	if e.Key != "" {
		fmt.Fprintf(&b, " %q", e.Key)
	}
	fmt.Fprintf(&b, ": %v", e.Kind)
	if e.Cause != nil {
		fmt.Fprintf(&b, ": %v", e.Cause)
	}
	if e.Advice != "" {
		fmt.Fprintf(&b, "; %s", e.Advice)
	}
	return b.String()
}

func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Cause}
}

// Ended is the error of a call whose context has ended.
func Ended(ctx context.Context, op, key string) *Error {
	return &Error{Op: op, Key: key, Kind: ErrUnavailable, Cause: context.Cause(ctx)}
}
