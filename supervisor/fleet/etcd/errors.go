package etcd

import (
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

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
	st, is := errors.AsType[*status](err)
	if !is {
		return "", store.ErrUnavailable
	}
	says := func(text string) bool { return strings.Contains(st.message, text) }
	switch st.code {
	case codes.NotFound:
		if says("lease not found") {
			return "", store.ErrLeaseLost
		}
	case codes.OutOfRange:
		if says("compacted") {
			return "", store.ErrCompacted
		}
		return "", store.ErrInvalid
	case codes.PermissionDenied:
		return "grant the user the role to read and write the keys of the fleet", store.ErrRefused
	case codes.Unauthenticated:
		return "", store.ErrRefused // what to do was said where it was tried to authenticate
	case codes.InvalidArgument:
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
	case codes.ResourceExhausted:
		if says("space exceeded") {
			return "compact and defragment etcd, or raise its quota, and disarm the alarm (etcdctl alarm disarm)",
				store.ErrFull
		}
	}
	return "", store.ErrUnavailable
}

// unauthenticated reports whether the server did nothing because it does not know who asks, and may if it is told anew.
func unauthenticated(err error) bool {
	st, is := errors.AsType[*status](err)
	return is && (st.code == codes.Unauthenticated || st.code == codes.InvalidArgument &&
		(strings.Contains(st.message, "user name is empty") ||
			strings.Contains(st.message, "revision of auth store is old")))
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
	return is && st.code == codes.Unavailable && st.message == "etcdserver: no leader"
}

// status is what a server has said of a call.
type status struct {
	code    codes.Code
	message string
}

func (s *status) Error() string { return s.message }

// said returns the error as what a server has said, if one has. What gRPC says by itself has the same form, and other
// words.
func said(err error) error {
	if e, is := errors.AsType[rpctypes.EtcdError](err); is {
		return &status{e.Code(), e.Error()}
	}
	if st, is := grpcstatus.FromError(err); is && strings.HasPrefix(st.Message(), "etcdserver: ") {
		return &status{st.Code(), st.Message()}
	}
	return err
}

// notSentError says that the server has not got the request.
type notSentError struct{ error }

func (e notSentError) Unwrap() error { return e.error }
