package cli

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"

	"procman/cmd/procman/daemon"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Say which procman this is",
		Args:  usages(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			v := daemon.VersionOf(debug.ReadBuildInfo())
			if a.output.json() {
				return writeLines(a.Stdout, v)
			}
			_, err := fmt.Fprintf(a.Stdout, "procman %s %s\n", v, v.Go)
			return err
		},
	}
}
