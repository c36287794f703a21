package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"
)

// explain says in a short sentence, for the user, why a probe failed. It is void if the failure is the manager's own.
func explain(ctx context.Context, err error, t target) (cause string, void bool) {
	var (
		said    verdict
		network *net.OpError
		files   *filesError
		notRun  *notRunError
	)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return "the probe was broken off", true
	case errors.As(err, &files):
		return files.Error(), true
	case errors.As(err, &notRun):
		return notRun.Error(), true
	case errors.As(err, &said):
		return said.verdict(t), false
	case timedOut(err):
		return fmt.Sprintf("timed out after %v", t.Policy.Timeout), false
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("connection refused: nothing listens on port %d", t.Port), false
	case errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE):
		return "not probed: the manager has no file descriptor left; raise its limit of open files", true
	case broken(err):
		return "the connection was reset before an answer came", false
	case errors.As(err, &network):
		return "not probed: " + network.Error(), true
	}
	return printable(t.mask.Mask(err.Error())), false
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
