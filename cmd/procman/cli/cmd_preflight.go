package cli

import "github.com/spf13/cobra"

// preflightCommand is asked of a new binary by the daemon that it is to replace.
func (a *app) preflightCommand() *cobra.Command {
	return &cobra.Command{
		Use: "preflight", Hidden: true,
		Short: "Say whether this binary could take over from the daemon that runs",
		Args:  usages(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			goesOn, err := a.Preflight()
			if !goesOn {
				return err
			}
			return a.serve()
		},
	}
}
