package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"procman/cmd/procman/words"
	"procman/messages"
	"procman/supervisor/api"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// fleetWhy is why an instance of the fleet is as it is: what the fleet says, and what its host does.
type fleetWhy struct {
	Schema   int                    `json:"schema"`
	Instance messages.FleetInstance `json:"instance"`
	Why      *api.Why               `json:"why"` // of its host; nil: it has none, or does not answer
	Unknown  string                 `json:"unknown,omitempty"`
}

func (a *app) fleetWhyCommand() *cobra.Command {
	var tokenFile string
	cmd := &cobra.Command{
		Use:   "why ID",
		Short: "Say where an instance runs and why it is as it is, or for whom it waits",
		Long: `Say where an instance of the fleet runs, since when and under which epoch, or for whom it waits; and what ` + "`procman why`" + ` says of it on its
host. Any host of the fleet can be asked. Another one than that of the daemon which answers is asked at the address of its API, with
the token of --token-file, or of $PROCMAN_TOKEN_FILE.`,
		Args:              usages(cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeFleet,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ask(cmd, func(ctx context.Context, c *api.Client) error {
				return a.fleetWhy(ctx, c, messages.InstanceID(args[0]), tokenFile)
			})
		},
	}
	addTokenFile(cmd, &tokenFile)
	return cmd
}

func (a *app) fleetWhy(ctx context.Context, c *api.Client, id messages.InstanceID, tokenFile string) error {
	var err error
	w := fleetWhy{Schema: api.Schema}
	if id.Validate() == nil {
		w.Instance, err = c.FleetInstance(ctx, id)
	}
	if w.Instance.ID == "" && (err == nil || codeOf(err) == exitUnknown) {
		_, err := a.fleetSome(ctx, c, []string{string(id)}, false)
		return err
	}
	if err != nil {
		return err
	}
	if w.Instance.Epoch != 0 && w.Instance.Host != "" {
		p, err := a.peers(ctx, c, tokenFile)
		if err != nil {
			return err
		}
		w.Why, w.Unknown = p.explain(ctx, w.Instance)
	}
	switch {
	case a.output == formatLines:
		return writeLines(a.Stdout, w)
	case a.output.json():
		return writeDocument(a.Stdout, w)
	}
	_, err = io.WriteString(a.Stdout, a.fleetWhyText(w))
	return err
}

// explain asks the host of an instance why that is as it is.
func (p *peers) explain(ctx context.Context, i messages.FleetInstance) (*api.Why, string) {
	c, own, why := p.client(i.Host)
	if why != "" {
		return nil, why
	}
	asking, cancel := context.WithTimeout(ctx, hostTime)
	defer cancel()
	w, err := c.Why(asking, i.ID)
	if !own {
		defer c.Close()
	}
	switch {
	case errors.As(err, new(messages.ErrUnknownInstance)):
		return nil, "host " + i.Host + " does not have it yet"
	case err != nil:
		return nil, fmt.Sprintf("host %s does not answer: %v", i.Host, err)
	}
	return &w, ""
}

func (a *app) fleetWhyText(w fleetWhy) string {
	var s sheet
	i := w.Instance
	s.WriteString(string(i.ID) + " " + words.Printable(i.Why) + "\n\n")
	s.fact("state", "%s", i.State)
	if i.Host != "" {
		s.fact("host", "%s", i.Host)
	}
	if i.Epoch != 0 {
		s.fact("epoch", "%d", i.Epoch)
	}
	if w.Why != nil {
		if at := w.Why.Instance.StartedAt; at != nil {
			s.fact("runs since", "%s", at.Local().Format("2006-01-02 15:04:05"))
		}
	}
	s.fact("may move", "%s", mayMove(i))
	if len(i.Hosts) > 0 {
		s.fact("asks for", "%s", labelText(i.Hosts))
	}
	if w.Unknown != "" {
		s.head("not to be had: how it is there: %s", w.Unknown)
	}
	if w.Why != nil {
		w.Why.Fleet = nil // it is said above
		s.head("on host %s", i.Host)
		s.WriteString("\n" + whyText(*w.Why, time.Now(), a.colours()))
	}
	return s.String()
}

func mayMove(i messages.FleetInstance) string {
	switch {
	case !i.Movable:
		return "no (movable: false): it waits for its host when that is lost"
	case i.Fence == "none":
		return "yes, and its lost host is not waited for to end it (fence: none)"
	}
	return "yes; it ends with the lease of its host"
}
