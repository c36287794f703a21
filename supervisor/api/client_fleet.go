package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

	"procman/messages"
)

// Fleet returns how the daemon's host stands with its fleet. The error of a daemon without one is an *Error with
// CodeNoFleet, here and in the methods below.
func (c *Client) Fleet(ctx context.Context) (f FleetReport, err error) {
	return f, c.ask(ctx, http.MethodGet, "/v1/fleet", "", &f)
}

// FleetHosts returns the hosts of the fleet.
func (c *Client) FleetHosts(ctx context.Context) (f FleetHosts, err error) {
	return f, c.ask(ctx, http.MethodGet, "/v1/fleet/hosts", "", &f)
}

// FleetInstances returns the instances of the fleet, with their specs or without.
func (c *Client) FleetInstances(ctx context.Context, specs bool) (f FleetInstances, err error) {
	return f, c.ask(ctx, http.MethodGet, fleetInstance+"?spec="+strconv.FormatBool(specs), "", &f)
}

// FleetInstance returns an instance of the fleet.
func (c *Client) FleetInstance(ctx context.Context, id messages.InstanceID) (f messages.FleetInstance, err error) {
	return f, c.ask(ctx, http.MethodGet, fleetInstance+"/"+url.PathEscape(string(id)), id, &f)
}

// FleetApply puts instances on the fleet's list; with prune it takes all others off.
func (c *Client) FleetApply(ctx context.Context, list FleetList, prune bool) (f FleetChanges, err error) {
	body, err := json.Marshal(list)
	if err != nil {
		return f, err
	}
	if len(body) > maxList {
		return f, refuse("the list has %d bytes, more than the %d MiB that a daemon takes at once; apply it in "+
			"parts, without prune", len(body), maxList>>20)
	}
	return f, c.send(ctx, http.MethodPut, fleetInstance+"?prune="+strconv.FormatBool(prune), "", body, &f)
}

// FleetDelete takes an instance off the fleet's list.
func (c *Client) FleetDelete(ctx context.Context, id messages.InstanceID) (f FleetChanges, err error) {
	return f, c.ask(ctx, http.MethodDelete, fleetInstance+"/"+url.PathEscape(string(id)), id, &f)
}

// FleetDrain has a host of the fleet drained, or ends that.
func (c *Client) FleetDrain(ctx context.Context, host string, drain bool) (f FleetDrain, err error) {
	what := "undrain"
	if drain {
		what = "drain"
	}
	return f, c.ask(ctx, http.MethodPost, "/v1/fleet/hosts/"+url.PathEscape(host)+"/"+what, "", &f)
}

// FleetRebalance has what may move move to where it would be placed anew.
func (c *Client) FleetRebalance(ctx context.Context) error {
	return c.ask(ctx, http.MethodPost, "/v1/fleet/rebalance", "", nil)
}
