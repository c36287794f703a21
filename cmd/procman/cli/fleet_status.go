package cli

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"procman/cmd/procman/words"
	"procman/messages"
	"procman/supervisor/api"
)

// hostTime is how long another host may take that is asked how its instances are.
const hostTime = 3 * time.Second

// hostsAtOnce is how many of them are asked at a time.
const hostsAtOnce = 32

// fleetRow is an instance of the fleet, with what its host says of it.
type fleetRow struct {
	messages.FleetInstance
	// Status is what its host says; nil: it does not say anything, for the reason in Unknown, or there is none.
	Status  *messages.Status `json:"status"`
	Unknown string           `json:"unknown,omitempty"`
}

func (a *app) fleetStatusCommand() *cobra.Command {
	var tokenFile string
	cmd := &cobra.Command{
		Use:     "status [ID...|-l SELECTOR]",
		Aliases: []string{"ps", "ls"},
		Short:   "Show where everything runs, and how it is there",
		Long: `Show where every instance of the fleet runs, and how it is there. Each host is asked at the address of its API (api.listen), with the
token of --token-file, or of $PROCMAN_TOKEN_FILE; one that does not answer is marked, and named on stderr. The host of the daemon that
answers is asked through that.

With ids or a selector, the exit code is 3 unless each of those instances is known to be running and healthy.`,
		Example: "  procman fleet status --token-file /etc/procman/token\n  procman fleet status -l " +
			"app=shop -o json",
		ValidArgsFunction: a.completeFleet,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ask(cmd, func(ctx context.Context, c *api.Client) error {
				some, err := a.fleetSome(ctx, c, args, false)
				if err != nil {
					return err
				}
				return a.fleetStatus(ctx, c, some.Instances, tokenFile, a.some(args))
			})
		},
	}
	addTokenFile(cmd, &tokenFile)
	a.selects(cmd)
	return cmd
}

func addTokenFile(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVar(to, "token-file", "", "the `FILE` with the token of the hosts' api.token_file "+
		"($PROCMAN_TOKEN_FILE)")
}

func (a *app) fleetStatus(ctx context.Context, c *api.Client, some []messages.FleetInstance, tokenFile string,
	named bool) error {
	peers, err := a.peers(ctx, c, tokenFile)
	if err != nil {
		return err
	}
	rows := make([]fleetRow, len(some))
	byHost := map[string][]*fleetRow{}
	for n, i := range some {
		i.Spec = nil
		rows[n].FleetInstance = i
		if i.Epoch != 0 && i.Host != "" {
			byHost[i.Host] = append(byHost[i.Host], &rows[n])
		}
	}
	var work sync.WaitGroup
	slots := make(chan struct{}, hostsAtOnce)
	for host, of := range byHost {
		slots <- struct{}{}
		work.Go(func() { defer func() { <-slots }(); peers.fill(ctx, host, of) })
	}
	work.Wait()
	if err := peers.sayMute(a); err != nil {
		return err
	}
	column := fleetColumn[fleetRow]
	status := func(get func(messages.Status) string) func(fleetRow) string {
		return func(r fleetRow) string {
			if r.Status == nil {
				return ""
			}
			return get(*r.Status)
		}
	}
	columns := []columnOf[fleetRow]{
		column("ID", func(r fleetRow) string { return string(r.ID) }),
		column("STATE", func(r fleetRow) string { return r.State }),
		column("HOST", func(r fleetRow) string { return r.Host }),
		column("EPOCH", func(r fleetRow) string { return number(int(r.Epoch)) }),
		column("PHASE", func(r fleetRow) string {
			if r.Status == nil && r.Unknown != "" {
				return "unknown"
			}
			return status(func(s messages.Status) string { return string(s.Phase) })(r)
		}),
		column("HEALTH", status(func(s messages.Status) string { return string(s.Health) })),
		column("RESTARTS", status(func(s messages.Status) string { return fmt.Sprint(s.Restarts) })),
		column("UPTIME", status(func(s messages.Status) string { return since(s.StartedAt, time.Now()) })),
	}
	if a.output == formatWide {
		columns = append(columns, column("PID", status(func(s messages.Status) string { return number(s.PID) })),
			column("PORT", status(func(s messages.Status) string { return number(s.Port) })))
	}
	columns = append(columns, column("REASON", func(r fleetRow) string { return a.fleetReason(r) }))
	if err := showRows(a, columns, rows, struct {
		Schema    int        `json:"schema"`
		Instances []fleetRow `json:"instances"`
	}{api.Schema, rows}); err != nil {
		return err
	}
	for _, r := range rows {
		if named && (r.Status == nil || !r.Status.Well()) {
			return exit{code: exitNotHealthy}
		}
	}
	return nil
}

// fleetReason says what the other columns do not.
func (a *app) fleetReason(r fleetRow) string {
	text := ""
	switch {
	case r.Unknown != "":
		text = r.Unknown
	case r.State != "assigned":
		text = r.Why
	case r.Status != nil:
		text = reason(*r.Status, time.Now())
	}
	if a.output == formatWide {
		return text
	}
	return words.Shorten(words.Printable(text), reasonShown)
}

// peers are the hosts of the fleet, as whoever asks can reach them.
type peers struct {
	own   *api.Client // of the host that was asked
	name  string      // of that
	hosts map[string]messages.FleetHost
	token string
	why   string // there is no token
	mu    sync.Mutex
	mute  map[string]string // why one does not answer
}

func (a *app) peers(ctx context.Context, c *api.Client, tokenFile string) (*peers, error) {
	standing, err := c.Fleet(ctx)
	if err != nil {
		return nil, err
	}
	all, err := c.FleetHosts(ctx)
	if err != nil {
		return nil, err
	}
	p := &peers{own: c, name: standing.Host, hosts: map[string]messages.FleetHost{}, mute: map[string]string{}}
	for _, h := range all.Hosts {
		p.hosts[h.Name] = h
	}
	if tokenFile == "" && a.Env("PROCMAN_TOKEN_FILE") == "" {
		p.why = "other hosts want a token: --token-file or $PROCMAN_TOKEN_FILE name the file of their api.token_file"
		return p, nil
	}
	p.token, err = a.tokenOf(tokenFile)
	return p, err
}

// client returns a client of a host, or says why there is none. own is true of the one that was asked.
func (p *peers) client(host string) (c *api.Client, own bool, why string) {
	h, known := p.hosts[host]
	switch {
	case host == p.name:
		return p.own, true, ""
	case !known || !h.Live:
		return nil, false, "host " + host + " is not a member of the fleet now"
	case h.API == "":
		return nil, false, "host " + host + " has no API for others (api.listen)"
	case p.why != "":
		return nil, false, p.why
	}
	return api.NewRemoteClient("http://"+strings.TrimSuffix(strings.TrimPrefix(h.API, "http://"), "/"), p.token),
		false, ""
}

// fill asks a host how its instances are.
func (p *peers) fill(ctx context.Context, host string, rows []*fleetRow) {
	c, own, why := p.client(host)
	var d api.Document
	if why == "" {
		asking, cancel := context.WithTimeout(ctx, hostTime)
		defer cancel()
		ids := make([]messages.InstanceID, len(rows))
		for n, r := range rows {
			ids[n] = r.ID
		}
		var err error
		d, err = c.Instances(asking, ids...)
		if !own {
			c.Close()
		}
		if err != nil {
			why = fmt.Sprintf("host %s does not answer: %v", host, err)
			if asking.Err() != nil && ctx.Err() == nil {
				why = fmt.Sprintf("host %s did not answer within %v", host, hostTime)
			}
		}
	}
	if why != "" {
		p.mu.Lock()
		p.mute[host] = why
		p.mu.Unlock()
	}
	known := make(map[messages.InstanceID]*messages.Status, len(d.Instances))
	for n := range d.Instances {
		known[d.Instances[n].ID] = &d.Instances[n]
	}
	for _, r := range rows {
		if r.Status = known[r.ID]; r.Status == nil {
			r.Unknown = cmp.Or(why, "host "+host+" does not have it yet")
		}
	}
}

// sayMute names each host that does not answer, and each reason once.
func (p *peers) sayMute(a *app) error {
	said := map[string]bool{}
	for _, host := range sortedKeys(p.mute) {
		if why := p.mute[host]; !said[why] {
			said[why] = true
			if _, err := fmt.Fprintf(a.Stderr, "procman: %s\n", words.Printable(why)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *app) fleetHostsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "hosts",
		Short: "Show the hosts, and how this one stands",
		Long: `Show the hosts of the fleet: its members, those that something waits for, and those that are drained. The one that is marked with * is
that of the daemon that answers; how it stands with its fleet is said below.`,
		Args: usages(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.ask(cmd, func(ctx context.Context, c *api.Client) error { return a.fleetHosts(ctx, c) })
		},
	}
}

func (a *app) fleetHosts(ctx context.Context, c *api.Client) error {
	all, err := c.FleetHosts(ctx)
	if err != nil {
		return err
	}
	standing, err := c.Fleet(ctx)
	if err != nil {
		return err
	}
	column := fleetColumn[messages.FleetHost]
	columns := []columnOf[messages.FleetHost]{
		column("HOST", func(h messages.FleetHost) string {
			if h.Name == standing.Host {
				return h.Name + "*"
			}
			return h.Name
		}),
		{head: "STATE", cell: func(h messages.FleetHost, _ time.Time) string { return hostState(h) },
			ink: func(h messages.FleetHost) string {
				return map[string]string{"member": green, "absent": red}[hostState(h)]
			}},
		column("INSTANCES", func(h messages.FleetHost) string { return fmt.Sprint(h.Assigned) }),
		column("CAPACITY", func(h messages.FleetHost) string { return number(h.Capacity) }),
		column("LABELS", func(h messages.FleetHost) string { return labelText(h.Labels) }),
		column("API", func(h messages.FleetHost) string { return h.API }),
		{head: "MEMBER FOR", cell: func(h messages.FleetHost, now time.Time) string {
			if h.Joined.IsZero() {
				return ""
			}
			return since(&h.Joined, now)
		}},
	}
	if a.output == formatWide {
		columns = append(columns, column("VERSION", func(h messages.FleetHost) string { return h.Version }),
			column("INCARNATION", func(h messages.FleetHost) string { return h.Incarnation }))
	}
	if err := showRows(a, columns, all.Hosts, struct {
		api.FleetHosts
		Standing api.FleetReport `json:"standing"`
	}{all, standing}); err != nil || a.output.json() {
		return err
	}
	_, err = fmt.Fprintf(a.Stdout, "\n%s\n", words.Printable(standingText(standing)))
	return err
}

func hostState(h messages.FleetHost) string {
	switch {
	case !h.Live:
		return "absent"
	case h.Draining:
		return "draining"
	}
	return "member"
}

// standingText says in a sentence how a host stands with its fleet.
func standingText(f api.FleetReport) string {
	text := f.Host + " is a member of fleet " + f.Fleet
	switch f.Phase {
	case "in":
	case "suspect", "yielding", "leaving":
		text += " (" + f.Phase + ")"
	default:
		text = f.Host + " is no member of fleet " + f.Fleet + " (" + f.Phase + ")"
	}
	text += fmt.Sprintf(", with %d %s", f.Assigned, words.Plural(f.Assigned, "instance"))
	if f.Fenced > 0 {
		text += fmt.Sprintf("; %d of them %s with its lease, in %s unless it is renewed", f.Fenced,
			map[bool]string{true: "ends", false: "end"}[f.Fenced == 1],
			span(time.Duration(f.DeadlineSeconds*float64(time.Second))))
	}
	if f.Suspect {
		text += "; the store does not answer"
	}
	if f.Why != "" {
		text += ": " + f.Why
	}
	return text
}
