package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"procman/actors/cgroup"
	"procman/actors/spawn"
	"procman/cmd/procman/daemon"
	"procman/cmd/procman/doctor"
	"procman/cmd/procman/words"
	"procman/messages"
	"procman/supervisor/api"
	"procman/supervisor/config"
)

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Find what on this host would void adoption or harm operation, and say what to do",
		Long: `Find what on this host would void adoption or harm operation, and say what to do.

It examines the daemon that runs, or, if none answers, what one started from here would get. It changes nothing. The exit
code is 1 if there is a fault: something that procman promises does not hold here. --quiet leaves out what is ok.`,
		Args: usages(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := a.doctorOptions(cmd.Context())
			if err != nil {
				return err
			}
			done := a.PendingIO.Begin("the state directory " + string(o.StateDir))
			facts, err := doctor.Look(cmd.Context(), o)
			done()
			if err != nil {
				return err
			}
			findings := append(doctor.Examine(facts), a.distrusted(facts.Dir)...)
			if err := a.showFindings(findings); err != nil {
				return err
			}
			for _, f := range findings {
				if f.Verdict == doctor.Fault {
					return exit{code: exitFailed}
				}
			}
			return nil
		},
	}
}

// distrusted is what of the configuration others than the daemon's user could change or read: that is whose state
// directory it is.
func (a *app) distrusted(dir doctor.Dir) []doctor.Finding {
	_, file, err := a.silently().Load()
	if err != nil {
		return nil // said already
	}
	uid := os.Geteuid()
	if dir.Exists && dir.Owner != 0 {
		uid = int(dir.Owner)
	}
	return daemon.Distrust(file, uid)
}

// patient returns what the doctor is to look at: by the configuration, and the daemon's own word.
func (a *app) doctorOptions(ctx context.Context) (o doctor.Options, err error) {
	o = doctor.Options{Brief: brief()}
	file, err := a.examined(&o.Config)
	if err != nil {
		return o, err
	}
	o.Wants = doctor.Wants{Instances: len(file.Instances), First: file.Ports.First, Last: file.Ports.Last,
		Hold: file.Ports.Hold, Output: file.Output.MaxSize, Total: file.Output.Total}
	at, err := a.silently().place()
	if err != nil {
		at = place{socket: file.Socket, dir: file.StateDir}
	}
	o.Wants.Bounded = bounded(file.Instances)
	o.Cgroups = func(pid int) doctor.Cgroups { return doctor.Cgroups(cgroup.Examine(pid)) }
	o.Socket, o.StateDir = at.socket, at.dir
	defer func() {
		dir := messages.StateDir(o.Daemon.StateDir)
		if dir == "" {
			dir = o.StateDir
		}
		o.Fleet = fleetFacts(ctx, file.Fleet, dir, a.FleetStore)
		others, _ := spawn.Elsewhere(ctx, dir, file.Instances) // a /proc that cannot be read is found out elsewhere
		for _, p := range others {
			o.Foreign = append(o.Foreign, doctor.Foreign{ID: string(p.ID), Dir: string(p.Dir), PID: p.PID,
				Manager: p.Manager, Socket: p.Socket})
		}
	}()
	client := api.NewClient(at.socket)
	defer client.Close()
	d, err := a.instances(ctx, client, answerTime)
	if err != nil {
		o.Daemon.Err, o.Daemon.Owner = err, spawn.Owner(at.dir)
		return o, nil
	}
	o.Daemon = doctor.Daemon{Answers: true, PID: d.Manager.PID, StateDir: string(d.Manager.StateDir)}
	if at.config != "" && d.Manager.Config != "" && !api.SameFile(at.config, d.Manager.Config) {
		o.Daemon.Other = d.Manager.Config
	}
	if o.StateDir == "" {
		o.StateDir = d.Manager.StateDir
	}
	o.Wants.Instances = max(o.Wants.Instances, len(d.Instances))
	for _, s := range d.Instances {
		if s.PID != 0 {
			o.Children = append(o.Children, s.PID)
			if s.Adopted {
				o.Adopted = append(o.Adopted, s.PID)
			}
		}
	}
	return o, nil
}

// bounded returns which of the instances need which controller of cgroups.
func bounded(list []*messages.AppInstance) map[string][]string {
	need := map[string][]string{}
	for _, a := range list {
		for _, name := range cgroup.Controllers(a.Bounds()) {
			need[name] = append(need[name], string(a.InstanceID))
		}
	}
	return need
}

// examined returns the configuration that is found, or the last good one in its place, or else what a configuration
// says that says nothing, and notes which.
func (a *app) examined(c *doctor.Config) (*config.File, error) {
	defer a.TouchConfig()()
	path, err := config.Find(a.Config)
	switch {
	case errors.Is(err, config.ErrNotFound) && a.Config == "" && a.Env("PROCMAN_CONFIG") == "":
		return daemon.DefaultFile()
	case err != nil:
		return nil, err
	}
	file, err := config.Load(path)
	if c.Path = path; err == nil {
		return file, nil
	}
	var broken config.Errors
	if c.Err = err; errors.As(err, &broken) {
		c.Err = errors.New(broken[0].Head())
	}
	defer a.PendingIO.Begin("a state directory that may have the last good one of " + path)()
	if good, at, _ := daemon.FindLastGood(path, a.Env); good != nil { // that it cannot be used is as good as none
		c.Kept = at.Format(time.RFC3339)
		return good, nil
	}
	return daemon.DefaultFile()
}

// brief is this program, doing something that ends at once.
func brief() []string {
	self, err := os.Executable()
	if err != nil {
		return nil // the trial that needs it is not made
	}
	return []string{self, "version"}
}

func (a *app) showFindings(findings []doctor.Finding) error {
	shown := make([]doctor.Finding, 0, len(findings))
	for _, f := range findings {
		if !a.Quiet || f.Verdict != doctor.OK {
			shown = append(shown, f)
		}
	}
	switch a.output {
	case formatJSON:
		return writeDocument(a.Stdout, struct {
			Schema   int              `json:"schema"`
			Findings []doctor.Finding `json:"findings"`
		}{api.Schema, shown})
	case formatLines:
		return writeLines(a.Stdout, shown...)
	}
	_, err := io.WriteString(a.Stdout, report(shown, a.colours()))
	return err
}

// report lays the findings out, one line each; what follows from one and what to do about it stand below it.
func report(findings []doctor.Finding, colours bool) string {
	width := 0
	for _, f := range findings {
		width = max(width, len(f.Check))
	}
	inks := map[doctor.Verdict]string{doctor.Fault: red, doctor.Warning: yellow, doctor.OK: green}
	var b strings.Builder
	for _, f := range findings {
		verdict := fmt.Sprintf("%-7s", f.Verdict)
		if ink := inks[f.Verdict]; ink != "" && colours {
			verdict = "\x1b[" + ink + "m" + verdict + "\x1b[0m"
		}
		fmt.Fprintf(&b, "%s  %-*s  %s\n", verdict, width, f.Check, words.Printable(f.What))
		margin := strings.Repeat(" ", 9)
		if f.Means != "" {
			fmt.Fprintf(&b, "%smeans: %s\n", margin, words.Printable(f.Means))
		}
		head := "do:    "
		for line := range strings.Lines(f.Do) {
			fmt.Fprintf(&b, "%s%s%s\n", margin, head, words.Printable(strings.TrimSuffix(line, "\n")))
			head = "       "
		}
	}
	return b.String()
}
