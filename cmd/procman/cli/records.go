package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"procman/actors/output"
	"procman/cmd/procman/daemon"
	"procman/messages"
	"procman/supervisor/api"
	"procman/supervisor/events"
	"procman/supervisor/explain"
)

// Without a daemon its files are still there, and just then they are wanted. These are the commands that read them; as
// with status, the exit code is that of a daemon that cannot be reached, and stderr says where what is shown comes
// from.

// kept is what daemons have left in a state directory.
type keptFiles struct {
	dir      messages.StateDir
	statuses []messages.Status
	outputs  *output.Outputs
}

// left opens what daemons have left; the error is why no daemon could be asked, if nothing is left.
func (a *app) left(ctx context.Context, why error) (*keptFiles, error) {
	at, err := a.silently().place()
	if err != nil || at.dir == "" {
		return nil, why
	}
	statuses, _, err := a.look(ctx)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(statuses) == 0 {
		return nil, why
	}
	if err != nil {
		a.say("what runs could not be found out in full: %v", err)
	}
	var known daemon.Secrets
	if err := known.Recall(at.dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.say("secrets of earlier daemons are not known, and old output may show them: %v", err)
	}
	if a.Socket == "" {
		if _, file, err := a.silently().Load(); err == nil {
			known.Learn(file.Instances)
		}
	}
	outputs, err := output.New(at.dir, output.Options{Mask: known.Mask})
	if err != nil {
		return nil, errors.Join(why, err)
	}
	return &keptFiles{at.dir, statuses, outputs}, nil
}

func (k *keptFiles) events(ctx context.Context, q messages.EventQuery) func(func(messages.LoggedEvent, error) bool) {
	return events.ReadFile(ctx, k.dir.Events(), q)
}

// fromFiles says where an answer comes from.
func (a *app) fromFiles(k *keptFiles) {
	a.say("no daemon answers; what is shown is from the files in %s", k.dir)
}

// offline shows what the instances wrote.
func (l *logs) offline(ctx context.Context, args []string, why error) error {
	k, err := l.left(ctx, why)
	if err != nil {
		return err
	}
	defer k.outputs.Close() // it has written nothing
	ids, err := l.choose(k.statuses, args)
	if err != nil {
		return errors.Join(why, fmt.Errorf("on record there is %v", err))
	}
	l.fromFiles(k)
	l.prefix, l.query.Follow = prefixes(ids, l.colours()), false
	l.out = bufio.NewWriter(l.Stdout)
	for _, id := range ids {
		q := l.query
		q.ID = id
		for line, err := range k.outputs.Read(ctx, q) {
			if err == nil {
				err = l.write(line)
			}
			if err != nil {
				return errors.Join(why, err, l.out.Flush())
			}
		}
	}
	return errors.Join(why, l.out.Flush())
}

// offline shows the events that are kept.
func (e *eventsCall) offline(ctx context.Context, why error) error {
	k, err := e.left(ctx, why)
	if err != nil {
		return err
	}
	defer k.outputs.Close() // it has written nothing
	if !e.selector.All() {
		if e.ids, err = e.choose(k.statuses, nil); err != nil {
			return errors.Join(why, err)
		}
	}
	e.fromFiles(k)
	e.query.Follow = false
	return errors.Join(why, e.show(func(do func(messages.LoggedEvent) error) error {
		for logged, err := range k.events(ctx, e.query) {
			if err == nil {
				err = do(logged)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}))
}

// whyOffline says of instances what the files tell.
func (a *app) whyOffline(ctx context.Context, args []string, why error) error {
	k, err := a.left(ctx, why)
	if err != nil {
		return err
	}
	defer k.outputs.Close() // it has written nothing
	ids, err := a.choose(k.statuses, args)
	if err != nil {
		return errors.Join(why, fmt.Errorf("on record there is %v", err))
	}
	a.fromFiles(k)
	for n, s := range among(k.statuses, ids) {
		if err := a.showWhy(k.why(ctx, s), n == 0); err != nil {
			return errors.Join(why, err)
		}
	}
	return why
}

func (k *keptFiles) why(ctx context.Context, s messages.Status) api.Why {
	w := api.Why{Schema: api.Schema, Instance: s, Probes: []api.SeenProbe{}, Events: []messages.Event{},
		Verdict: explain.UnwatchedVerdict(s)}
	tail := func(stream messages.Stream, lines int, earlier bool) []messages.OutputLine {
		list := []messages.OutputLine{}
		for line, err := range k.outputs.Read(ctx, messages.OutputQuery{ID: s.ID, Stream: stream, Lines: lines,
			Earlier: earlier, Lone: true}) {
			if err != nil {
				w.Missing = append(w.Missing, string(stream)+": "+err.Error())
				break
			}
			list = append(list, line)
		}
		return list
	}
	lives := s.PID != 0
	if x := s.LastExit; x != nil && x.Reason != messages.ReasonStartFailed {
		w.Stderr, w.Stdout = tail(messages.Stderr, whyLinesKept, lives), tail(messages.Stdout, whyLinesKept, lives)
	}
	if lives {
		w.Now, w.NowOut = tail(messages.Stderr, whyLinesKept, false), tail(messages.Stdout, whyLinesKept, false)
	}
	for logged, err := range k.events(ctx, messages.EventQuery{ID: s.ID, Last: whyLinesKept}) {
		e, bad := logged.Event()
		if err = errors.Join(err, bad); err != nil {
			w.Missing = append(w.Missing, "events: "+err.Error())
			break
		}
		w.Events = append(w.Events, e)
	}
	return w
}

// whyLinesKept is how much of each is shown.
const whyLinesKept = 10
