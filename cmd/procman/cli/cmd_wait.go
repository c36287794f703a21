package cli

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"procman/messages"
	"procman/supervisor/api"
)

// waitVerb does nothing, and waits for the state.
func waitVerb(state string) verb {
	return verb{
		name: "wait",
		do:   (*api.Client).Instance,
		goal: func(messages.Status) goal { return goal{state: state} },
		passes: func(s messages.Status) string {
			switch {
			case state == goalStopped:
			case s.Held:
				return "held down by an operator, and not waited for"
			case s.Disabled:
				return "disabled in the configuration, and not waited for"
			}
			return ""
		},
	}
}

func (a *app) waitCommand() *cobra.Command {
	c := control{app: a, wait: true}
	state, states := "", []string{goalRunning, goalHealthy, goalStopped}
	cmd := &cobra.Command{
		Use:   "wait [ID...|-l SELECTOR]",
		Short: "Return when instances are running, healthy or stopped",
		Long: `Return when instances are running (have answered healthy since they were started), healthy (their last probe said so) or
stopped. Without an id it is all instances, or all with such labels, but for those that are held down or disabled.

The exit code is 0 when all are there, 3 when one ended up otherwise and will not get there by itself, and 124 when it took
longer than --timeout.`,
		Example:           "  procman wait --timeout 60s\n  procman wait users --for stopped",
		ValidArgsFunction: a.completeIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case !slices.Contains(states, state):
				return usage("--for is %q; it must be running, healthy or stopped", state)
			case c.timeout < 0:
				return usage("--timeout must not be negative")
			}
			c.verb, c.all = waitVerb(state), len(args) == 0
			return a.ask(cmd, func(ctx context.Context, client *api.Client) error { return c.run(ctx, client, args) })
		},
	}
	a.selects(cmd)
	f := cmd.Flags()
	f.StringVar(&state, "for", goalHealthy, "what is waited for: running, healthy or stopped")
	f.DurationVar(&c.timeout, "timeout", 0, "how long it may take; 0: any time")
	completeWords(cmd, "for", states...)
	return cmd
}
