package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"procman/cmd/procman/words"
	"procman/supervisor/api"
)

func (a *app) pruneCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "prune",
		Short: "Remove the directories of instances that left the list, now",
		Long: `Remove the directories of instances that left the list, now: what they wrote. By itself the daemon does that once nothing in
such a directory has changed for output.keep, and once it has run for an hour. What still has a process, or a hold, is kept, and so
is a directory with files in it that are not procman's; it is said why.`,
		Args: usages(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.ask(cmd, func(ctx context.Context, c *api.Client) error {
				p, err := c.Prune(ctx)
				if err != nil {
					return err
				}
				if a.output.json() {
					return writeLines(a.Stdout, p)
				}
				var errs []error
				removed := 0
				for _, i := range p.Instances {
					if i.Kept != "" {
						_, err := fmt.Fprintf(a.Stdout, "%s: kept: %s\n", i.ID, words.Printable(i.Kept))
						errs = append(errs, err)
						continue
					}
					removed++
					if !a.Quiet {
						_, err := fmt.Fprintf(a.Stdout, "%s: removed\n", i.ID)
						errs = append(errs, err)
					}
				}
				if removed == 0 && !a.Quiet {
					_, err := fmt.Fprintln(a.Stdout, "nothing to remove")
					errs = append(errs, err)
				}
				return errors.Join(errs...)
			})
		},
	}
}
