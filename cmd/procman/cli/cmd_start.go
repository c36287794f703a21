package cli

import (
	"github.com/spf13/cobra"

	"procman/messages"
	"procman/supervisor/api"
)

func (a *app) startCommand() *cobra.Command {
	return a.controlCommand(verb{
		name: "start", past: "started", short: "Start instances, and end a hold",
		long: "Start instances. An operator's hold on them ends; one that waits for its next attempt, or was given " +
			"up, is started now.",
		do:   (*api.Client).Start,
		goal: func(messages.Status) goal { return goal{state: goalHealthy} },
		example: `  procman start users
  procman start --all --wait     # until all are healthy, or the exit code says otherwise`,
	})
}
