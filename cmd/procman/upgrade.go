package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"procman/actors/spawn"
	"procman/messages"
	"procman/supervisor"
	"procman/supervisor/api"
)

// lockVariable names the descriptor by which the program that replaces a daemon's inherits the lock on the state directory.
const lockVariable = "PROCMAN_LOCK_FD"

func (a *app) upgradeCommand() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "upgrade",
		Short: "Replace the running daemon by the binary on disk; no instance restarts",
		Long: `Replace the running daemon by the binary on disk, under the same pid: no instance restarts, and none ceases to be a child of
it. The new binary is first asked whether it can take over: whether it starts, reads the configuration and knows the
records in the state directory. If not, the daemon stays as it is.`,
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
				case a.output.json():
					return writeLines(a.stdout, now)
				case !a.quiet:
					_, err = fmt.Fprintf(a.stdout, "the daemon, pid %d, was %s and is %s\n", now.PID, u.Manager.Version, now.Version)
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
	look := time.NewTicker(goneEvery)
	defer look.Stop()
	for {
		d, err := c.Instances(ctx)
		if err == nil && !d.Manager.StartedAt.Equal(before.StartedAt) {
			return d.Manager, nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return api.Manager{}, fmt.Errorf("the new daemon does not answer; its log says why. Instances run on, and `procman run` adopts them: %w", ctx.Err())
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
			_, file, err := a.load()
			if err != nil {
				return err
			}
			if err := spawn.Check(file.StateDir); err != nil {
				return fmt.Errorf("the state directory cannot be taken over: %w", err)
			}
			_, err = fmt.Fprintln(a.stdout, preflightAnswer)
			return err
		},
	}
}

// preflightAnswer is what a binary says that can take over. Any other program may exit with 0, too.
const preflightAnswer = "procman can take over"

// preflightTime is how long a new binary may take to answer.
const preflightTime = 20 * time.Second

// upgrade asks the binary on disk whether it can take over, and then has the daemon make room for it.
func (d *daemon) upgrade(ctx context.Context) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("the binary on disk cannot be found: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, preflightTime)
	defer cancel()
	var stdout, stderr bytes.Buffer
	preflight := exec.CommandContext(ctx, program, "preflight", "-c", d.provider.File().Path)
	preflight.Stdout, preflight.Stderr = &stdout, &stderr
	preflight.WaitDelay = time.Second
	if err := preflight.Run(); err != nil || strings.TrimSpace(stdout.String()) != preflightAnswer {
		if err == nil {
			err = errors.New("it is no procman that knows how to")
		}
		return fmt.Errorf("%s cannot take over, and nothing was changed: %w\n%s", program, err, strings.TrimSpace(stderr.String()))
	}
	select {
	case d.upgrades <- program:
		by := supervisor.Operator(ctx)
		d.log.Info(string(messages.OperatorActed), "command", "upgrade", "by", by)
		d.happened(messages.OperatorActed, by, "upgrade", "")
		return nil
	default:
		return errors.New("an upgrade is under way")
	}
}

// replace puts the program in the place of this one. It returns only if that fails.
func replace(program string, lock *os.File, store *fdStore) error {
	env := append(os.Environ(), lockVariable+"="+strconv.Itoa(int(lock.Fd())))
	names, release, err := store.bequeath()
	defer release()
	if err == nil && names != "" { // without them what is stored is stored anew
		env = append(env, names)
	}
	return fmt.Errorf("%s could not be executed: %w", program, syscall.Exec(program, os.Args, env))
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
