package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"procman/cmd/procman/daemon"
	"procman/supervisor/config"
)

func (a *app) manCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "man [DIR]",
		Short: "Write the manual pages",
		Long: `Write the manual pages, one for each command and one for the configuration, into the directory, or into this one.

They carry no date, unless SOURCE_DATE_EPOCH says one: the same program writes the same pages.`,
		Example: "  procman man /usr/local/share/man/man1",
		Args:    usages(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			n, err := a.writeManual(cmd.Root(), dir)
			if err != nil {
				return fmt.Errorf("the manual pages cannot be written: %w", err)
			}
			a.say("%d manual pages are in %s; `man -l %s` shows the first", n, dir, filepath.Join(dir, "procman.1"))
			return nil
		},
	}
}

// all returns a command with those below it.
func all(cmd *cobra.Command) []*cobra.Command {
	list := []*cobra.Command{cmd}
	for _, c := range cmd.Commands() {
		list = append(list, all(c)...)
	}
	return list
}

// writeManual writes a page for every command that is not hidden and one for the configuration, and returns how many.
func (a *app) writeManual(root *cobra.Command, dir string) (int, error) {
	date := time.Unix(0, 0).UTC()
	if epoch, err := strconv.ParseInt(a.Env("SOURCE_DATE_EPOCH"), 10, 64); err == nil {
		date = time.Unix(epoch, 0).UTC()
	}
	root.DisableAutoGenTag = true
	n := 0
	for _, cmd := range all(root) {
		if !cmd.IsAvailableCommand() && cmd != root {
			continue
		}
		name := strings.ReplaceAll(cmd.CommandPath(), " ", "-")
		header := &doc.GenManHeader{
			Title: strings.ToUpper(name), Section: "1", Date: &date,
			Source: "procman " + daemon.VersionOf(debug.ReadBuildInfo()).Version, Manual: "procman",
		}
		page, err := os.Create(filepath.Join(dir, name+".1"))
		if err != nil {
			return n, err
		}
		err = doc.GenMan(cmd, header, page)
		if closed := page.Close(); err == nil {
			err = closed
		}
		if err != nil {
			return n, err
		}
		n++
	}
	return n + 1, os.WriteFile(filepath.Join(dir, "procman.yaml.5"), config.Manual(date), 0o644)
}
