package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"procman/cmd/procman/daemon"
	"procman/cmd/procman/words"
	"procman/messages"
	"procman/supervisor/api"
	"procman/supervisor/events"
)

// ending is one of the ways to end the daemon.
type ending struct {
	name, short, takes string
	mode               api.Mode
}

func (a *app) endCommand(e ending) *cobra.Command {
	var timeout time.Duration
	var noWait bool
	cmd := &cobra.Command{
		Use: e.name, Short: e.short,
		Long: e.short + ". It returns when the daemon has ended" + e.takes + `.

systemd does not start it again, if the unit is procman's own: it has ended as it was told to. ` + "`systemctl start`" + ` does.`,
		Args: usages(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.ask(cmd, func(ctx context.Context, c *api.Client) error {
				if timeout > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, timeout)
					defer cancel()
				}
				line := a.progress(0, "the daemon ends")
				defer line.Close()
				look := func() {
					if line.bar == nil || e.mode != api.ModeStop {
						return
					}
					if d, err := c.Instances(ctx); err == nil { // else it has ended, as will show
						line.left(d.Instances, goalStopped)
					}
				}
				look()
				said, err := c.Shutdown(ctx, e.mode)
				if err != nil {
					return err
				}
				done := "is told to end"
				if !noWait {
					err := gone(ctx, c, said.Manager.PID, look)
					line.Close()
					if errors.Is(err, errRemains) {
						return fmt.Errorf("the daemon, pid %d, has ended its work; but %w", said.Manager.PID, err)
					}
					if err != nil {
						return fmt.Errorf("the daemon, pid %d, has not ended after %v; it goes on ending: %w",
							said.Manager.PID, timeout, err)
					}
					done = "has ended" + a.endReport(ctx, said.Manager)
				}
				switch {
				case a.output.json():
					return writeLines(a.Stdout, said)
				case !a.Quiet:
					_, err = fmt.Fprintf(a.Stdout, "the daemon, pid %d, %s\n", said.Manager.PID, done)
				}
				return err
			})
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "how long it may take; 0: any time")
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "return when the daemon has accepted it")
	return cmd
}

// goneEvery is how often it is looked whether the daemon has ended.
const goneEvery = 20 * time.Millisecond

// remainsTime is how long the kernel may take to end a process that has ended itself.
const remainsTime = 3 * time.Second

// errRemains says that a process has ended itself, and that the kernel cannot end it: a thread of it waits for a disk.
// Its socket and its lock are open until then.
var errRemains = errors.New(
	"what is left of its process waits in the kernel for a disk or mount that does not answer; " +
		"until that does, its state directory may stay locked")

// gone returns when the daemon does not answer any more and its process has ended, or when that is errRemains.
// While it answers, meanwhile is called now and then.
func gone(ctx context.Context, c *api.Client, pid int, meanwhile func()) error {
	process := daemon.WatchProcess(pid)
	defer process.Close()
	look := time.NewTicker(goneEvery)
	defer look.Stop()
	var remains time.Time // since when
	looked := time.Now()
	for silent := false; ; {
		if !silent {
			asking, cancel := context.WithTimeout(ctx, time.Second)
			silent = errors.Is(c.Healthy(asking), api.ErrUnreachable)
			cancel()
			if !silent && time.Since(looked) > progressEvery {
				meanwhile()
				looked = time.Now()
			}
		}
		if silent && process.Ended() {
			return nil
		}
		switch {
		case !process.Remains():
			remains = time.Time{}
		case remains.IsZero():
			remains = time.Now()
		case time.Since(remains) > remainsTime:
			return errRemains
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// endReport is what the daemon itself says in its event log of what it left; it has ended.
func (a *app) endReport(ctx context.Context, m api.Manager) string {
	said := ""
	if strings.HasPrefix(a.Socket, "http://") {
		return "" // its state directory is that of another host
	}
	for logged, err := range events.ReadFile(ctx, m.StateDir.Events(), messages.EventQuery{Last: 8}) {
		if err != nil {
			break
		}
		e, err := logged.Event()
		switch {
		case err != nil:
		case e.What == messages.ManagerStopped && !e.At.Before(m.StartedAt):
			said = e.Why
		case e.What == messages.ManagerStarted:
			said = "" // of another
		}
	}
	if said == "" {
		return "; its log says what became of its instances"
	}
	return ", " + words.Printable(said)
}
