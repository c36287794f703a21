package cli

import (
	"github.com/spf13/cobra"

	"procman/messages"
	"procman/supervisor/api"
)

func (a *app) stopCommand() *cobra.Command {
	return a.controlCommand(verb{
		name: "stop", past: "stopped", short: "Stop instances, and hold them down until start",
		long: "Stop instances, and hold them down until they are started by `procman start`, also when the daemon is " +
			"started anew.",
		do:   (*api.Client).Stop,
		goal: func(messages.Status) goal { return goal{state: goalStopped} },
		example: `  procman stop users --wait      # until it has ended
  procman stop --all --wait      # the daemon goes on, with nothing to do until start`,
	})
}
