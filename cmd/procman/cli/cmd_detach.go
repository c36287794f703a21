package cli

import (
	"github.com/spf13/cobra"

	"procman/supervisor/api"
)

func (a *app) detachCommand() *cobra.Command {
	return a.endCommand(ending{"detach", "End the daemon and leave all instances running",
		"; the next daemon adopts what still runs", api.ModeLeave})
}
