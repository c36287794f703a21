package cli

import (
	"github.com/spf13/cobra"

	"procman/messages"
	"procman/supervisor/api"
)

func (a *app) restartCommand() *cobra.Command {
	return a.controlCommand(verb{
		name: "restart", past: "restarted", short: "Give instances a new process",
		long: `Give instances a new process each. With --wait --max-parallel N no more than N of them are down at a time, and the first that
does not come back healthy keeps the others from being touched. --all leaves those alone that an operator has stopped.`,
		do:   (*api.Client).Restart,
		goal: func(before messages.Status) goal { return goal{state: goalHealthy, after: before.Run} },
		passes: func(s messages.Status) string {
			if s.Held {
				return "held down by an operator, and left so; `procman start` ends that"
			}
			return ""
		},
		example: `  procman restart users --wait
  procman restart --all --wait --max-parallel 2 --timeout 10m     # a rolling restart`,
	})
}
