package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"procman/actors/spawn"
	"procman/messages"
	"procman/supervisor"
	"procman/supervisor/api"
	"procman/supervisor/config"
)

// lockVariable names the descriptor by which the program that replaces a daemon's inherits the lock on the state directory.
const lockVariable = "PROCMAN_LOCK_FD"

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
				now, err := succeeded(ctx, c, u.Manager)
				switch {
				case err != nil:
					return err
				case now.UpgradeFailed != "":
					return fmt.Errorf("the daemon, pid %d, goes on as it was: %s", now.PID, now.UpgradeFailed)
				case a.output.json():
					return writeLines(a.stdout, now)
				case !a.quiet:
					executed := ""
					if u.Program != "" {
						executed = "; it executed " + printable(u.Program)
					}
					_, err = fmt.Fprintf(a.stdout, "the daemon, pid %d, was %s and is %s%s\n", now.PID, u.Manager.Version, now.Version, executed)
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
		process := watchProcess(before.PID)
		defer process.close()
		gone = process.ended
	}
	look := time.NewTicker(goneEvery)
	defer look.Stop()
	for {
		if gone() {
			return api.Manager{}, fmt.Errorf("the daemon, pid %d, has ended while it was replaced: a signal or the new program ended it, and its log says which. "+
				"Instances run on, and `procman run` adopts them", before.PID)
		}
		d, err := c.Instances(ctx)
		if err == nil && !d.Manager.StartedAt.Equal(before.StartedAt) {
			return d.Manager, nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return api.Manager{}, fmt.Errorf("the new daemon, pid %d, does not answer; its log may say why. If it hangs, end it by `kill -9`: instances run on, "+
				"and `procman run` adopts them: %w", before.PID, ctx.Err())
		}
	}
}

// preflightCommand is asked of a new binary by the daemon that it is to replace.
func (a *app) preflightCommand() *cobra.Command {
	return &cobra.Command{
		Use: "preflight", Hidden: true,
		Short: "Say whether this binary could take over from the daemon that runs",
		Args:  usages(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			stand := a.env(standVariable) != ""
			var e ears
			if stand {
				_ = os.Unsetenv(standVariable) // fails for names that are none
				e = newEars()
				e.open()
			}
			_, file, err := a.load()
			if err != nil {
				return err
			}
			if err := spawn.Check(file.StateDir); err != nil {
				return fmt.Errorf("the state directory cannot be taken over: %w", err)
			}
			if !stand {
				_, err = fmt.Fprintln(a.stdout, preflightAnswer)
				return err
			}
			if goesOn, err := a.standBy(e, guardTime); !goesOn {
				return err
			}
			a.ears, a.standsIn = e, true
			return a.run()
		},
	}
}

// unfit says why a successor would know less than this daemon does.
func (d *daemon) unfit() error {
	if err := d.spawner.Stalled(); err != nil {
		return fmt.Errorf("%w; a new program could not read what it must know", err)
	}
	all, _ := d.supervisor.Status(context.Background()) // it has no error: it is a snapshot
	for _, s := range all {
		if s.Unsaved != "" {
			return fmt.Errorf("instance %q: what a new program must know is %s", string(s.ID), s.Unsaved)
		}
	}
	return nil
}

// upgrade asks the binary on disk whether it can take over, and then has the daemon make room for it.
func (d *daemon) upgrade(ctx context.Context) (program string, err error) {
	if err := d.unfit(); err != nil {
		return "", fmt.Errorf("nothing was changed: %w", err)
	}
	if err := d.spawner.Keep(); err != nil { // the successor finds the lock and the records where it looks for them
		return "", fmt.Errorf("nothing was changed: %w", err)
	}
	next, err := d.origin.successor()
	if err != nil {
		return "", err
	}
	if err := d.staysAt(d.provider.File().Path); err != nil {
		return "", err
	}
	if next.guard, err = next.check(ctx, d.origin.args("preflight", d.provider.File())); err != nil {
		return "", fmt.Errorf("%s cannot take over, and nothing was changed: %w", next.program, err)
	}
	select {
	case d.upgrades <- next:
		by := supervisor.Operator(ctx)
		d.tell(messages.Event{What: messages.OperatorActed, By: by, Command: "upgrade", Why: next.program})
		return next.program, nil
	default:
		next.guard.dismiss()
		return "", errors.New("an upgrade is under way")
	}
}

// staysAt reports why a successor that reads the file could not take over what this daemon has: the lock is on this state
// directory.
func (d *daemon) staysAt(path string) error {
	file, err := config.LoadFor(path, config.DaemonHost())
	if err != nil {
		return nil // what is wrong with it the successor says better
	}
	was, now := d.spawner.Dir(), file.StateDir // a name of it may be a link that means another by now
	if a, err := os.Stat(string(was)); err == nil {
		if b, err := os.Stat(string(now)); err == nil && os.SameFile(a, b) {
			return nil
		}
	}
	if real, err := filepath.EvalSymlinks(string(now)); err == nil {
		now = messages.StateDir(real)
	}
	return fmt.Errorf("state_dir means %s now, and the daemon holds %s: an upgrade cannot move it, and nothing was changed; put state_dir back", now, was)
}

// inherited returns the lock that a predecessor in this process has left; nil if there is none. No child may see the
// variable.
func inherited(env func(string) string) (*os.File, error) {
	text := env(lockVariable)
	if text == "" {
		return nil, nil
	}
	if err := os.Unsetenv(lockVariable); err != nil {
		return nil, err
	}
	fd, err := strconv.Atoi(text)
	if err != nil || fd < 3 {
		return nil, fmt.Errorf("%s is %q; it is for procman's own use", lockVariable, text)
	}
	return os.NewFile(uintptr(fd), "lock"), nil
}
