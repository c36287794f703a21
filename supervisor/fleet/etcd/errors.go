package etcd

import (
	"errors"
	"fmt"
	"strings"

	"procman/supervisor/fleet/store"
)

// tooOldError says that a server cannot be relied upon.
type tooOldError struct{ server, version string }

func (e *tooOldError) Error() string {
	return fmt.Sprintf("%s is etcd %s, and %s is needed", e.server, e.version, oldest)
}

// kindOf returns which of the store's errors that is, and what to do.
func kindOf(err error) (advice string, kind error) {
	if _, is := errors.AsType[*tooOldError](err); is {
		return fmt.Sprintf("upgrade every member of etcd to %s or later", oldest), store.ErrTooOld
	}
	if errors.Is(err, errInvalid) {
		return "", store.ErrInvalid
	}
	st, is := errors.AsType[*status](err)
	if !is {
		return "", store.ErrUnavailable
	}
	says := func(text string) bool { return strings.Contains(st.message, text) }
	switch st.code {
	case codeNotFound:
		if says("lease not found") {
			return "", store.ErrLeaseLost
		}
	case codeOutOfRange:
		if says("compacted") {
			return "", store.ErrCompacted
		}
		return "", store.ErrInvalid
	case codePermissionDenied:
		return "grant the user the role to read and write the keys of the fleet", store.ErrRefused
	case codeUnauthenticated:
		return "", store.ErrRefused // what to do was said where it was tried to authenticate
	case codeInvalidArgument:
		if says("user name is empty") {
			return "etcd wants a user: set fleet.user and fleet.password_file", store.ErrRefused
		}
		if says("authentication failed") {
			return "check fleet.user and what is in fleet.password_file", store.ErrRefused
		}
		if says("auth") {
			return "", store.ErrRefused
		}
		return "", store.ErrInvalid
	case codeResourceExhausted:
		if says("space exceeded") {
			return "compact and defragment etcd, or raise its quota, and disarm the alarm (etcdctl alarm disarm)", store.ErrFull
		}
	}
	return "", store.ErrUnavailable
}

// unauthenticated reports whether the server did nothing because it does not know who asks, and may if it is told anew.
func unauthenticated(err error) bool {
	st, is := errors.AsType[*status](err)
	return is && (st.code == codeUnauthenticated || st.code == codeInvalidArgument &&
		(strings.Contains(st.message, "user name is empty") || strings.Contains(st.message, "revision of auth store is old")))
}

// elsewhere reports whether the server did nothing for sure, and another one may.
func elsewhere(err error) bool {
	if _, is := errors.AsType[notSentError](err); is {
		return true
	}
	if _, is := errors.AsType[*tooOldError](err); is {
		return true
	}
	st, is := errors.AsType[*status](err)
	return is && st.code == codeUnavailable && st.message == "etcdserver: no leader"
}

var errInvalid = errors.New("it is not valid")
