package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

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
		Example: "  procman plan\n  procman plan -c new.yaml --socket /var/lib/procman/procman.sock\n  procman plan -o json",
		Args:    usages(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			file := a.config
			if file == "" {
				file = a.env("PROCMAN_CONFIG")
			}
			return a.ask(cmd, func(ctx context.Context, c *api.Client) error { return a.plan(ctx, c, file) })
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
			if file, err = config.Find(a.config); err != nil {
				return err
			}
		}
	}
	if file == "" {
		p, err = c.Plan(ctx)
	} else {
		var proposal api.Proposal
		done := func() {}
		if !passing(file) {
			done = a.touches.begin("the configuration " + file)
		}
		proposal, err = propose(file)
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
		return writeLines(a.stdout, p.Changes...)
	case a.output.json():
		return writeDocument(a.stdout, p)
	}
	_, err := io.WriteString(a.stdout, planText(p, a.colours()))
	return err
}

// signs are how a plan marks what would be done.
func signOf(d messages.Deed) (sign, ink string) {
	switch d {
	case messages.DeedStart:
		return "+", green
	case messages.DeedStop:
		return "-", red
	case messages.DeedRestart:
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
		fmt.Fprintf(&b, "%s %-*s  %s\n", sign, width, name, printable(what))
	}
	count := map[messages.Deed]int{}
	for _, c := range p.Changes {
		count[c.Deed]++
		sign, ink := signOf(c.Deed)
		line(sign, ink, string(c.ID), string(c.Deed)+": "+c.Why)
		for _, f := range c.Fields {
			fmt.Fprintf(&b, "    %s: %s\n", printable(f.Field), printable(fromTo(f)))
		}
	}
	for _, key := range p.Live {
		line("=", "", key, "applied live: to every lease from now on; what runs keeps its port until its next start")
	}
	for _, key := range p.Daemon {
		line("!", yellow, key, "has changed; it takes effect in a new daemon only ("+newDaemon(p.Daemon...)+": no instance restarts)")
	}
	var sum []string
	for _, d := range []struct {
		deed messages.Deed
		said string
	}{{messages.DeedStart, "to start"}, {messages.DeedStop, "to stop"}, {messages.DeedRestart, "to restart"}, {messages.DeedApply, "applied live"}} {
		if n := count[d.deed]; n > 0 {
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

// propose reads a configuration and all that it names, for a daemon that opens none of it.
func propose(path string) (api.Proposal, error) {
	whole, err := filepath.Abs(path)
	if err != nil {
		return api.Proposal{}, err
	}
	text, err := config.Read(whole)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w; `procman init %s` writes an example there", err, messages.ShellWord(path))
	}
	if err != nil {
		return api.Proposal{}, err
	}
	p := api.Proposal{Config: whole, Files: map[string]api.ProposedFile{}, Dirs: map[string]api.ProposedDir{}}
	host := config.ThisHost()
	readFile, readDir := host.ReadFile, host.ReadDir
	host.ReadFile = func(path string) ([]byte, error) {
		text, err := readFile(path)
		p.Files[path] = api.ProposedFile{Text: text, Error: bare(err), Missing: errors.Is(err, fs.ErrNotExist)}
		return text, err
	}
	host.ReadDir = func(path string) ([]string, error) {
		names, err := readDir(path)
		p.Dirs[path] = api.ProposedDir{Names: names, Error: bare(err), Missing: errors.Is(err, fs.ErrNotExist)}
		return names, err
	}
	// What is wrong with it is found, and told, by the daemon: with its own environment.
	_, _ = config.Parse(whole, text, host)
	p.Files[whole] = api.ProposedFile{Text: text}
	return p, nil
}

// bare is an error without the path that it is about.
func bare(err error) string {
	var at *fs.PathError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &at):
		return at.Err.Error()
	}
	return err.Error()
}

// proposed is the host of a proposal: it has the files that were sent, and no others.
func proposed(p api.Proposal) config.Host {
	failed := func(path, why string, missing bool) error {
		err := errors.New(why)
		if missing {
			err = fs.ErrNotExist
		}
		return &fs.PathError{Op: "read", Path: path, Err: err}
	}
	h := config.DaemonHost()
	h.ReadFile = func(path string) ([]byte, error) {
		f, sent := p.Files[path]
		switch {
		case !sent:
			return nil, failed(path, "it was not sent with the configuration", false)
		case f.Error != "":
			return nil, failed(path, f.Error, f.Missing)
		}
		return f.Text, nil
	}
	h.ReadDir = func(path string) ([]string, error) {
		d, sent := p.Dirs[path]
		switch {
		case !sent:
			return nil, failed(path, "it was not sent with the configuration", false)
		case d.Error != "":
			return nil, failed(path, d.Error, d.Missing)
		}
		return d.Names, nil
	}
	return h
}

// plan compares a configuration with what the daemon runs by; nil is its own file.
func (d *daemon) plan(_ context.Context, p *api.Proposal) (api.Plan, error) {
	inUse := d.provider.inUse
	path, host := inUse.Path, config.DaemonHost()
	if p != nil {
		path, host = p.Config, proposed(*p)
	}
	text, err := host.ReadFile(path)
	if err != nil {
		return api.Plan{}, fmt.Errorf("the configuration cannot be read: %w", err)
	}
	file, err := config.Parse(path, text, host)
	if err != nil {
		return api.Plan{}, err
	}
	changes, err := d.supervisor.Preview(file.Instances)
	if err != nil {
		return api.Plan{}, err
	}
	daemon := config.RestartNeeded(inUse, file)
	if daemon == nil {
		daemon = []string{}
	}
	live := []string{}
	if file.Ports != d.provider.leasing() {
		live = append(live, "ports")
	}
	return api.Plan{Config: path, Changes: changes, Live: live, Daemon: daemon}, nil
}

// newDaemon says how a changed key comes into force without a restart of any instance. What runs is known by the records in
// the state directory: they have to come with it. An upgrade keeps the process, and with it the service that it may be; but
// whoever waits for its answer looks for the socket.
func newDaemon(keys ...string) string {
	const started = "then `procman run` (a service: `systemctl start`)"
	switch {
	case slices.Contains(keys, "state_dir"):
		return "`procman detach`, then `mv` the state directory to where state_dir says, " + started
	case slices.Contains(keys, "socket"):
		return "`procman detach`, " + started
	}
	return "`procman upgrade`"
}
