package cli

import (
	"github.com/spf13/cobra"

	"procman/messages"
	"procman/supervisor/config"
)

func (a *app) initCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "init [FILE]",
		Short: "Write a commented example configuration; never overwrites",
		Long: `Write a commented example configuration to a file, by default procman.yaml in the working directory. A file that exists is never
overwritten.`,
		Example: `  procman init && procman run
  procman init /etc/procman/procman.yaml`,
		Args: usages(cobra.MaximumNArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			path := "procman.yaml"
			switch {
			case len(args) == 1:
				path = args[0]
			case a.Config != "":
				path = a.Config
			}
			if err := config.Init(path); err != nil {
				return err
			}
			a.say("an example is in %s; edit its instances, then `procman run -c %s`", path, messages.ShellWord(path))
			return nil
		},
	}
}
