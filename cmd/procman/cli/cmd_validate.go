package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"procman/cmd/procman/words"
	"procman/supervisor/config"
)

func (a *app) validateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "validate",
		Short: "Check the configuration",
		Long: `Check the configuration. What is wrong with it is shown with file, line, column and the line itself, and the exit code is 1.
The daemon is not asked, and not told.`,
		Example: `  procman validate -c procman.yaml && procman reload`,
		Args:    usages(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			defer a.TouchConfig()()
			path, err := config.Find(a.Config)
			if err != nil {
				return err
			}
			file, err := config.Load(path)
			if err != nil {
				fmt.Fprintln(a.Stderr, err)
				return exit{code: exitFailed}
			}
			from := ""
			if n := len(file.Includes); n > 0 {
				from = fmt.Sprintf(", with %d included %s", n, words.Plural(n, "file"))
			}
			_, err = fmt.Fprintf(a.Stdout, "%s: ok, %d %s%s\n", path, len(file.Instances),
				words.Plural(len(file.Instances), "instance"), from)
			return err
		},
	}
}
