package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"procman/cmd/procman/daemon"
	"procman/cmd/procman/words"
	"procman/messages"
	"procman/supervisor/api"
	"procman/supervisor/config"
)

func (a *app) planCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "plan",
		Short: "Show what a reload would do; change nothing",
		Long: `Show what a reload would do: the difference between the configuration file and what the daemon runs by. Nothing is
changed. With -c FILE it is that file which is compared, in place of the daemon's own.

  +  an instance would be started
  -  an instance would be stopped
  ~  an instance would be restarted, and why
  =  a policy would be applied to the running process
  !  a key of the daemon's own that takes effect in a new daemon only

The exit code is 0 if nothing would change, and 6 if something would.`,
		Example: "  procman plan\n  procman plan -c new.yaml --socket /var/lib/procman/procman.sock\n  procman plan " +
			"-o json",
		Args: usages(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.ask(cmd, func(ctx context.Context, c *api.Client) error { return a.plan(ctx, c, a.Named()) })
		},
	}
}

func (a *app) plan(ctx context.Context, c *api.Client, file string) error {
	var p api.Plan
	var err error
	if err := c.Healthy(ctx); others(err) {
		// Another file is what a plan is for, but it is said whose list it is compared with.
		a.say("%v", err)
		c.For("")
		if file == "" {
			if file, err = config.Find(a.Config); err != nil {
				return err
			}
		}
	}
	if file == "" {
		p, err = c.Plan(ctx)
	} else {
		var proposal api.Proposal
		done := func() {}
		if !daemon.IsStream(file) {
			done = a.PendingIO.Begin("the configuration " + file)
		}
		proposal, err = daemon.Propose(file)
		if done(); err != nil {
			return err
		}
		p, err = c.PlanOf(ctx, proposal)
	}
	var refusal *api.Error
	switch {
	case errors.As(err, &refusal) && refusal.Code == api.CodeInvalid:
		return fmt.Errorf("the configuration is broken, and a reload would change nothing:\n%w", err)
	case err != nil:
		return err
	}
	if err := a.showPlan(p); err != nil {
		return err
	}
	if p.Empty() {
		return nil
	}
	return exit{code: exitChanges}
}

func (a *app) showPlan(p api.Plan) error {
	switch {
	case a.output == formatLines:
		return writeLines(a.Stdout, p.Changes...)
	case a.output.json():
		return writeDocument(a.Stdout, p)
	}
	_, err := io.WriteString(a.Stdout, planText(p, a.colours()))
	return err
}

// signs are how a plan marks what would be done.
func signOf(d messages.ChangeKind) (sign, ink string) {
	switch d {
	case messages.ChangeStart:
		return "+", green
	case messages.ChangeStop:
		return "-", red
	case messages.ChangeRestart:
		return "~", yellow
	default:
		return "=", ""
	}
}

func planText(p api.Plan, colours bool) string {
	var b strings.Builder
	width := 0
	for _, c := range p.Changes {
		width = max(width, len(c.ID))
	}
	for _, key := range slices.Concat(p.Live, p.Daemon) {
		width = max(width, len(key))
	}
	line := func(sign, ink, name, what string) {
		if ink != "" && colours {
			sign = "\x1b[" + ink + "m" + sign + "\x1b[0m"
		}
		fmt.Fprintf(&b, "%s %-*s  %s\n", sign, width, name, words.Printable(what))
	}
	count := map[messages.ChangeKind]int{}
	for _, c := range p.Changes {
		count[c.Kind]++
		sign, ink := signOf(c.Kind)
		line(sign, ink, string(c.ID), string(c.Kind)+": "+c.Why)
		for _, f := range c.Fields {
			fmt.Fprintf(&b, "    %s: %s\n", words.Printable(f.Field), words.Printable(fromTo(f)))
		}
	}
	for _, key := range p.Live {
		line("=", "", key, "applied live: to every lease from now on; what runs keeps its port until its next start")
	}
	for _, key := range p.Daemon {
		line("!", yellow, key, "has changed; it takes effect in a new daemon only ("+daemon.HowToApply(p.Daemon...)+
			": no instance restarts)")
	}
	var sum []string
	for _, d := range []struct {
		kind messages.ChangeKind
		said string
	}{{messages.ChangeStart, "to start"}, {messages.ChangeStop, "to stop"}, {messages.ChangeRestart, "to restart"},
		{messages.ChangeApply, "applied live"}} {
		if n := count[d.kind]; n > 0 {
			sum = append(sum, fmt.Sprintf("%d %s", n, d.said))
		}
	}
	if p.Empty() {
		sum = []string{"nothing to do: the file and what runs agree"}
	}
	if len(sum) > 0 {
		fmt.Fprintln(&b, strings.Join(sum, ", "))
	}
	return b.String()
}

func fromTo(f messages.FieldChange) string {
	switch {
	case f.From == messages.Masked && f.To == messages.Masked:
		return "changed (a secret)"
	case f.From == "":
		return "set to " + f.To
	case f.To == "":
		return "removed, was " + f.From
	}
	return f.From + " -> " + f.To
}
