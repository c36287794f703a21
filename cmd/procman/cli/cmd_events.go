package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"procman/cmd/procman/words"
	"procman/messages"
	"procman/supervisor/api"
)

// eventsCall is one call of the command.
type eventsCall struct {
	*app
	query messages.EventQuery
	since string
	ids   []messages.InstanceID
	out   *bufio.Writer
	heard bool // the daemon has answered
}

func (a *app) eventsCommand() *cobra.Command {
	e := &eventsCall{app: a}
	lines := -1
	cmd := &cobra.Command{
		Use:   "events [ID...|-l SELECTOR]",
		Short: "Show who did what, why and when",
		Long: `Show who did what, why and when, an event a line, oldest first: of the instances that are named, or all. Events are kept in
the state directory, for longer than the daemon lives, up to a bounded size. A selector chooses among the instances that are
in the list now.

Each has a cursor (-o wide and the JSON forms show it). With --since CURSOR what came after that event is shown, nothing
missing and nothing twice; where events are no longer kept, one that says so takes their place. With -f it goes on with new
ones, also over restarts and upgrades of the daemon.`,
		Example: `  procman events -f
  procman events users --since 1h
  procman events -f -o jsonl | while read -r event; do …; done`,
		ValidArgsFunction: a.completeIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if e.query.Since, e.query.Age, err = api.ParseSince(e.since); err != nil {
				return usage("--%v", err)
			}
			switch {
			case lines > 0:
				e.query.Last = lines
			case lines == 0:
				e.query.Last = -1
			}
			for _, arg := range args {
				e.ids = append(e.ids, messages.InstanceID(arg))
			}
			return a.ask(cmd, func(ctx context.Context, c *api.Client) error {
				err := e.run(ctx, c)
				if absent(err) && !e.heard {
					return e.offline(ctx, err)
				}
				return err
			})
		},
	}
	a.selects(cmd)
	f := cmd.Flags()
	f.BoolVarP(&e.query.Follow, "follow", "f", false, "go on with new events")
	f.IntVarP(&lines, "lines", "n", -1, "only the newest so many of those that are kept; -1: all")
	f.StringVar(&e.since, "since", "", "only what came after the event with this `CURSOR`, or is not older than this "+
		"duration")
	return cmd
}

func (e *eventsCall) run(ctx context.Context, c *api.Client) error {
	for _, id := range e.ids {
		if err := id.Validate(); err != nil {
			return usage("%v", err)
		}
	}
	if !e.selector.All() {
		_, ids, err := e.asked(ctx, c, nil)
		if err != nil {
			return err
		}
		e.ids = ids
	}
	if len(e.ids) == 1 {
		e.query.ID = e.ids[0]
	}
	return e.show(func(do func(messages.LoggedEvent) error) error { return e.each(ctx, c, do) })
}

// show shows the events that each gives.
func (e *eventsCall) show(each func(do func(messages.LoggedEvent) error) error) error {
	e.out = bufio.NewWriter(e.Stdout)
	list := []json.RawMessage{}
	all := e.output == formatJSON && !e.query.Follow
	err := each(func(logged messages.LoggedEvent) error {
		event, err := logged.Event()
		switch {
		case err != nil:
			return err
		case !e.about(event):
			return nil
		case all:
			list = append(list, logged.JSON)
			return nil
		case e.output.json():
			_, err = e.out.Write(append(logged.JSON, '\n'))
		default:
			_, err = fmt.Fprintln(e.out, e.line(event))
		}
		if err == nil && e.query.Follow {
			err = e.out.Flush()
		}
		return err
	})
	if err != nil {
		return errors.Join(err, e.out.Flush())
	}
	if all {
		err = writeDocument(e.out, struct {
			Schema int               `json:"schema"`
			Events []json.RawMessage `json:"events"`
		}{api.Schema, list})
	}
	return errors.Join(err, e.out.Flush())
}

// about reports whether the event is asked for. The daemon leaves out what one instance is not concerned with; of
// several, that is done here.
func (e *eventsCall) about(event messages.Event) bool {
	if len(e.ids) < 2 || event.What == messages.EventsLost {
		return true
	}
	for _, id := range e.ids {
		if event.ID == id {
			return true
		}
	}
	return false
}

// each calls do with every event. If they are followed it outlives the daemon.
func (e *eventsCall) each(ctx context.Context, c *api.Client, do func(messages.LoggedEvent) error) error {
	q := e.query
	once := func(heard func()) error {
		for event, err := range c.Events(ctx, q) {
			if err != nil {
				return err
			}
			heard()
			e.heard = true
			q.Since, q.Age, q.Last = event.Cursor, 0, 0
			if err := do(event); err != nil {
				return err
			}
		}
		return nil
	}
	if !q.Follow {
		return once(func() {})
	}
	return (&reconnect{app: e.app, every: reconnectEvery}).run(ctx, false, once)
}

func (e *eventsCall) line(event messages.Event) string {
	text := event.At.Local().Format(time.DateTime) + "  " + orDash(string(event.ID)) + "  " + eventText(event, true)
	if e.output == formatWide {
		text = fmt.Sprintf("%d  %s  by %s", event.Cursor, text, event.By)
	}
	return words.Printable(text)
}

// eventText says an event in words; id: of which instance an operator's command was.
func eventText(e messages.Event, id bool) string {
	text := string(e.What)
	if e.What == messages.OperatorActed {
		text = fmt.Sprintf("%s: %s", e.By, e.Command)
		if id && e.ID != "" {
			text += " " + string(e.ID)
		}
	}
	if e.What == messages.InstanceRestarting {
		text += " at once"
		if e.Delay > 0 {
			text = fmt.Sprintf("%s in %v, attempt %d", e.What, e.Delay.Round(10*time.Millisecond), e.Attempt)
		}
	}
	if e.Why != "" {
		why, _, _ := strings.Cut(e.Why, "\n")
		text += ": " + why
	}
	if e.By != messages.ByManager && e.What != messages.OperatorActed {
		text += ", by " + e.By
	}
	var of []string
	if e.Run != 0 {
		of = append(of, fmt.Sprintf("run %d", e.Run))
	}
	if e.PID != 0 {
		of = append(of, fmt.Sprintf("pid %d", e.PID))
	}
	if e.Port != 0 {
		of = append(of, fmt.Sprintf("port %d", e.Port))
	}
	if len(of) > 0 {
		text += " (" + strings.Join(of, ", ") + ")"
	}
	return text
}
