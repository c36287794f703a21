package cli

import (
	"github.com/spf13/cobra"

	"procman/supervisor/api"
)

func (a *app) shutdownCommand() *cobra.Command {
	return a.endCommand(ending{"shutdown", "End the daemon and stop all instances",
		", which takes as long as its instances take to stop", api.ModeStop})
}
