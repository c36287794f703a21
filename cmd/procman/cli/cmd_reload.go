package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"procman/cmd/procman/words"
	"procman/supervisor/api"
)

func (a *app) reloadCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Have the daemon read its configuration again and apply the difference",
		Long: `Have the daemon read its configuration again and apply the difference: what has not changed is not touched. A configuration
that is broken changes nothing, and what is wrong with it is shown. The daemon also sees by itself when the file is edited.`,
		Args: usages(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.ask(cmd, func(ctx context.Context, c *api.Client) error {
				r, err := c.Reload(ctx)
				var refusal *api.Error
				switch {
				case errors.As(err, &refusal) && refusal.Code == api.CodeInvalid:
					return fmt.Errorf("the configuration is broken, and the last good one stays in force:\n%w", err)
				case err != nil:
					return err
				case a.output.json():
					return writeLines(a.Stdout, r)
				case !a.Quiet:
					_, err = fmt.Fprintf(a.Stdout, "reloaded, %d %s%s\n", r.Instances,
						words.Plural(r.Instances, "instance"), notApplied(r.Pending))
				}
				return err
			})
		},
	}
}

// notApplied names what a reload cannot do.
func notApplied(keys []string) string {
	if len(keys) == 0 {
		return ""
	}
	return fmt.Sprintf("; not applied, because only a new daemon can: %s (`procman plan` says how)",
		strings.Join(keys, ", "))
}
