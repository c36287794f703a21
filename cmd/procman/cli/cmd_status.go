package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"procman/cmd/procman/daemon"
	"procman/cmd/procman/words"
	"procman/messages"
	"procman/supervisor/api"
)

func (a *app) statusCommand() *cobra.Command {
	watch, by := false, ""
	cmd := &cobra.Command{
		Use:     "status [ID...|-l SELECTOR]",
		Aliases: []string{"ps", "ls"},
		Short:   "Show what runs, and how it is",
		Long: `Show what runs, and how it is. With ids or a selector, the exit code is 3 unless each of those instances is running and healthy.

When no daemon answers, the exit code is 5, and what is shown is what the records in the state directory and the processes
tell: what still runs, unsupervised. With --watch it goes on until a daemon answers again.

The form is a table, a wider one with -o wide, one JSON document with -o json, or one for each instance with -o jsonl. With
--watch, a table on a terminal is drawn in place, and elsewhere again only when more than times has changed; -o jsonl gives
every instance, and then each one that has changed.

-o wide shows what each process uses, too: the part of one processor that it has used since its start, and its resident memory.
With --sort those with most come first; equals, and all without it, are in the order of their ids.`,
		Example: `  procman status                 # all instances
  procman status -w              # and again whenever it changes
  procman status users           # exit code 3 unless it is running and healthy
  procman status -l app=shop     # of the instances with this label
  procman status -o wide --sort memory
  procman status -o json | jq -r '.instances[] | select(.health != "healthy") | .id'`,
		ValidArgsFunction: a.completeIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if by != "" && !slices.Contains(orders(), by) {
				return usage("--sort is %q; it must be %s", by, messages.Alternatives(orders()))
			}
			a.sort = by
			return a.ask(cmd, func(ctx context.Context, c *api.Client) error {
				if a.output == formatWide || by == byCPU || by == byMemory {
					c.WithUse()
				}
				if watch {
					return a.watch(ctx, c, args)
				}
				if a.output != formatWide && !a.output.json() && by == "" && a.selector.All() {
					c.WithBrief()
				}
				err := a.status(ctx, c, args, a.Stdout)
				if absent(err) {
					return a.offline(ctx, args, err, a.Stdout)
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "show it again whenever it changes")
	cmd.Flags().StringVar(&by, "sort", "", "the `ORDER`: "+messages.Alternatives(orders()))
	completeWords(cmd, "sort", orders()...)
	a.selects(cmd)
	return cmd
}

// ask gives do a client, and says what can be done if nobody answers.
func (a *app) ask(cmd *cobra.Command, do func(context.Context, *api.Client) error) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	defer c.Close()
	return a.reach(do(cmd.Context(), c))
}

// answerTime is how long a daemon may take that is asked for what it knows. One that is starting keeps callers waiting.
const answerTime = daemon.BootTime + 5*time.Second

// instances returns what the daemon knows of the instances, of all if none is named. One that does not answer in time
// cannot be reached, unless ctx ended before.
func (a *app) instances(ctx context.Context, c *api.Client, patience time.Duration,
	ids ...messages.InstanceID) (api.Document, error) {
	asking, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	d, err := c.Instances(asking, ids...)
	if err != nil && asking.Err() != nil && ctx.Err() == nil {
		where := ""
		if at, err := a.silently().place(); err == nil {
			where = " at " + at.socket
		}
		err = fmt.Errorf("%w%s: it did not answer within %v", api.ErrUnreachable, where, patience)
	}
	return d, err
}

func (a *app) status(ctx context.Context, c *api.Client, args []string, to io.Writer) error {
	d, ids, err := a.asked(ctx, c, args)
	if err != nil && codeOf(err) != exitUnknown {
		return err
	}
	switch wrong := d.Manager.ConfigError; {
	case wrong == "":
	case !d.Manager.Ready && len(d.Instances) == 0:
		a.say("the configuration %s cannot be used, and no other is in force: %s", d.Manager.Config, words.Head(wrong))
	default:
		a.say("the configuration %s is not in force, the last good one is: %s", d.Manager.Config, words.Head(wrong))
	}
	if d.Manager.Waits != "" {
		a.say("the daemon waits, and not all of this is known: %s", d.Manager.Waits)
	}
	if err != nil && len(ids) == 0 {
		return err
	}
	if f := d.Manager.Fleet; f != nil && !a.output.json() && !a.Quiet {
		if _, err := fmt.Fprintln(to, words.Printable(standingText(*f))); err != nil {
			return err
		}
	}
	if err := a.show(to, d); err != nil {
		return err
	}
	if err != nil {
		return err
	}
	for _, s := range d.Instances {
		if a.some(args) && !s.Well() {
			return exit{code: exitNotHealthy}
		}
	}
	return nil
}

// show writes a document in the form that is asked for.
func (a *app) show(to io.Writer, d api.Document) error {
	order(d.Instances, a.sort, time.Now())
	switch a.output {
	case formatJSON:
		return writeDocument(to, d)
	case formatLines:
		return writeLines(to, d.Instances...)
	}
	columns := narrow()
	if a.output == formatWide {
		columns = wide()
	}
	_, err := io.WriteString(to, table(columns, d.Instances, time.Now(), a.colours()))
	return err
}
