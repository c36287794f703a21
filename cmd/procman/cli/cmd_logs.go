package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"procman/messages"
	"procman/supervisor/api"
)

// logs is one call of the command.
type logs struct {
	*app
	query  messages.OutputQuery
	stream string
	stamps bool                           // each line shows its time
	prefix map[messages.InstanceID]string // what a line begins with, when there are several instances

	mu  sync.Mutex
	out *bufio.Writer
}

func (a *app) logsCommand() *cobra.Command {
	l := &logs{app: a}
	var since, until timeFlag
	cmd := &cobra.Command{
		Use:   "logs [ID...|-l SELECTOR]",
		Short: "Show what instances wrote to stdout and stderr",
		Long: `Show what instances wrote to stdout and stderr, of all instances if none is named. When there are several, each line
begins with the instance's id. With -o jsonl each line is a JSON document.

What instances write has no times, but the daemon notes about once a second how far they have got, in less detail the longer
ago it is (a sixteenth of the age). By these notes --since and --until choose, never leaving out a line that may be meant, and
--timestamps, like "at" with -o jsonl, says by when a line had been written at the latest. What was written while no daemon
ran has the time of the last write.

With -f it goes on until it is interrupted: it waits for a daemon that has ended, and then goes on with the next line. Only
what was taken away meanwhile because the file had got too large is missing, and that is said.`,
		Example: `  procman logs -f users                      # go on with new lines
  procman logs -n 20                         # the newest 20 lines of each instance
  procman logs users --stream stderr --since 10m
  procman logs -n 5 --grep '(?i)error' --timestamps    # the newest 5 lines of each that match
  procman logs --since "2026-01-02 15:00" --until "2026-01-02 15:30"`,
		ValidArgsFunction: a.completeIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch l.query.Stream = messages.Stream(l.stream); {
			case l.stream != "" && l.query.Stream != messages.Stdout && l.query.Stream != messages.Stderr:
				return usage("--stream is %q; it must be stdout or stderr", l.stream)
			case since.at.After(time.Now()):
				return usage("--since %s is in the future", since.text)
			case l.query.Follow && until.text != "":
				return usage("--until and --follow contradict each other")
			}
			if _, err := l.query.Pattern(); err != nil {
				return usage("--grep: %v", err)
			}
			now := time.Now()
			l.query.Since, l.query.Until = since.age(now), until.age(now)
			l.query.Times = l.stamps || l.output.json()
			return a.ask(cmd, func(ctx context.Context, c *api.Client) error {
				err := l.run(ctx, c, args)
				if absent(err) && l.out == nil { // it never answered
					return l.offline(ctx, args, err)
				}
				return err
			})
		},
	}
	a.selects(cmd)
	f := cmd.Flags()
	f.BoolVarP(&l.query.Follow, "follow", "f", false, "go on with new lines")
	f.IntVarP(&l.query.Lines, "lines", "n", -1, "the newest so many lines of each instance; -1: all that are kept")
	f.StringVar(&l.stream, "stream", "", "stdout or stderr; both if it is not given")
	completeWords(cmd, "stream", "stdout", "stderr")
	f.Var(&since, "since", "only what is not older than `T`: how long ago, as in 10m, or a time, as in "+
		"2026-01-02T15:04:05Z")
	f.Var(&until, "until", "only what is not younger than `T`")
	f.StringVar(&l.query.Grep, "grep", "", "only lines that match the regular expression `RE`, as Go knows them; -n "+
		"counts those")
	f.BoolVar(&l.stamps, "timestamps",
		false, "begin each line with the time by which it had been written at the latest")
	return cmd
}

func (l *logs) run(ctx context.Context, c *api.Client, args []string) error {
	_, ids, err := l.asked(ctx, c, args)
	if err != nil {
		return err
	}
	l.prefix = prefixes(ids, l.colours())
	l.out = bufio.NewWriter(l.Stdout)
	if !l.query.Follow {
		for _, id := range ids {
			q := l.query
			q.ID = id
			if err := l.copy(ctx, c, &q, func() {}); err != nil {
				return err
			}
		}
		return l.out.Flush()
	}
	return l.follow(ctx, c, ids)
}

// copy shows what the query gives, and moves the query behind each line that was shown. It says each time that
// something came.
func (l *logs) copy(ctx context.Context, c *api.Client, q *messages.OutputQuery, came func()) error {
	for line, err := range c.Logs(ctx, *q) {
		if err != nil {
			return err
		}
		came()
		if err := l.write(line); err != nil {
			return err
		}
		q.After = line.Cursor
	}
	return nil
}

func (l *logs) write(line messages.OutputLine) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var err error
	switch {
	case line.Stream == "":
		return nil // the place only
	case l.output.json():
		line.Cursor = "" // there is nobody to give it back to
		err = writeLines(l.out, line)
	case line.Skipped > 0:
		l.say("%s: %d bytes of %s are not there any more", line.ID, line.Skipped, line.Stream)
	case line.Skipped < 0:
		l.say("%s: some of %s is not there any more", line.ID, line.Stream)
	default:
		_, err = fmt.Fprintf(l.out, "%s%s%s\n", l.prefix[line.ID], l.stamp(line), line.Text)
	}
	if err == nil && l.query.Follow {
		err = l.out.Flush()
	}
	return err
}

// stampForm is a time to the millisecond, of the same width whatever it is.
const stampForm = "2006-01-02T15:04:05.000Z07:00"

// stamp is what a line begins with if its time is asked for.
func (l *logs) stamp(line messages.OutputLine) string {
	switch {
	case !l.stamps:
		return ""
	case line.At.IsZero():
		return "- "
	}
	return line.At.Local().Format(stampForm) + " "
}

// prefixes are the ids with a bar behind them, all of the same width; none for a single instance.
func prefixes(ids []messages.InstanceID, colours bool) map[messages.InstanceID]string {
	if len(ids) < 2 {
		return nil
	}
	width := 0
	for _, id := range ids {
		width = max(width, len(id))
	}
	inks := []string{"36", "33", "32", "35", "34", "31"}
	all := map[messages.InstanceID]string{}
	for i, id := range ids {
		text := fmt.Sprintf("%-*s | ", width, id)
		if colours {
			text = "\x1b[" + inks[i%len(inks)] + "m" + text + "\x1b[0m"
		}
		all[id] = text
	}
	return all
}

// follow copies the output of all at once, until each of them has left the list, or copying one of them fails.
func (l *logs) follow(ctx context.Context, c *api.Client, ids []messages.InstanceID) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	again := &reconnect{app: l.app, every: reconnectEvery}
	ends := make(chan error, len(ids))
	var copying sync.WaitGroup
	for _, id := range ids {
		copying.Go(func() {
			q := l.query
			q.ID, q.Place = id, true // so that there is a cursor before there is a line
			err := again.run(ctx, true, func(heard func()) error { return l.copy(ctx, c, &q, heard) })
			var unknown messages.ErrUnknownInstance
			switch {
			case ctx.Err() != nil:
				err = nil
			case errors.As(err, &unknown):
				l.say("%s: it is not in the list any more", id)
				err = nil
			case err != nil:
				stop()
			}
			ends <- err
		})
	}
	copying.Wait()
	close(ends)
	for err := range ends {
		if err != nil {
			return err
		}
	}
	return nil
}
