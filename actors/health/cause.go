package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"

	"procman/messages"
)

// pathError is a path that no request can carry.
type pathError string

func (e pathError) Error() string {
	return fmt.Sprintf("health.path %q cannot be asked for: it must begin with / and be part of a URL", string(e))
}

// explain says in a short sentence, for the user, why a probe failed. It is void if the failure is the manager's own.
// What the server said is masked, before it is shortened.
func explain(ctx context.Context, err error, t messages.Target, mask *messages.Masker) (cause string, void bool) {
	var (
		status  *statusError
		body    *bodyError
		path    pathError
		network *net.OpError
	)
	switch {
	case errors.As(err, &status):
		return status.Error(), false
	case errors.As(err, &path):
		return path.Error(), false
	case errors.Is(ctx.Err(), context.Canceled):
		return "the probe was broken off", true
	case timedOut(err):
		if errors.As(err, &body) {
			return fmt.Sprintf("timed out after %v: status %d came, but not the end of its body", t.Timeout, body.status), false
		}
		return fmt.Sprintf("timed out after %v", t.Timeout), false
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("connection refused: nothing listens on port %d", t.Port), false
	case errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE):
		return "not probed: the manager has no file descriptor left; raise its limit of open files", true
	case errors.As(err, &body):
		if broken(err) || errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Sprintf("status %d came, but the connection was closed within its body", body.status), false
		}
		return fmt.Sprintf("status %d came, but its body is broken: %s", body.status, printable(mask.Mask(body.err.Error()))), false
	case broken(err):
		return "the connection was reset before an answer came", false
	case errors.Is(err, errHeader):
		return errHeader.Error(), false
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed within the head of the response", false
	case errors.Is(err, io.EOF):
		return "the connection was closed without an answer", false
	case errors.As(err, &network):
		return "not probed: " + network.Error(), true
	default:
		return "the answer is not HTTP: " + printable(mask.Mask(err.Error())), false
	}
}

func timedOut(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}

// broken reports whether the other side has thrown the connection away.
func broken(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// printable quotes what a server sent if it cannot be shown as it is, and shortens it.
func printable(s string) string {
	const most = 120
	if strings.ContainsFunc(s, func(r rune) bool { return r == utf8.RuneError || !strconv.IsPrint(r) }) {
		s = strconv.Quote(s)
	}
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
