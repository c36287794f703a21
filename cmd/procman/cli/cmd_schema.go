package cli

import (
	"github.com/spf13/cobra"

	"procman/supervisor/config"
)

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the configuration",
		Long: `Print the JSON Schema (draft 2020-12) of the configuration.

Editors that know the YAML language server complete and check the file by it: ` + "`procman schema > procman.schema.json`" + `
beside a file that begins with the line
# yaml-language-server: $schema=./procman.schema.json
as the example of ` + "`procman init`" + ` does.`,
		Args: usages(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			_, err := a.Stdout.Write(config.Schema())
			return err
		},
	}
}
