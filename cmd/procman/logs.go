package main

import (
	"bufio"
	"context"
	"encoding/json"
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
	prefix bool // several instances: each line begins with its own

	mu  sync.Mutex
	out *bufio.Writer
}

func (a *app) logsCommand() *cobra.Command {
	l := &logs{app: a}
	cmd := &cobra.Command{
		Use:   "logs [ID...]",
		Short: "Show what instances wrote to stdout and stderr",
		Long: `Show what instances wrote to stdout and stderr, of all instances if none is named. When there are several, each line
begins with the instance's id. With -o jsonl each line is a JSON document.`,
		ValidArgsFunction: a.completeIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch l.query.Stream = messages.Stream(l.stream); {
			case l.stream != "" && l.query.Stream != messages.Stdout && l.query.Stream != messages.Stderr:
				return usage("--stream is %q; it must be stdout or stderr", l.stream)
			case l.query.Since < 0:
				return usage("--since must not be negative")
			}
			return a.ask(cmd, func(ctx context.Context, c *api.Client) error { return l.run(ctx, c, args) })
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&l.query.Follow, "follow", "f", false, "go on with new lines")
	f.IntVarP(&l.query.Lines, "lines", "n", -1, "the newest so many lines of each instance; -1: all that are kept")
	f.StringVar(&l.stream, "stream", "", "stdout or stderr; both if it is not given")
	f.DurationVar(&l.query.Since, "since", 0, "only what is not older than this, as in 10m")
	return cmd
}

func (l *logs) run(ctx context.Context, c *api.Client, args []string) error {
	d, err := c.Instances(ctx)
	if err != nil {
		return err
	}
	ids, err := choose(d.Instances, args)
	if err != nil {
		return err
	}
	l.prefix = len(ids) > 1
	l.out = bufio.NewWriter(l.stdout)
	if !l.query.Follow {
		for _, id := range ids {
			if err := l.copy(ctx, c, id); err != nil {
				return err
			}
		}
		return l.out.Flush()
	}
	return l.follow(ctx, c, ids)
}

// follow copies all at once, until one of them ends.
func (l *logs) follow(ctx context.Context, c *api.Client, ids []messages.InstanceID) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ends := make(chan error, len(ids))
	var copying sync.WaitGroup
	for _, id := range ids {
		copying.Go(func() {
			defer stop()
			ends <- l.copy(ctx, c, id)
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

func (l *logs) copy(ctx context.Context, c *api.Client, id messages.InstanceID) error {
	q := l.query
	q.ID = id
	for line, err := range c.Logs(ctx, q) {
		if err == nil {
			err = l.write(line)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *logs) write(line messages.OutputLine) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var err error
	switch {
	case l.output.json():
		err = json.NewEncoder(l.out).Encode(line)
	case line.Skipped > 0:
		l.say("%s: %d bytes of %s are not there any more", line.ID, line.Skipped, line.Stream)
	case l.prefix:
		_, err = fmt.Fprintf(l.out, "%s | %s\n", line.ID, line.Text)
	default:
		_, err = fmt.Fprintln(l.out, line.Text)
	}
	if err == nil && l.query.Follow {
		err = l.out.Flush()
	}
	return err
}
