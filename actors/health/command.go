package health

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"procman/messages"
)

// Command runs the command by which the policy of t asks, until ctx ends at the latest, and returns how it ended and
// the first bytes of what it wrote. There is never more than one of an instance. The error is that of ctx if this ended
// first; any other says why it was not run.
type Command func(ctx context.Context, t messages.Target) (output []byte, exit messages.Exit, err error)

// byCommand makes the probes of messages.HealthCommand.
type byCommand struct{ run Command }

func (c byCommand) probe(ctx context.Context, t target, p *messages.Probe) (*net.TCPAddr, error) {
	if c.run == nil || t.App == nil || len(t.Policy.Asks().Command) == 0 {
		return nil, errNoCommand
	}
	within, cancel := context.WithDeadline(ctx, t.deadline)
	defer cancel()
	output, exit, err := c.run(within, t.Target)
	said := said(output, t)
	p.Body = said
	switch {
	case timedOut(err):
		return nil, &commandError{fmt.Sprintf("timed out after %v, and was ended", t.Policy.Timeout), said, err}
	case err != nil && ctx.Err() == nil:
		return nil, &notRunError{err}
	case err != nil:
		return nil, err
	case exit.Signal != "" || exit.Code != 0:
		return nil, &commandError{exit.String(), said, nil}
	}
	return nil, nil
}

// said is what is kept of what a command wrote: without the half of a secret at its end.
func said(output []byte, t target) string {
	kept := bytes.TrimSpace(output)
	if len(kept) > keptBody {
		kept = kept[:keptBody]
		kept = kept[:t.mask.Whole(kept)]
	}
	return text([]byte(t.mask.Mask(string(kept))))
}

var errNoCommand = &notRunError{errors.New("there is none, or nobody who could run it here")}

// commandError is a command that did not end with 0.
type commandError struct {
	how, said string
	err       error // that of its context; nil: it ended by itself
}

func (e *commandError) Error() string { return e.how }

func (e *commandError) Unwrap() error { return e.err }

func (e *commandError) verdict(target) string {
	if e.said == "" {
		return "health.command " + e.how
	}
	line, _, _ := strings.Cut(e.said, "\n")
	return "health.command " + e.how + ": " + printable(line)
}

// notRunError is why a command was not run.
type notRunError struct{ err error }

func (e *notRunError) Error() string {
	return "not probed: health.command is not run: " + e.err.Error()
}

func (e *notRunError) Unwrap() error { return e.err }
