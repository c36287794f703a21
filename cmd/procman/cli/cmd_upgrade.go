package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"procman/cmd/procman/daemon"
	"procman/cmd/procman/words"
	"procman/supervisor/api"
)

func (a *app) upgradeCommand() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "upgrade",
		Short: "Replace the running daemon by the binary on disk; no instance restarts",
		Long: `Replace the running daemon by the binary on disk, under the same pid: no instance restarts, and none ceases to be a child of
it. The binary is looked for anew, as the daemon's own was when it was started: by its path, whose links are followed anew, or
in the daemon's PATH. It is first asked whether it can take over: whether it starts, reads the configuration and knows the
records in the state directory. If not, the daemon stays as it is.

A signal that comes meanwhile is for the new daemon: a HUP has it read the configuration, a TERM ends it as on_shutdown says. The
program that was asked stands by until the new daemon has taken over: if that fails, or a signal ends it before it can hear
one, the program goes on in its place, under its own pid (under systemd only to carry out what a TERM wants).`,
		Example: `  install -m 755 procman.new /usr/local/bin/procman && procman upgrade`,
		Args:    usages(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.ask(cmd, func(ctx context.Context, c *api.Client) error {
				ctx, cancel := context.WithTimeout(ctx, timeout)
				defer cancel()
				u, err := c.Upgrade(ctx)
				if err != nil {
					return err
				}
				line := a.progress(0, "the new daemon takes over")
				now, err := succeeded(ctx, c, u.Manager)
				line.Close()
				switch {
				case err != nil:
					return err
				case now.UpgradeFailed != "":
					return fmt.Errorf("the daemon, pid %d, goes on as it was: %s", now.PID, now.UpgradeFailed)
				case a.output.json():
					return writeLines(a.Stdout, now)
				case !a.Quiet:
					executed := ""
					if u.Program != "" {
						executed = "; it executed " + words.Printable(u.Program)
					}
					_, err = fmt.Fprintf(a.Stdout, "the daemon, pid %d, was %s and is %s%s\n", now.PID,
						u.Manager.Version, now.Version, executed)
				}
				return err
			})
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long it may take")
	return cmd
}

// succeeded waits until another daemon than before answers.
func succeeded(ctx context.Context, c *api.Client, before api.Manager) (api.Manager, error) {
	gone := func() bool { return false }
	if c.Local() { // an upgrade keeps the process
		process := daemon.WatchProcess(before.PID)
		defer process.Close()
		gone = process.Ended
	}
	look := time.NewTicker(goneEvery)
	defer look.Stop()
	for {
		if gone() {
			return api.Manager{}, fmt.Errorf("the daemon, pid %d, has ended while it was replaced: a signal or the "+
				"new program ended it, and its log says which. "+
				"Instances run on, and `procman run` adopts them", before.PID)
		}
		d, err := c.Instances(ctx)
		if err == nil && !d.Manager.StartedAt.Equal(before.StartedAt) {
			return d.Manager, nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return api.Manager{}, fmt.Errorf("the new daemon, pid %d, does not answer; its log may say why. If it "+
				"hangs, end it by `kill -9`: instances run on, "+
				"and `procman run` adopts them: %w", before.PID, ctx.Err())
		}
	}
}
