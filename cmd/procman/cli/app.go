package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"procman/cmd/procman/daemon"
	"procman/cmd/procman/systemd"
	"procman/supervisor/fleet/leash"
)

// Main runs the command line and returns its exit code. Nothing is read from stdin. store opens what the hosts of a
// fleet share; nil: this program has no part in one.
func Main(args []string, stdout, stderr io.Writer, env func(string) string, store daemon.FleetStore) int {
	if len(args) > 0 && args[0] == leash.Command {
		return guard(args[1:], stderr)
	}
	if len(args) > 0 && args[0] == storeCommand && store != nil {
		return examineStore(args[1:], store, stdout, stderr)
	}
	a := &app{Options: daemon.Options{Stdout: stdout, Stderr: stderr, Env: env, FleetStore: store}}
	a.HearEarly()
	return a.execute(args)
}

func (a *app) execute(args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetOut(a.Stdout)
	root.SetErr(a.Stderr)
	a.PendingIO, a.isDaemon = &daemon.PendingIO{}, &atomic.Bool{}
	var cmd *cobra.Command
	var err error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cmd, err = root.ExecuteContextC(context.Background())
	}()
	look := time.NewTicker(daemon.IOPatience / 8)
	defer look.Stop()
	for waits := true; waits; {
		select {
		case <-ended:
			waits = false
		case <-look.C:
			if a.isDaemon.Load() { // it looks itself, and not for ever
				look.Stop()
				continue
			}
			if what := a.PendingIO.Stalled(daemon.IOPatience); what != "" {
				fmt.Fprintf(systemd.ErrorWriter(a.Stderr), "procman: %s\n", what)
				return exitFailed
			}
		}
	}
	code := codeOf(err)
	if err != nil && err.Error() != "" {
		fmt.Fprintf(systemd.ErrorWriter(a.Stderr), "procman: %v\n", err)
		if code == exitUsage {
			fmt.Fprintf(a.Stderr, "See `%s --help`.\n", cmd.CommandPath())
		}
	}
	return code
}

// app is one call of the program: its streams and its global flags.
type app struct {
	daemon.Options
	isDaemon *atomic.Bool // it waits for a disk for as long as that takes, and says so
	output   format
	selector selector // which instances, for the commands that ask
	noColor  bool
	sort     string // of status: by what; empty: by id
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "procman",
		Short: "Keep a declared list of application instances running on this host",
		Long: `procman keeps a declared list of application instances running on this host.

` + "`procman init`" + ` writes an example configuration, ` + "`procman run`" + ` is the daemon. All other commands speak to a daemon
that runs. It is found by --socket, or by the configuration it uses, or in the default state directory.

Exit codes: 0 done, 1 failed, 2 usage, 3 an asked-for instance is not running or not healthy, 4 no such instance,
5 the daemon cannot be reached, 6 (plan) there are changes, 75 (run) another daemon holds the state directory, 124 timed out.`,
		SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		Args:              onlyCommands,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return a.settle(cmd)
		},
		SuggestionsMinimumDistance: 2,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage("%v", err) })
	f := root.PersistentFlags()
	f.StringVarP(&a.Config, "config", "c", "", "the configuration `FILE` ($PROCMAN_CONFIG)")
	f.StringVar(&a.Socket, "socket", "", "the `PATH` of the daemon's socket, or http://HOST:PORT with "+
		"$PROCMAN_TOKEN_FILE ($PROCMAN_SOCKET)")
	f.VarP(&a.output, "output", "o", "the form of the answer: table, wide, json or jsonl ($PROCMAN_OUTPUT)")
	f.BoolVar(&a.noColor, "no-color", false, "no colours, also on a terminal ($PROCMAN_NO_COLOR, $NO_COLOR)")
	f.BoolVarP(&a.Verbose, "verbose", "v", false, "say more on stderr ($PROCMAN_VERBOSE)")
	f.BoolVarP(&a.Quiet, "quiet", "q", false, "say only what went wrong ($PROCMAN_QUIET)")
	completeWords(root, "output", "table", "wide", "json", "jsonl")
	for _, g := range []struct {
		title    string
		commands []*cobra.Command
	}{
		{"The daemon:", []*cobra.Command{a.runCommand(), a.shutdownCommand(), a.detachCommand(), a.upgradeCommand(),
			a.doctorCommand()}},
		{"The configuration:", []*cobra.Command{a.initCommand(), a.validateCommand(), a.planCommand(),
			a.reloadCommand(), a.schemaCommand()}},
		{"The fleet:", []*cobra.Command{a.fleetCommand()}},
		{"What runs, and why:", []*cobra.Command{a.statusCommand(), a.whyCommand(), a.eventsCommand(), a.logsCommand(),
			a.waitCommand()}},
		{"Steering:", []*cobra.Command{a.startCommand(), a.stopCommand(), a.restartCommand(), a.signalCommand(),
			a.pruneCommand()}},
		{"The program:", []*cobra.Command{a.versionCommand(), a.completionCommand(), a.manCommand()}},
	} {
		root.AddGroup(&cobra.Group{ID: g.title, Title: g.title})
		for _, c := range g.commands {
			c.GroupID = g.title
			root.AddCommand(c)
		}
	}
	root.SetHelpCommandGroupID("The program:")
	root.AddCommand(a.preflightCommand())
	return root
}

// onlyCommands is the argument check of a command that has others.
func onlyCommands(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	message := fmt.Sprintf("unknown command %q", args[0])
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		message += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return usage("%s", message)
}

// settle fills in from the environment what no flag says.
func (a *app) settle(cmd *cobra.Command) error {
	flags := cmd.Flags()
	if s := a.Env("PROCMAN_SOCKET"); s != "" && !flags.Changed("socket") {
		a.Socket = s
	}
	if s := a.Env("PROCMAN_OUTPUT"); s != "" && !flags.Changed("output") {
		if err := a.output.Set(s); err != nil {
			return usage("PROCMAN_OUTPUT: %v", err)
		}
	}
	for _, name := range []string{"no-color", "verbose", "quiet"} {
		variable := "PROCMAN_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		s := a.Env(variable)
		if s == "" || flags.Changed(name) {
			continue
		}
		if err := flags.Set(name, s); err != nil {
			return usage("%s is %q; it must be true or false", variable, s)
		}
	}
	if a.Env("NO_COLOR") != "" {
		a.noColor = true
	}
	if a.Verbose && a.Quiet {
		return usage("--verbose and --quiet contradict each other")
	}
	return nil
}

// say tells the user something that is not the answer.
func (a *app) say(format string, args ...any) {
	if !a.Quiet {
		fmt.Fprintf(a.Stderr, "procman: "+format+"\n", args...)
	}
}

// usages makes the errors of an argument check usage errors.
func usages(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usage("%v", err)
		}
		return nil
	}
}
