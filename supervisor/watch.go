package supervisor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"procman/messages"
	"procman/supervisor/plan"
)

// boot learns what a predecessor left and tells the root. What cannot be read is reported and never stops anything:
// what lives is found by looking at the processes themselves.
func (s *Supervisor) boot() {
	var memories []messages.Memory
	var err error
	var recalled sync.WaitGroup
	recalled.Go(func() { memories, err = s.config.Memory.Recall(s.life) })
	survivors, err2 := s.config.Spawner.Survivors(s.life)
	recalled.Wait()
	for _, v := range survivors {
		s.claim(v)
	}
	s.system.Root.Send(s.pid, booted{memories: memories, survivors: survivors, err: errors.Join(err, err2)})
}

// claim keeps the port of a survivor from being leased to another before its actor has taken it over, and that of one
// that has died for its next run.
func (s *Supervisor) claim(v messages.Survivor) {
	if v.Port == 0 {
		return
	}
	lease, err := s.config.Ports.Claim(v.ID, v.Port)
	if err != nil {
		s.config.Logger.Warn("the port of an earlier run cannot be claimed", "instance", string(v.ID), "port",
			v.Port, "alive", v.Alive, "error", err)
		return
	}
	if !v.Alive {
		lease.Release()
	}
}

// watch asks the provider: at once, when its list changes, when somebody wants a reload, and again soon after an error.
func (s *Supervisor) watch() {
	var changes <-chan struct{}
	resync := s.config.Resync
	if n, ok := s.config.Provider.(Notifier); ok {
		changes = n.Changes()
		resync = 0
	}
	wait := time.NewTimer(0)
	defer wait.Stop()
	doubts := doubts{began: time.Now()}
	for failures := 0; ; {
		asked := reloading{ctx: s.life, by: messages.ByConfiguration}
		select {
		case <-s.life.Done():
			return
		case asked = <-s.reload:
		case _, open := <-changes:
			if !open {
				changes, resync = nil, s.config.Resync
			}
		case <-wait.C:
		}
		switch again, err := s.ask(asked, &doubts); {
		case err != nil:
			failures++
			wait.Reset(plan.Delay(messages.RestartPolicy{}.WithDefaults(), failures, 0))
		case again > 0:
			failures = 0
			wait.Reset(again)
		case resync > 0:
			failures = 0
			wait.Reset(resync)
		default:
			failures = 0
			wait.Stop()
		}
	}
}

// reloading is a wish to have the provider asked.
type reloading struct {
	ctx   context.Context // when it ends, nobody wants it any more
	by    string
	reply chan<- error // nil: nobody waits
}

// doubts are what is not sure of a list. They belong to the goroutine of watch.
type doubts struct {
	began time.Time
	last  []*plan.App // the list in force; nil: none yet
	some  bool        // something of the list before was in doubt
	told  string      // the doubt of which a person was told
}

// firstWait is how long the first list may wait for somebody who is still writing it.
const firstWait = 5 * time.Second

// judge returns the list to be put in force for one that nobody has confirmed, with what is in doubt left as it was;
// and when to ask again, if anything is.
func (d *doubts) judge(draft Draft, next []*plan.App) (apps, leaving []*plan.App, again time.Duration, doubt string) {
	if !d.some && slices.Equal(d.last, next) {
		return next, nil, 0, ""
	}
	there := make(map[messages.InstanceID]int, len(next))
	for n, app := range next {
		there[app.InstanceID] = n
	}
	apps = slices.Clone(next)
	var edited []*plan.App
	before, after := len(d.last), len(next)
	concerns := func(app *plan.App) bool { return draft.Concerns == nil || draft.Concerns(app.InstanceID) }
	if draft.Concerns != nil {
		for _, app := range next {
			if !concerns(app) {
				after--
			}
		}
	}
	for _, app := range d.last {
		if !concerns(app) {
			before--
			continue
		}
		switch n, is := there[app.InstanceID]; {
		case !is:
			leaving = append(leaving, app)
		case next[n] != app && next[n].Spec != app.Spec:
			edited = append(edited, app)
		}
	}
	left := len(leaving)
	if again, doubt = plan.Removal(draft, before, after, left); again == 0 {
		leaving = nil
	}
	if left > 0 || d.some {
		if soon := plan.HalfEdit(draft); soon > 0 && len(edited) > 0 {
			for _, app := range edited {
				apps[there[app.InstanceID]] = app
			}
			again = min(soon, cmp.Or(again, soon))
		}
	}
	d.some = again > 0
	return append(apps, leaving...), leaving, again, doubt
}

// doubt tells a person, once, what only a person can settle.
func (s *Supervisor) doubt(d *doubts, leaving []*plan.App, doubt string) {
	var ids []string
	for _, app := range leaving {
		ids = append(ids, string(app.InstanceID))
	}
	text := ""
	if doubt != "" {
		text = fmt.Sprintf("%s; they run on until `%s` confirms it: %s", doubt, s.config.Terms.Reload,
			strings.Join(ids, ", "))
	}
	if text != "" && text != d.told {
		s.tell(messages.Event{At: time.Now(), What: messages.RemovalWaits, By: messages.ByConfiguration,
			Why: text, Bad: true,
			Details: []slog.Attr{slog.String("reason", doubt), slog.Any("instances", ids),
				slog.String("consequence", "they run on"),
				slog.String("help", "`"+s.config.Terms.Reload+"` confirms that they are to be stopped")}})
	}
	d.told = text
}

// ask gets the list from the provider and hands it to the root. If something of it is in doubt it says when to ask
// again.
func (s *Supervisor) ask(asked reloading, d *doubts) (again time.Duration, err error) {
	confirmed := asked.reply != nil
	if asked.reply == nil {
		asked.reply = make(chan error, 1)
	} else {
		s.tell(acted(asked.by, "", "reload"))
	}
	ctx, cancel := context.WithCancel(asked.ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	list, shared, err := s.provided(ctx)
	if s.life.Err() != nil {
		return 0, s.life.Err()
	}
	if asked.ctx.Err() != nil { // who asked was told that it was not done
		asked.reply <- asked.ctx.Err()
		return time.Second, nil // what was to be looked at again still is
	}
	var apps []*plan.App
	if err == nil {
		apps, err = accept(list, d.last, shared)
	}
	if err != nil {
		why := err.Error()
		if was := s.rejected.Swap(&why); confirmed || was == nil || *was != why { // it is asked for again and again
			s.tell(messages.Event{At: time.Now(), What: messages.ConfigRejected, By: asked.by,
				Why: err.Error(), Bad: true,
				Details: []slog.Attr{slog.String("error", err.Error()),
					slog.String("consequence", "the last good list stays in force")}})
		}
		asked.reply <- err
		return 0, err
	}
	s.rejected.Store(nil)
	l := listed{by: asked.by, replies: []chan<- error{asked.reply}}
	drafter, drafts := s.config.Provider.(Drafter)
	if drafts && !confirmed {
		draft := drafter.Draft()
		if d.last == nil && draft.Writing && time.Since(d.began) < firstWait {
			return time.Second, nil
		}
		apps, l.leaving, again, l.doubt = d.judge(draft, apps)
	} else {
		d.some = false
	}
	s.doubt(d, l.leaving, l.doubt)
	d.last, l.apps = apps, apps
	if drafts && again == 0 {
		drafter.Settled()
	}
	s.system.Root.Send(s.pid, l)
	return again, nil
}

// Rejected returns why the newest list is not in force; empty: it is, or there was none yet.
func (s *Supervisor) Rejected() string {
	if why := s.rejected.Load(); why != nil {
		return *why
	}
	return ""
}

// acted is what an operator wants.
func acted(by string, id messages.InstanceID, command string) messages.Event {
	return messages.Event{At: time.Now(), What: messages.OperatorActed, By: by, ID: id, Command: command}
}

// provided asks the provider for its list, and reports whether its instances may be kept.
func (s *Supervisor) provided(ctx context.Context) (list []*messages.AppInstance, shared bool, err error) {
	if p, is := s.config.Provider.(Sharer); is {
		list, err = p.Shared(ctx)
		return list, true, err
	}
	whole, err := s.config.Provider.AppInstances(ctx)
	return messages.Each(whole), false, err
}

// accept takes a list as a whole or not at all. What it says as the list before is taken as it was, and costs no more
// than to compare it. A shared one is never changed, see Sharer.
func accept(list []*messages.AppInstance, before []*plan.App, shared bool) ([]*plan.App, error) {
	same := 0 // so many are those of the list before, one after the other
	for same < min(len(list), len(before)) && before[same].Same(list[same]) {
		same++
	}
	if same == len(list) && same == len(before) {
		return before, nil
	}
	apps := append(make([]*plan.App, 0, len(list)), before[:same]...)
	known, first := knownIn(before, same), firstOf(list, same)
	var errs []error
	for n := same; n < len(list); n++ {
		a := list[n]
		app := known(a)
		if app == nil {
			var err error
			if shared {
				app, err = plan.AppOf(a)
			} else {
				app, err = plan.NewApp(*a)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("instance %d, %q: %w", n+1, string(a.InstanceID), err))
				continue
			}
			if len(apps) > 0 && app.AppInstance != a {
				app.Share(apps[len(apps)-1].AppInstance)
			}
		}
		if is := first(n); is < n {
			errs = append(errs, fmt.Errorf("instance %d: the id %q is already that of instance %d",
				n+1, string(a.InstanceID), is+1))
		}
		apps = append(apps, app)
	}
	return apps, errors.Join(errs...)
}

// firstOf returns what finds the first instance of a list that has the id of number n. The first ones, so many, are
// known to differ.
func firstOf(list []*messages.AppInstance, differ int) func(n int) int {
	const few = 8 // as many are compared with all others before a table of these is made
	if len(list)-differ <= few {
		return func(n int) int {
			first := 0
			for list[first].InstanceID != list[n].InstanceID {
				first++
			}
			return first
		}
	}
	at := make(map[messages.InstanceID]int, len(list))
	for n := range list {
		if _, twice := at[list[n].InstanceID]; !twice {
			at[list[n].InstanceID] = n
		}
	}
	return func(n int) int { return at[list[n].InstanceID] }
}

// knownIn returns what finds the app of a list that is the same as an instance; nil: there is none. It is quick for one
// that follows the one before, or the first ones, of which so many are taken.
func knownIn(list []*plan.App, taken int) func(*messages.AppInstance) *plan.App {
	next := taken
	var all map[messages.InstanceID]int
	return func(a *messages.AppInstance) *plan.App {
		if all == nil && next >= len(list) {
			return nil // all are taken, in their order
		}
		if next >= len(list) || list[next].InstanceID != a.InstanceID {
			if all == nil {
				all = make(map[messages.InstanceID]int, len(list))
				for n, app := range list {
					all[app.InstanceID] = n
				}
			}
			n, is := all[a.InstanceID]
			if !is {
				return nil
			}
			next = n
		}
		app := list[next]
		next++
		if !app.Same(a) {
			return nil
		}
		return app
	}
}

// quiet lets through what an actor system has to say of trouble only: an actor that has ended is nothing special here,
// and neither is a message that comes too late for it.
type quiet struct{ slog.Handler }

func (q quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && q.Handler.Enabled(ctx, l)
}
func (q quiet) WithAttrs(a []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(a)} }
func (q quiet) WithGroup(n string) slog.Handler      { return quiet{q.Handler.WithGroup(n)} }
