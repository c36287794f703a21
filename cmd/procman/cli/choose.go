package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"procman/messages"
	"procman/supervisor/api"
	"procman/supervisor/config"
)

// selector is [messages.Selector] as a flag.
type selector struct {
	messages.Selector
	text string
}

// Set makes a selector a flag.
func (s *selector) Set(text string) (err error) {
	s.text = text
	s.Selector, err = messages.ParseSelector(text)
	return err
}

func (s *selector) String() string { return s.text }

// Type is how help names the value.
func (s *selector) Type() string { return "SELECTOR" }

// selects gives the command the flag that chooses instances by their labels, in place of ids.
func (a *app) selects(cmd *cobra.Command) {
	cmd.Flags().VarP(&a.selector, "selector", "l",
		"the instances with these labels, in place of ids, as in app=shop,tier!=web")
	check := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		switch {
		case !a.selector.All() && len(args) > 0:
			return usage("name the instances, or choose them by --selector, but not both")
		case !a.selector.All() || check == nil:
			return nil
		}
		return check(cmd, args)
	}
}

// some reports whether not all instances are asked for.
func (a *app) some(args []string) bool { return len(args) > 0 || !a.selector.All() }

// asked returns what the daemon knows of the instances that are asked for, and their ids, each once; of all if none is.
// If one does not exist that is the error, beside those that do; only then all are looked at: one of them may have been
// meant. The labels are looked at here, and not by the daemon: what is chosen is the same whether one answers or not.
func (a *app) asked(ctx context.Context, c *api.Client, args []string) (api.Document, []messages.InstanceID, error) {
	wanted := make([]messages.InstanceID, len(args))
	for n, arg := range args {
		wanted[n] = messages.InstanceID(arg)
	}
	d, err := a.instances(ctx, c, answerTime, wanted...)
	if err != nil {
		return d, nil, err
	}
	ids, unknown := a.choose(d.Instances, args)
	if unknown != nil && len(args) > 0 {
		if d, err = a.instances(ctx, c, answerTime); err != nil {
			return d, nil, err
		}
		ids, unknown = a.choose(d.Instances, args)
	}
	d.Instances = among(d.Instances, ids)
	return d, ids, unknown
}

// among returns the instances with these ids.
func among(all []messages.Status, ids []messages.InstanceID) []messages.Status {
	if len(ids) == len(all) {
		return all
	}
	wanted := make(map[messages.InstanceID]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
	}
	return slices.DeleteFunc(all, func(s messages.Status) bool { return !wanted[s.ID] })
}

// choose returns the ids that are asked for by name or by label, each once; all if none is. The error says which of
// them do not exist, or that none has such labels.
func (a *app) choose(all []messages.Status, args []string) (ids []messages.InstanceID, unknown error) {
	var known []messages.InstanceID
	for _, s := range all {
		if len(args) > 0 || a.selector.Matches(s.Labels) {
			known = append(known, s.ID)
		}
	}
	switch {
	case len(args) > 0:
	case len(known) == 0 && !a.selector.All():
		return nil, exit{exitUnknown, fmt.Errorf("no instance has such labels: %s; `procman status -o json` shows "+
			"the labels", a.selector.text)}
	default:
		return known, nil
	}
	for _, arg := range args {
		id := messages.InstanceID(arg)
		switch {
		case slices.Contains(ids, id):
		case slices.Contains(known, id):
			ids = append(ids, id)
		case unknown == nil:
			unknown = messages.ErrUnknownInstance{ID: id}
			help := "`procman status` lists those that there are"
			if near := nearest(id, known); near != "" {
				help = fmt.Sprintf("did you mean %q?", string(near))
			}
			unknown = fmt.Errorf("%w; %s", unknown, help)
		}
	}
	return ids, unknown
}

// nearest returns the id that is most like a wrong one; empty if none is.
func nearest(id messages.InstanceID, known []messages.InstanceID) messages.InstanceID {
	best, least := messages.InstanceID(""), max(2, len(id)/3)+1
	for _, k := range known {
		if d := config.EditDistance(string(id), string(k)); d < least {
			best, least = k, d
		}
	}
	return best
}
