package daemon

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/url"
	"time"

	"procman/actors"
	"procman/messages"
	"procman/supervisor/api"
	"procman/supervisor/config"
	"procman/supervisor/fleet"
	"procman/supervisor/fleet/leash"
	"procman/supervisor/fleet/member"
	"procman/supervisor/fleet/store"
)

// openFleet makes this host a member of its fleet, if it has one. It waits for nobody.
func (d *daemon) openFleet(o *Options, file *config.File, spawner actors.Spawner, version string) error {
	f := file.Fleet
	if f == nil {
		return nil
	}
	schedule, err := member.NewSchedule(f.TTL, f.Grace)
	if err != nil {
		return err
	}
	shared, err := o.FleetStore(*f, d.log.Logger)
	if err != nil {
		return fmt.Errorf("the store of fleet %s cannot be used: %w", f.Name, err)
	}
	d.opened("the store of the fleet", shared.Close)
	guard, err := leash.NewGuard(d.spawner.Dir(), "")
	if err != nil {
		return err
	}
	d.opened("the guard of the leash", guard.Close)
	settings := file.Settings()
	d.fleet, err = fleet.Open(fleet.Config{
		Fleet: f.Name, Name: f.Host, Capacity: f.Capacity, Labels: f.Labels,
		API: reachable(file.API.Listen, f.Endpoints), Version: version, Schedule: schedule,
		Store: shared, Guard: guard, Clock: leash.HostClock(), StateDir: d.spawner.Dir(), Spawner: spawner,
		Provider: d.provider,
		Parse: func(id messages.InstanceID, spec []byte) (messages.AppInstance, error) {
			return config.ParseInstance("the fleet's list, "+string(id), settings, spec)
		},
		Tell: d.tell, Logger: d.log.Logger,
	})
	if err != nil {
		return err
	}
	d.opened("the part in the fleet", d.fleet.Close)
	return nil
}

// lookupPatience is how long the begin of a daemon waits for a name to be looked up.
const lookupPatience = 300 * time.Millisecond

// reachable is where others reach what listens there: on all addresses of the host that is, for them, the one by which
// the host reaches the store.
func reachable(listen string, endpoints []string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil || host != "" && !net.ParseIP(host).IsUnspecified() {
		return listen
	}
	for _, e := range endpoints {
		u, err := url.Parse(e)
		if err != nil {
			continue
		}
		soon := net.Dialer{Timeout: lookupPatience} // a name may have to be looked up; nothing is sent to the store
		c, err := soon.Dial("udp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "2379")))
		if err != nil {
			continue
		}
		ours := c.LocalAddr().(*net.UDPAddr).IP.String()
		_ = c.Close() // nothing was sent
		return net.JoinHostPort(ours, port)
	}
	return listen
}

// fleetLeave is how long a host may take to give back what it has, once everything here has ended.
const fleetLeave = 12 * time.Second

// leaveFleet begins to leave the fleet, and returns what waits for that, when everything here has been told to end.
func (d *daemon) leaveFleet(stopping context.Context) (wait func()) {
	if d.fleet == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(stopping)
	left := make(chan struct{})
	go func() {
		defer close(left)
		_ = d.fleet.Leave(ctx) // how it went is told
	}()
	return func() {
		defer cancel()
		late := time.NewTimer(fleetLeave)
		defer late.Stop()
		select {
		case <-left:
			if err := leash.Dismiss(d.spawner.Dir()); err != nil {
				d.log.Warn("the leash stays, and guards nobody", "error", err.Error())
			}
		case <-late.C:
			d.log.Warn("the store was not told that this host leaves its fleet: others wait until its lease ends")
		}
	}
}

// letGoOfFleet leaves everything as it is, for a successor.
func (d *daemon) letGoOfFleet() {
	if d.fleet == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), partPatience)
	defer cancel()
	_ = d.fleet.Detach(ctx) // the record is on disk since the last renewal
}

// fleetForMetrics tells how this host stands with its fleet, once it is a part of it; nil: it is in none.
func (d *daemon) fleetForMetrics(file *config.File) func() messages.FleetStanding {
	if file.Fleet == nil {
		return nil
	}
	return func() messages.FleetStanding {
		if d.fleet == nil {
			return messages.FleetStanding{Fleet: file.Fleet.Name, Host: file.Fleet.Host, Phase: string(member.New)}
		}
		return d.fleet.Standing()
	}
}

// ExamineStore returns what the servers of a store say of themselves; nothing, if it is of no such kind.
func ExamineStore(ctx context.Context, s store.Store) []store.Examined {
	if x, is := s.(store.Examiner); is {
		return x.Examine(ctx)
	}
	return nil
}

// ReadStore returns why a host cannot read what it needs of its fleet.
func ReadStore(ctx context.Context, s store.Store, f config.Fleet) error {
	_, _, err := s.Get(ctx, fleet.HostKey(f.Name, f.Host))
	return err
}

// fleetForAPI is what the API tells of the fleet; nil: this host is in none.
func (d *daemon) fleetForAPI() api.Fleet {
	if d.fleet == nil {
		return nil
	}
	return d.fleet
}
