package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"procman/messages"
	"procman/supervisor"
)

// service tells the service manager that started the daemon (systemd: NOTIFY_SOCKET) how it is. Without one it does
// nothing.
type service struct {
	there    bool
	watchdog time.Duration // how often it wants to hear; 0: it does not care
	log      log
}

func newService(env func(string) string, log log) service {
	s := service{there: env("NOTIFY_SOCKET") != "", log: log}
	if s.there {
		var err error
		if s.watchdog, err = sd.SdWatchdogEnabled(false); err != nil {
			log.Warn("the service manager's watchdog is not understood, and not served", "error", err)
		}
	}
	return s
}

// tell sends the lines as one message.
func (s service) tell(lines ...string) {
	if !s.there {
		return
	}
	// A status in several lines would be read as several messages.
	for n := range lines {
		lines[n] = strings.ReplaceAll(lines[n], "\n", " ")
	}
	if _, err := sd.SdNotify(false, strings.Join(lines, "\n")); err != nil {
		s.log.Warn("the service manager cannot be told", "error", err)
	}
}

const (
	statusEvery = time.Second
	// extendEvery is how often an end that takes long asks for extendBy more: TimeoutStopSec would cut it short.
	extendEvery = 10 * time.Second
	extendBy    = 30 * time.Second
)

// reloading says that the configuration is being read; ready is to follow.
func (s service) reloading(status string) {
	s.tell(sd.SdNotifyReloading, sd.SdNotifyMonotonicUsec(), "STATUS="+status)
}

// stopping says that the end has begun, and goes on asking for time until ctx ends.
func (s service) stopping(ctx context.Context, status string) {
	if !s.there {
		return
	}
	extend := fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", extendBy.Microseconds())
	s.tell(sd.SdNotifyStopping, "STATUS="+status, extend)
	next := time.NewTicker(extendEvery)
	defer next.Stop()
	for {
		select {
		case <-next.C:
			s.tell(extend)
		case <-ctx.Done():
			return
		}
	}
}

// accompany tells the service manager when the daemon is ready, how it is, and that it lives, until ctx ends. It is ready
// once the first list is in force: whether every instance is healthy is for /readyz and the status.
func (s service) accompany(ctx context.Context, sup *supervisor.Supervisor) {
	if !s.there {
		return
	}
	var beat <-chan time.Time
	if s.watchdog > 0 {
		t := time.NewTicker(s.watchdog / 2)
		defer t.Stop()
		beat = t.C
	}
	look := time.NewTicker(statusEvery)
	defer look.Stop()
	listed := sup.Listed()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-listed:
			listed = nil
			said = s.status(ctx, sup)
			s.tell(sd.SdNotifyReady, "STATUS="+said)
		case <-look.C:
			if now := s.status(ctx, sup); listed == nil && now != said {
				said = now
				s.tell("STATUS=" + said)
			}
		case <-beat:
			s.beat(ctx, sup)
		}
	}
}

// beat tells the watchdog that the daemon lives, if the root actor answers. If it does not, the service manager's restart
// is the cure: the next daemon adopts what runs.
func (s service) beat(ctx context.Context, sup *supervisor.Supervisor) {
	ctx, cancel := context.WithTimeout(ctx, s.watchdog/4)
	defer cancel()
	switch err := sup.Ping(ctx); {
	case errors.Is(err, supervisor.ErrStopped):
		return // and so does the daemon, in a moment
	case err != nil:
		s.log.Error("the root actor does not answer; the watchdog of the service manager is not told that all is well", "error", err)
		return
	}
	s.tell(sd.SdNotifyWatchdog)
}

// status is one line about all instances.
func (s service) status(ctx context.Context, sup *supervisor.Supervisor) string {
	all, err := sup.Status(ctx)
	if err != nil {
		return err.Error()
	}
	return summary(all)
}

func summary(all []messages.Status) string {
	healthy, other := 0, map[string]int{}
	for _, s := range all {
		switch {
		case well(s):
			healthy++
		case s.Held:
			other["held"]++
		case s.Disabled:
			other["disabled"]++
		case s.Phase == messages.Running:
			other["not healthy"]++
		default:
			other[string(s.Phase)]++
		}
	}
	text := fmt.Sprintf("%d of %d instances healthy", healthy, len(all))
	for _, what := range []string{"not healthy", "starting", "stopping", "backoff", "failed", "stopped", "held", "disabled"} {
		if n := other[what]; n > 0 {
			text += fmt.Sprintf(", %d %s", n, what)
		}
	}
	return text
}
