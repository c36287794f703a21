package cli

import "github.com/spf13/cobra"

func (a *app) runCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Be the daemon, in the foreground",
		Long: `Be the daemon, in the foreground. It logs to stderr.

TERM and INT end it as on_shutdown in the configuration says; a second one at once, without active the instances. HUP
has the configuration read again. QUIT ends it with a stack dump. However it ends, the next daemon finds what still runs.

Under systemd it says when it is ready, what it reloads, that it is alive, and how its instances are; a unit for it must have
KillMode=process, or systemd ends the instances with it.`,
		Example: `  procman run                                      # the configuration is looked for
  procman run -c /etc/procman/procman.yaml
  PROCMAN_CONFIG=apps.yaml procman run 2>>procman.log &`,
		Args: usages(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error { return a.serve() },
	}
}

// serve is the daemon. It waits for a disk for as long as that takes, and says so itself.
func (a *app) serve() error {
	a.isDaemon.Store(true)
	return a.Run()
}
