package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"procman/actors/spawn"
	"procman/messages"
	"procman/supervisor/api"
)

// unsupervised is what records and processes tell while no daemon answers, in the form of an [api.Document].
type unsupervised struct {
	Schema     int               `json:"schema"`
	Manager    *api.Manager      `json:"manager"`    // null: there is none
	Supervised bool              `json:"supervised"` // a daemon has the state directory, though it does not answer
	Instances  []messages.Status `json:"instances"`
}

// offline shows the instances that were asked for as the records and /proc tell of them, and returns why no daemon could
// be asked. The picture is an extra: the daemon is what is missing, whatever it shows.
func (a *app) offline(ctx context.Context, args []string, why error, to io.Writer) error {
	statuses, owner, err := a.look(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return why // there never was a daemon
	}
	if err != nil {
		a.say("what runs could not be found out in full: %v", err)
	}
	if len(statuses) == 0 {
		return why
	}
	ids, unknown := choose(statuses, args)
	if unknown != nil {
		a.say("on record there is %v", unknown)
	}
	statuses = slices.DeleteFunc(statuses, func(s messages.Status) bool { return !slices.Contains(ids, s.ID) })
	if len(statuses) == 0 {
		return why
	}
	a.say("no daemon answers; what is shown is from the records and the processes in /proc")
	return errors.Join(why, a.showOffline(to, statuses, owner != 0))
}

func (a *app) showOffline(to io.Writer, statuses []messages.Status, supervised bool) error {
	if a.output != formatJSON {
		return a.show(to, api.Document{Instances: statuses})
	}
	return writeDocument(to, unsupervised{Schema: api.Schema, Supervised: supervised, Instances: statuses})
}

// look returns the instances of which there are records or processes, and the process that has the state directory, though it
// does not answer; 0: none.
func (a *app) look(ctx context.Context) (_ []messages.Status, owner int, _ error) {
	quiet := a.silently()
	at, err := quiet.place()
	if err != nil || at.dir == "" {
		return nil, 0, err
	}
	defer a.touches.begin("the state directory " + string(at.dir))()
	owner = spawn.Owner(at.dir)
	traces, err := spawn.Look(ctx, at.dir)
	listed := map[messages.InstanceID]messages.AppInstance{}
	if a.socket == "" {
		if _, file, err := quiet.load(); err == nil { // a help: the records do not say what runs
			for _, app := range file.Instances {
				listed[app.InstanceID] = app
			}
		}
	}
	now := time.Now()
	statuses := make([]messages.Status, len(traces))
	for n, t := range traces {
		s := unwatched(t, now)
		if owner != 0 { // it is not unsupervised, and what the daemon makes of it is not known
			s.Reason = fmt.Sprintf("by the records; the daemon, process %d, does not answer", owner)
		}
		app := listed[t.ID]
		s.WasmPath, s.DbName, s.Labels = app.WasmPath, app.DbName, app.Labels
		if s.Labels == nil {
			s.Labels = map[string]string{}
		}
		statuses[n] = s
	}
	return statuses, owner, err
}

// absent reports whether no daemon answers. Behind a socket that is not for this user one may well live.
func absent(err error) bool {
	return errors.Is(err, api.ErrUnreachable) && !errors.Is(err, os.ErrPermission)
}

// unwatched tells of an instance that nobody supervises.
func unwatched(t spawn.Trace, now time.Time) messages.Status {
	m := messages.Memory{Phase: messages.Stopped}
	if t.Memory != nil {
		m = *t.Memory
	}
	s := messages.Status{ID: t.ID, Phase: messages.Stopped, Health: messages.HealthUnknown, Run: m.Run, Held: m.Held,
		Restarts: max(0, m.Starts-1), ConsecutiveFailures: m.Attempts, LastExit: m.LastExit}
	v := t.Survivor
	switch {
	case v != nil && v.Alive:
		runsOn(&s, m, *v)
	case v != nil && (v.Run > m.Run || v.Run == m.Run && !m.Exited):
		endedUnseen(&s, m, *v)
	default:
		s.Phase, s.Reason = m.Phase, rests(m, now)
		if s.Phase != messages.Backoff && s.Phase != messages.Failed {
			s.Phase = messages.Stopped
		}
	}
	if s.Held {
		s.Reason = heldBy(s, m, v != nil && v.Alive)
	}
	return s
}

func runsOn(s *messages.Status, m messages.Memory, v messages.Survivor) {
	s.Phase, s.Run, s.PID, s.Port, s.StartedAt = messages.Starting, v.Run, v.PID, v.Port, &v.StartedAt
	if v.Run > m.Run || v.Run == m.Run && !m.Counted {
		s.Restarts = max(0, m.Starts)
	}
	s.Reason = "unsupervised: no daemon; the process runs on"
	if v.Run != m.Run {
		return
	}
	switch {
	case m.Phase == messages.Stopping:
		s.Phase = m.Phase
		s.Reason += "; it was told to stop (" + m.Reason + ")"
	case m.Phase == messages.Running:
		s.Phase = m.Phase
	}
}

func endedUnseen(s *messages.Status, m messages.Memory, v messages.Survivor) {
	s.Run, s.LastExit = v.Run, &v.Exit
	s.Reason = v.Exit.String() + " while nobody watched"
	if m.Rebooted {
		s.Reason = "ended when the host was restarted"
	}
	s.Reason = "unsupervised: " + s.Reason
}

// rests says how an instance stands of which nothing runs, and of which everything is on record.
func rests(m messages.Memory, now time.Time) string {
	reason := "no daemon"
	if m.Phase == messages.Backoff {
		reason = "was in backoff"
		if !m.DueAt.IsZero() {
			is := "was"
			if m.DueAt.After(now) {
				is = "is"
			}
			reason += fmt.Sprintf(", next start %s due %s", is, m.DueAt.UTC().Round(time.Second).Format(time.RFC3339))
		}
	}
	if m.Reason != "" {
		reason += "; " + m.Reason
	}
	return "unsupervised: " + reason
}

func heldBy(s messages.Status, m messages.Memory, alive bool) string {
	by := m.HeldBy
	if by == "" {
		by = "an operator"
	}
	reason := "held: stopped by " + by
	if !m.HeldAt.IsZero() {
		reason += " at " + m.HeldAt.Format(time.RFC3339)
	}
	if alive {
		return "unsupervised: no daemon; " + reason + ", but the process runs on"
	}
	return fmt.Sprintf("%s; `procman start %s` ends that, once a daemon runs", reason, s.ID)
}
