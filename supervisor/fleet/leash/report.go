package leash

import (
	"fmt"
	"strings"
	"time"

	"procman/messages"
)

// Report is what is guarded in a state directory.
type Report struct {
	Leash  int                   // the pid; 0: it has not said it yet, or none lives
	Lives  bool                  // a leash does
	Fenced []messages.InstanceID // the fenced instances whose process lives
	Over   error                 // why no deadline is in force; nil: one is
	// CLOCK_BOOTTIME in nanoseconds: when they are ended, unless the deadline is moved; 0: not known
	KillAt int64
}

// Farewell says what the leash of the directory will end, and when, if no daemon comes back: for who ends one and
// leaves its instances running. It is empty if nothing fenced runs here.
func Farewell(dir messages.StateDir) string {
	r, err := Look(dir)
	if err != nil && len(r.Fenced) == 0 {
		return fmt.Sprintf("it cannot be told what is fenced here: %v", err)
	}
	return r.farewell(Now())
}

func (r Report) farewell(now int64) string {
	if len(r.Fenced) == 0 {
		return ""
	}
	what := "instance " + list(r.Fenced) + " is fenced"
	if len(r.Fenced) > 1 {
		what = "instances " + list(r.Fenced) + " are fenced"
	}
	switch {
	case !r.Lives:
		return what + ", and there is no leash: nobody ends them when the lease of this host is over, and another " +
			"host may start them. " +
			"Start the daemon again, or end them by hand"
	case r.Over != nil:
		return fmt.Sprintf("%s, and ended by the leash now: %v", what, r.Over)
	}
	return fmt.Sprintf("%s: the leash ends what lives of them in %v, unless a daemon has renewed the lease of this "+
		"host by then",
		what, time.Duration(r.KillAt-now).Round(100*time.Millisecond))
}

// list names a few.
func list(ids []messages.InstanceID) string {
	const most = 5
	var names []string
	for _, id := range ids[:min(len(ids), most)] {
		names = append(names, fmt.Sprintf("%q", string(id)))
	}
	if more := len(ids) - most; more > 0 {
		names = append(names, fmt.Sprintf("%d others", more))
	}
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}
