package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"procman/cmd/procman/words"
	"procman/messages"
	"procman/supervisor/api"
)

const watchEvery = time.Second

// watch shows the status again whenever it changes, also over the end of the daemon and until the next one answers. It
// looks every second. If nobody answers in the beginning it does what status does.
func (a *app) watch(ctx context.Context, c *api.Client, args []string) error {
	next := time.NewTicker(watchEvery)
	defer next.Stop()
	v := viewer{app: a, terminal: isTerminal(a.Stdout), to: a.Stdout}
	lost := func(why error) error {
		switch {
		case absent(why):
			p := a.unwatched(ctx, why)
			ids, _ := a.choose(p.Instances, args) // those that are known
			p.Instances = among(p.Instances, ids)
			return v.see(p)
		case errors.Is(why, api.ErrUnreachable):
			return why
		}
		return nil // it is ending, and in a moment there is nobody
	}
	first := true
	err := (&reconnect{app: a, every: watchEvery, lost: lost}).run(ctx, false, func(heard func()) error {
		for {
			d, _, err := a.asked(ctx, c, args)
			if err != nil && (first || codeOf(err) != exitUnknown) { // later on, one that is gone was removed
				return err
			}
			heard()
			first = false
			if err := v.see(picture{Document: d}); err != nil {
				return err
			}
			select {
			case <-next.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	if absent(err) {
		return a.offline(ctx, args, err, a.Stdout)
	}
	return err
}

// picture is what is known at one moment.
type picture struct {
	api.Document
	why   error // nobody answers, and this is what records and processes tell
	owner int   // the process that has the state directory then; 0: none
}

// unwatched is the picture while nobody answers.
func (a *app) unwatched(ctx context.Context, why error) picture {
	p := picture{why: why}
	var err error
	if p.Instances, p.owner, err = a.look(ctx); err != nil && !errors.Is(err, fs.ErrNotExist) {
		p.why = fmt.Errorf("%w; what runs could not be found out in full: %w", p.why, err)
	}
	return p
}

// viewer shows pictures: a table on a terminal in place of the one before, anything else when it is another one.
type viewer struct {
	*app
	terminal bool
	to       io.Writer

	seen    bool
	before  string // the picture, without what changes by itself
	away    bool   // nobody answered
	lasting map[messages.InstanceID]messages.Status
}

func (v *viewer) see(p picture) error {
	drawn := v.terminal && !v.output.json()
	if away := p.why != nil; away != v.away {
		v.away = away
		if !drawn {
			v.tell(p.why)
		}
	}
	if v.output == formatLines {
		return v.changes(p.Instances)
	}
	now := key(p, v.output)
	if !drawn && v.seen && now == v.before {
		return nil
	}
	var b strings.Builder
	err := v.show(&b, p.Document)
	if p.why != nil {
		b.Reset()
		err = v.showOffline(&b, p.Instances, p.owner != 0)
	}
	if err != nil {
		return err
	}
	text := b.String()
	if drawn {
		text = v.frame(text, p.why)
	}
	v.seen, v.before = true, now
	_, err = io.WriteString(v.to, text)
	return err
}

func (v *viewer) tell(why error) {
	if why == nil {
		v.say("the daemon answers again")
		return
	}
	v.say("%v; what is shown is from the records and the processes in /proc, until a daemon answers", why)
}

// frame draws over what was there before, line by line, so that nothing flickers.
func (v *viewer) frame(text string, why error) string {
	if why != nil {
		text += "\n" + words.Printable(why.Error()) +
			"; from the records and the processes in /proc, until a daemon answers\n"
	}
	begin := "\x1b[H"
	if !v.seen {
		begin += "\x1b[2J"
	}
	return begin + strings.ReplaceAll(text, "\n", "\x1b[K\n") + "\x1b[J"
}

// changes writes every instance that is not what it was, in one line each; also one that is no longer there.
func (v *viewer) changes(all []messages.Status) error {
	had := v.lasting
	v.lasting = make(map[messages.InstanceID]messages.Status, len(all))
	for _, s := range all {
		v.lasting[s.ID] = s
		before, known := had[s.ID]
		delete(had, s.ID)
		if known && line(before) == line(s) {
			continue
		}
		if err := writeLines(v.to, s); err != nil {
			return err
		}
	}
	gone := make([]messages.Status, 0, len(had))
	for _, s := range had {
		s.Phase, s.Health, s.Reason = messages.Stopped, messages.HealthUnknown, "no longer known"
		s.PID, s.Port, s.StartedAt, s.HealthySince, s.NextStartAt = 0, 0, nil, nil, nil
		gone = append(gone, s)
	}
	slices.SortFunc(gone, func(a, b messages.Status) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return writeLines(v.to, gone...)
}

// key is equal for two pictures that differ only in what changes by itself.
func key(p picture, f format) string {
	lines := make([]string, 0, len(p.Instances)+1)
	for _, s := range p.Instances {
		lines = append(lines, line(s))
	}
	if f.json() {
		m, _ := json.Marshal(p.Manager) // strings and numbers always have a form
		lines = append(lines, string(m))
	}
	if p.why != nil {
		lines = append(lines, "unsupervised")
	}
	return strings.Join(lines, "\n")
}

// line is the instance without the times, which pass, or differ a little from one reading of the clock to the next.
func line(s messages.Status) string {
	s.StartedAt, s.HealthySince, s.Use = nil, nil, nil
	if s.LastProbe != nil {
		p := *s.LastProbe
		p.At, p.Latency = time.Time{}, 0
		s.LastProbe = &p
	}
	if s.LastExit != nil {
		e := *s.LastExit
		e.At = time.Time{}
		s.LastExit = &e
	}
	text, _ := json.Marshal(s) // as above
	return string(text)
}
