package main

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Say which procman this is",
		Args:  usages(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			v := versionOf(debug.ReadBuildInfo())
			if a.output.json() {
				return writeLines(a.stdout, v)
			}
			_, err := fmt.Fprintf(a.stdout, "procman %s %s\n", v, v.Go)
			return err
		},
	}
}
