package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"procman/cmd/procman/words"
	"procman/messages"
	"procman/supervisor/api"
)

// verb is something that can be done to an instance.
type verb struct {
	name, short, long string
	example           string
	past              string
	do                func(*api.Client, context.Context, messages.InstanceID) (messages.Status, error)
	goal              func(before messages.Status) goal
	passes            func(messages.Status) string // unless it is named: why this one is left alone; empty: it is not
}

// control is one call of a verb.
type control struct {
	*app
	verb
	all      bool
	wait     bool
	timeout  time.Duration
	parallel int
}

func (a *app) controlCommand(v verb) *cobra.Command {
	c := control{app: a, verb: v}
	cmd := &cobra.Command{
		Use: v.name + " ID...|-l SELECTOR|--all", Short: v.short,
		Long: v.long + `

It returns when the daemon has accepted it, or, with --wait, when it is done: exit code 3 if an instance ended up otherwise,
124 if that took longer than --timeout. If one of the ids does not exist nothing is done at all.`,
		Example:           v.example,
		ValidArgsFunction: a.completeIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case c.all == a.some(args):
				return usage("name the instances, choose them by --selector, or --all for all of them, and only one " +
					"of these")
			case c.timeout < 0 || c.parallel < 0:
				return usage("--timeout and --max-parallel must not be negative")
			}
			c.all = len(args) == 0
			return a.ask(cmd, func(ctx context.Context, client *api.Client) error { return c.run(ctx, client, args) })
		},
	}
	a.selects(cmd)
	f := cmd.Flags()
	f.BoolVar(&c.all, "all", false, "all instances")
	f.BoolVar(&c.wait, "wait", false, "return when it is done")
	f.DurationVar(&c.timeout, "timeout", time.Minute, "how long all of it may take; 0: any time")
	f.IntVar(&c.parallel, "max-parallel", 0, "so many instances at a time; 0: all at once")
	return cmd
}

// outcome is what came of one instance.
type outcome struct {
	status  messages.Status
	unsaved string // why a crash of the daemon would forget what was done
	err     error
	skipped bool
}

func (c control) run(ctx context.Context, client *api.Client, args []string) error {
	if c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	d, ids, err := c.asked(ctx, client, args)
	if errors.Is(err, context.DeadlineExceeded) {
		return exit{exitTimeout, fmt.Errorf("the daemon did not answer within %v, and nothing was done; its log may "+
			"say why", c.timeout)}
	}
	if err != nil {
		return err
	}
	before := make(map[messages.InstanceID]messages.Status, len(d.Instances))
	for _, s := range d.Instances {
		before[s.ID] = s
	}
	if c.all && c.passes != nil {
		ids = slices.DeleteFunc(ids, func(id messages.InstanceID) bool {
			why := c.passes(before[id])
			if why != "" {
				c.say("%s: %s", id, why)
			}
			return why != ""
		})
	}
	outcomes := c.each(ctx, client, ids, before)
	if err := c.print(outcomes); err != nil {
		return err
	}
	return c.sum(outcomes)
}

// each does the verb to the instances, so many at a time.
func (c control) each(ctx context.Context, client *api.Client, ids []messages.InstanceID,
	before map[messages.InstanceID]messages.Status) []outcome {
	outcomes := make([]outcome, len(ids))
	slots := make(chan struct{}, cmp.Or(c.parallel, max(1, len(ids))))
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	news := newPoller(client)
	var watching, working sync.WaitGroup
	var line *progress
	if c.wait {
		watching.Go(func() { news.run(ctx) })
		line = c.progress(len(ids), c.goal(messages.Status{}).state)
		defer line.Close()
	}
	var failed sync.Once
	halt := make(chan struct{})
	for n, id := range ids {
		slots <- struct{}{}
		select {
		case <-halt:
			outcomes[n] = outcome{status: before[id], skipped: true}
			<-slots
			continue
		default:
		}
		working.Go(func() {
			defer func() { <-slots }()
			if c.wait {
				line.begin(id)
				defer func() { line.finish(id, outcomes[n].err) }()
			}
			outcomes[n] = c.one(ctx, client, news, before[id])
			if err := outcomes[n].err; err != nil && !c.passesOver(err) && c.wait && c.parallel > 0 {
				failed.Do(func() { close(halt) })
			}
		})
	}
	working.Wait()
	stop()
	watching.Wait()
	return outcomes
}

func (c control) one(ctx context.Context, client *api.Client, news *poller, before messages.Status) outcome {
	status, err := c.do(client, ctx, before.ID)
	unsaved := ""
	if c.past != "" {
		unsaved = status.Unsaved
	}
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = exit{exitTimeout, fmt.Errorf("not accepted within %v; it was not done, unless that was decided in "+
				"the same instant: `procman status %s` tells", c.timeout, before.ID)}
		}
		return outcome{status: before, err: err}
	}
	if !c.wait {
		return outcome{status: status, unsaved: unsaved}
	}
	goal := c.goal(before)
	status, err = news.await(ctx, status, goal)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		err = exit{exitTimeout, fmt.Errorf("not %s after %v: %s; it goes on, and `procman logs %s` shows what it says",
			goal, c.timeout, describe(status, time.Now()), status.ID)}
	case errors.Is(err, errMissed):
		err = exit{exitNotHealthy, fmt.Errorf("it will not be %s: %s; `procman logs %s` shows what it said", goal,
			describe(status, time.Now()), status.ID)}
	}
	return outcome{status: status, unsaved: unsaved, err: err}
}

// passesOver reports whether the error is that of an instance which --all does not mean, such as a disabled one.
func (c control) passesOver(err error) bool {
	var refusal *api.Error
	return c.all && errors.As(err, &refusal) && refusal.Code == api.CodeConflict
}

// print writes the answer.
func (c control) print(outcomes []outcome) error {
	if c.output.json() {
		statuses := []messages.Status{}
		for _, o := range outcomes {
			statuses = append(statuses, o.status)
		}
		if c.output == formatLines {
			return c.show(c.Stdout, api.Document{Instances: statuses})
		}
		return writeDocument(c.Stdout, struct {
			Schema    int               `json:"schema"`
			Instances []messages.Status `json:"instances"`
		}{api.Schema, statuses})
	}
	if c.Quiet {
		return nil
	}
	for _, o := range outcomes {
		if o.err != nil || o.skipped {
			continue
		}
		said := describe(o.status, time.Now())
		if c.wait && c.past != "" {
			said = fmt.Sprintf("%s, run %d", c.past, o.status.Run)
			if o.status.Port != 0 {
				said += fmt.Sprintf(", port %d", o.status.Port)
			}
			if left := o.status.Left(); left != "" {
				said += "; " + messages.LeftAlone + words.Printable(left)
			}
		}
		if _, err := fmt.Fprintf(c.Stdout, "%s: %s\n", o.status.ID, said); err != nil {
			return err
		}
	}
	return nil
}

// Of how many instances it is told what went wrong, and of how many under --quiet.
const mostFailures, fewFailures = 20, 3

// sum tells of what went wrong, of very many in part, and returns the error with the exit code for all.
func (c control) sum(outcomes []outcome) error {
	var worst error
	skipped, failed := 0, 0
	most := mostFailures
	if c.Quiet {
		most = fewFailures
	}
	for _, o := range outcomes {
		if o.skipped {
			skipped++
			continue
		}
		if o.unsaved != "" {
			fmt.Fprintf(c.Stderr, "procman: warning: %s: %s\n", o.status.ID, words.Printable(o.unsaved))
		}
		if o.err == nil {
			continue
		}
		if c.passesOver(o.err) {
			c.say("%s: left alone: %v", o.status.ID, o.err)
			continue
		}
		if errors.Is(o.err, api.ErrUnreachable) {
			return o.err // it is the same for all
		}
		if failed++; failed <= most {
			fmt.Fprintf(c.Stderr, "procman: %s: %v\n", o.status.ID, o.err)
		}
		if worst == nil || rank(o.err) > rank(worst) {
			worst = o.err
		}
	}
	if failed > most {
		fmt.Fprintf(c.Stderr, "procman: and %d more like these; `procman status` shows all\n", failed-most)
	}
	if skipped > 0 {
		c.say("%d more %s left alone", skipped, map[bool]string{true: "was", false: "were"}[skipped == 1])
	}
	if worst == nil {
		return nil
	}
	return exit{code: codeOf(worst)}
}

// rank orders what can come of several instances: a state that is final counts more than a wait that was given up.
func rank(err error) int {
	return slices.Index([]int{exitTimeout, exitNotHealthy, exitUnknown, exitFailed}, codeOf(err))
}

// describe says in words where an instance stands.
func describe(s messages.Status, now time.Time) string {
	text := "it is " + string(s.Phase)
	if s.Phase == messages.Running {
		text += " and " + string(s.Health)
		if s.Health == messages.HealthUnknown {
			text = "it is running, its health not known yet"
		}
	}
	text += fmt.Sprintf(", run %d", s.Run)
	if s.Port != 0 {
		text += fmt.Sprintf(", port %d", s.Port)
	}
	if why := words.Printable(reason(s, now)); why != "" {
		text += " (" + why + ")"
	}
	if s.Phase == messages.Starting && s.LastProbe != nil && s.LastProbe.Error != "" {
		text += "; last probe: " + words.Printable(s.LastProbe.Error)
	}
	return text
}
