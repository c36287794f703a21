package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/spf13/cobra"

	"procman/messages"
	"procman/supervisor/api"
)

// logs is one call of the command.
type logs struct {
	*app
	query  messages.OutputQuery
	stream string
	prefix map[messages.InstanceID]string // what a line begins with, when there are several instances

	mu  sync.Mutex
	out *bufio.Writer
}

func (a *app) logsCommand() *cobra.Command {
	l := &logs{app: a}
	cmd := &cobra.Command{
		Use:   "logs [ID...|-l SELECTOR]",
		Short: "Show what instances wrote to stdout and stderr",
		Long: `Show what instances wrote to stdout and stderr, of all instances if none is named. When there are several, each line
begins with the instance's id. With -o jsonl each line is a JSON document.

With -f it goes on until it is interrupted: it waits for a daemon that has ended, and then goes on with the next line. Only
what was taken away meanwhile because the file had got too large is missing, and that is said.`,
		Example: `  procman logs -f users                      # go on with new lines
  procman logs -n 20                         # the newest 20 lines of each instance
  procman logs users --stream stderr --since 10m`,
		ValidArgsFunction: a.completeIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch l.query.Stream = messages.Stream(l.stream); {
			case l.stream != "" && l.query.Stream != messages.Stdout && l.query.Stream != messages.Stderr:
				return usage("--stream is %q; it must be stdout or stderr", l.stream)
			case l.query.Since < 0:
				return usage("--since must not be negative")
			}
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
	f.DurationVar(&l.query.Since, "since", 0, "only what is not older than this, as in 10m")
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

// copy shows what the query gives, and moves the query behind each line that was shown. It says each time that something came.
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
		_, err = fmt.Fprintf(l.out, "%s%s\n", l.prefix[line.ID], line.Text)
	}
	if err == nil && l.query.Follow {
		err = l.out.Flush()
	}
	return err
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
