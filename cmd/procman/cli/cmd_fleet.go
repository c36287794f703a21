package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"procman/cmd/procman/words"
	"procman/messages"
	"procman/supervisor/api"
	"procman/supervisor/config"
)

func (a *app) fleetCommand() *cobra.Command {
	fleet := &cobra.Command{
		Use:   "fleet",
		Short: "The list of a fleet of hosts, and where it runs",
		Long: `The list of a fleet of hosts, and where it runs. These commands speak to the daemon of any host of the fleet, found as by all
others, and that daemon speaks to the fleet's store.`,
		Example: `  procman fleet apply -f fleet.yaml --prune   # the list is what this file says
  procman fleet status                        # where everything runs, and how it is there
  procman fleet why users                     # for whom it waits, or why it is as it is
  procman fleet drain host-2                  # before that is taken down`,
		Args: onlyCommands,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for _, g := range []struct {
		title    string
		commands []*cobra.Command
	}{
		{"The list:", []*cobra.Command{a.fleetApplyCommand(), a.fleetGetCommand(), a.fleetDeleteCommand()}},
		{"What runs where, and why:", []*cobra.Command{a.fleetStatusCommand(), a.fleetHostsCommand(),
			a.fleetWhyCommand()}},
		{"Steering:", []*cobra.Command{a.fleetDrainCommand("drain", true), a.fleetDrainCommand("undrain", false),
			a.fleetRebalanceCommand()}},
	} {
		fleet.AddGroup(&cobra.Group{ID: g.title, Title: g.title})
		for _, c := range g.commands {
			c.GroupID = g.title
			fleet.AddCommand(c)
		}
	}
	return fleet
}

func (a *app) fleetApplyCommand() *cobra.Command {
	var file string
	prune := false
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Put the instances of a file on the list, or change them there",
		Long: `Put the instances of a file on the fleet's list, or change them there. The file is a configuration: its instances, with its defaults,
its policies and what it includes. It is checked first, as by ` + "`procman validate`" + `. What it says of a daemon, such as ports, is of no effect:
that is said by each host's own configuration.

A path that is relative stays so: each host takes it as relative to its own configuration. An instance without an executable is
run by the executable of its host. env_file is refused: what such a file says would lie in the store, for every host to read.

With --prune all other instances are taken off the list. Each is stopped where it runs.`,
		Example: "  procman fleet apply -f fleet.yaml\n  procman fleet apply -f fleet.yaml --prune",
		Args:    usages(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return usage("name the file with the list: -f FILE")
			}
			list, err := a.fleetList(file)
			if err != nil {
				return err
			}
			return a.ask(cmd, func(ctx context.Context, c *api.Client) error {
				line := a.progress(0, fmt.Sprintf("the list of %d %s is applied", len(list.Instances),
					words.Plural(len(list.Instances), "instance")))
				changes, err := c.FleetApply(ctx, list, prune)
				line.Close()
				if err != nil {
					return err
				}
				return a.showChanges(changes)
			})
		},
	}
	f := cmd.Flags()
	f.StringVarP(&file, "file", "f", "", "the configuration `FILE` with the list")
	f.BoolVar(&prune, "prune", false, "take all others off the list")
	return cmd
}

// fleetList reads the list of a fleet. What is wrong with it is shown as validate does.
func (a *app) fleetList(file string) (api.FleetList, error) {
	done := a.PendingIO.Begin("the list " + file)
	text, err := config.Read(file)
	done()
	if err != nil {
		return api.FleetList{}, err
	}
	apps, err := config.ParseList(file, text, config.ThisHost())
	var broken config.Errors
	if errors.As(err, &broken) {
		fmt.Fprintln(a.Stderr, err)
		return api.FleetList{}, exit{code: exitFailed}
	}
	list := api.FleetList{Instances: make(map[messages.InstanceID]json.RawMessage, len(apps))}
	for n := 0; err == nil && n < len(apps); n++ {
		list.Instances[apps[n].InstanceID], err = config.Spec(apps[n])
	}
	return list, err
}

// did is what was done to an instance of the list, in a word.
var did = map[string]string{"add": "added", "change": "changed", "delete": "taken off the list", "same": "as it was"}

func (a *app) showChanges(c api.FleetChanges) error {
	switch {
	case a.output == formatLines:
		return writeLines(a.Stdout, c.Changes...)
	case a.output.json():
		return writeDocument(a.Stdout, c)
	case a.Quiet:
		return nil
	}
	var b strings.Builder
	same := 0
	for _, one := range c.Changes {
		if one.Do == "same" {
			same++
			continue
		}
		said, known := did[one.Do]
		if !known {
			said = one.Do // of a later version
		}
		fmt.Fprintf(&b, "%s: %s\n", one.ID, words.Printable(said))
	}
	if same > 0 {
		fmt.Fprintf(&b, "%d %s as %s\n", same, words.Plural(same, "instance"),
			map[bool]string{true: "it was", false: "they were"}[same == 1])
	}
	if b.Len() == 0 {
		b.WriteString("nothing to do\n")
	}
	_, err := io.WriteString(a.Stdout, b.String())
	return err
}

func (a *app) fleetGetCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "get [ID|-l SELECTOR]",
		Short: "Show the list, as it was applied",
		Long: `Show the list, as it was applied: each instance in the keys of the configuration with -o wide, json or jsonl. Values of variables whose
names look secret are masked.`,
		Example:           "  procman fleet get\n  procman fleet get users -o json | jq .instances[0].spec",
		Args:              usages(cobra.MaximumNArgs(1)),
		ValidArgsFunction: a.completeFleet,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ask(cmd, func(ctx context.Context, c *api.Client) error {
				some, err := a.fleetSome(ctx, c, args, true)
				if err != nil {
					return err
				}
				columns := []columnOf[messages.FleetInstance]{
					fleetColumn("ID", func(i messages.FleetInstance) string { return string(i.ID) }),
					fleetColumn("MOVABLE", func(i messages.FleetInstance) string { return yesNo(i.Movable) }),
					fleetColumn("FENCE", func(i messages.FleetInstance) string { return i.Fence }),
					fleetColumn("HOSTS", func(i messages.FleetInstance) string { return labelText(i.Hosts) }),
					fleetColumn("STATE", func(i messages.FleetInstance) string { return i.State }),
					fleetColumn("HOST", func(i messages.FleetInstance) string { return i.Host }),
				}
				if a.output == formatWide {
					columns = append(columns, fleetColumn("SPEC",
						func(i messages.FleetInstance) string { return string(i.Spec) }))
				}
				return showRows(a, columns, some.Instances, some)
			})
		},
	}
	a.selects(cmd)
	return cmd
}

func fleetColumn[T any](head string, cell func(T) string) columnOf[T] {
	return columnOf[T]{head: head, cell: func(row T, _ time.Time) string { return cell(row) }}
}

// showRows writes rows in the form that is asked for.
func showRows[T any](a *app, columns []columnOf[T], rows []T, document any) error {
	switch {
	case a.output == formatLines:
		return writeLines(a.Stdout, rows...)
	case a.output.json():
		return writeDocument(a.Stdout, document)
	}
	_, err := io.WriteString(a.Stdout, table(columns, rows, time.Now(), a.colours()))
	return err
}

func yesNo(b bool) string { return map[bool]string{true: "yes", false: "no"}[b] }

func labelText(labels map[string]string) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		list = append(list, name+"="+labels[name])
	}
	return strings.Join(list, ",")
}

// fleetSome returns the instances of the fleet that are asked for by id or by label, of the list's order; all if none
// is. If one does not exist that is the error.
func (a *app) fleetSome(ctx context.Context, c *api.Client, args []string, specs bool) (api.FleetInstances, error) {
	all, err := c.FleetInstances(ctx, specs || !a.selector.All())
	if err != nil {
		return all, err
	}
	known := make([]messages.Status, len(all.Instances))
	for n, i := range all.Instances {
		var spec struct {
			Labels map[string]string `json:"labels"`
		}
		if len(i.Spec) > 0 && !a.selector.All() {
			_ = json.Unmarshal(i.Spec, &spec) // of what cannot be read no label is known
		}
		known[n] = messages.Status{ID: i.ID, Labels: spec.Labels}
	}
	ids, err := a.choose(known, args)
	all.Instances = slices.DeleteFunc(all.Instances,
		func(i messages.FleetInstance) bool { return a.some(args) && !slices.Contains(ids, i.ID) })
	return all, ofTheFleet(err)
}

// ofTheFleet has the advice of an error about an instance be about those of the fleet.
func ofTheFleet(err error) error {
	if err == nil {
		return nil
	}
	text := strings.ReplaceAll(err.Error(), "`procman status", "`procman fleet get")
	return exit{codeOf(err), errors.New(text)}
}

func (a *app) fleetDeleteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete ID...|-l SELECTOR",
		Short: "Take instances off the list",
		Long: `Take instances off the fleet's list. Each is stopped where it runs; what it has written stays there for output.keep, as with every
instance that leaves a list. If one of the ids does not exist nothing is done at all.`,
		Example:           "  procman fleet delete users\n  procman fleet delete -l app=shop",
		Args:              usages(cobra.MinimumNArgs(1)),
		ValidArgsFunction: a.completeFleet,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ask(cmd, func(ctx context.Context, c *api.Client) error {
				some, err := a.fleetSome(ctx, c, args, false)
				if err != nil {
					return err
				}
				done := api.FleetChanges{Schema: api.Schema, Changes: []messages.FleetChange{}}
				for _, i := range some.Instances {
					var one api.FleetChanges
					if one, err = c.FleetDelete(ctx, i.ID); err != nil {
						err = fmt.Errorf("%s: %w", i.ID, err)
						break
					}
					done.Changes = append(done.Changes, one.Changes...)
				}
				return errors.Join(err, a.showChanges(done))
			})
		},
	}
	a.selects(cmd)
	return cmd
}

func (a *app) fleetDrainCommand(name string, drain bool) *cobra.Command {
	short, long := "Have a host give up what may move, and take nothing", `Have a host give up what may move, and take nothing more. What may not move is stopped there, and starts again after the undrain.
It returns when that is on record; `+"`procman fleet hosts`"+` shows what is left there.`
	if !drain {
		short, long = "End the drain of a host", `End the drain of a host: what may not move starts there again, and it takes what moves. Nothing comes back by itself;
`+"`procman fleet rebalance`"+` has it come back.`
	}
	return &cobra.Command{
		Use: name + " HOST", Short: short, Long: long,
		Args:              usages(cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeHosts,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ask(cmd, func(ctx context.Context, c *api.Client) error {
				d, err := c.FleetDrain(ctx, args[0], drain)
				switch {
				case err != nil:
					return err
				case a.output.json():
					return writeLines(a.Stdout, d)
				case !a.Quiet:
					_, err = fmt.Fprintf(a.Stdout, "%s: %s\n", words.Printable(d.Host),
						map[bool]string{true: "drained from now on", false: "drained no more"}[d.Draining])
				}
				return err
			})
		},
	}
}

func (a *app) fleetRebalanceCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rebalance",
		Short: "Have what may move move to where it would be placed anew",
		Long: `Have what may move move to where it would be placed anew, a few instances at a time: each is stopped where it runs, and started there.
Without this nothing moves because a host has joined.`,
		Args: usages(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.ask(cmd, func(ctx context.Context, c *api.Client) error {
				if err := c.FleetRebalance(ctx); err != nil {
					return err
				}
				a.say("every host has it from its store; `procman fleet status` shows what moves")
				return nil
			})
		},
	}
}

// completeFleet offers the ids of the fleet, if its host answers at once.
func (a *app) completeFleet(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	return a.complete(cmd, begun, func(ctx context.Context, c *api.Client) (names []string, err error) {
		all, err := c.FleetInstances(ctx, false)
		for _, i := range all.Instances {
			names = append(names, string(i.ID))
		}
		return names, err
	})
}

// completeHosts offers the names of the fleet's hosts.
func (a *app) completeHosts(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.complete(cmd, begun, func(ctx context.Context, c *api.Client) (names []string, err error) {
		all, err := c.FleetHosts(ctx)
		for _, h := range all.Hosts {
			names = append(names, h.Name)
		}
		return names, err
	})
}
