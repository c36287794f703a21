package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"procman/messages"
	"procman/supervisor/api"
)

func (a *app) signalCommand() *cobra.Command {
	return &cobra.Command{
		Use: "signal ID SIGNAL", Short: "Send a signal to an instance",
		Long: `Send a signal to an instance: to its process and the process group that this leads, once it is proved that it is the instance's.
An event says who did it.

It is no wish that the instance ends: if it ends by the signal, it has ended by itself, and restart in the configuration says what
follows. Signals that halt a process (STOP, TSTP, TTIN, TTOU) are refused: it would answer no probe, and be replaced.

The exit code is 3 if the instance has no process, and 2 for a signal that there is not, or that is refused.`,
		Example: "  procman signal users HUP      # or SIGHUP: read your configuration again\n  procman " +
			"signal users RTMIN+1",
		Args:              usages(cobra.ExactArgs(2)),
		ValidArgsFunction: a.completeIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, signal := messages.InstanceID(args[0]), messages.SignalName(args[1])
			if err := signal.Check(); err != nil {
				return usage("%v", err)
			}
			return a.ask(cmd, func(ctx context.Context, client *api.Client) error {
				if id.Validate() != nil {
					return a.unknown(ctx, client, id)
				}
				status, err := client.Signal(ctx, id, signal)
				switch {
				case codeOf(err) == exitUnknown:
					return a.unknown(ctx, client, id)
				case err != nil:
					return err
				}
				if a.output.json() || a.Quiet {
					return control{app: a}.print([]outcome{{status: status}})
				}
				_, err = fmt.Fprintf(a.Stdout, "%s: %s sent; %s\n", id, signal.Plain(), describe(status, time.Now()))
				return err
			})
		},
	}
}
