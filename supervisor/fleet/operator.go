package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"procman/messages"
	"procman/supervisor/fleet/place"
	"procman/supervisor/fleet/store"
)

// ask has the actor answer a question.
func (h *Host) ask(ctx context.Context, ask func(*hostActor)) error {
	q := question{ask, make(chan struct{})}
	h.send(q)
	select {
	case <-q.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-h.life.Done():
		return h.errorf("the host has let go of it")
	}
}

// Hosts returns the hosts of the fleet that are there, and those that something waits for, sorted by name.
func (h *Host) Hosts(ctx context.Context) (list []messages.FleetHost, err error) {
	err = h.ask(ctx, func(a *hostActor) {
		known := map[string]*messages.FleetHost{}
		of := func(name string) *messages.FleetHost {
			if known[name] == nil {
				known[name] = &messages.FleetHost{Name: name, Draining: a.drains[name], Labels: map[string]string{}}
			}
			return known[name]
		}
		for name, x := range a.hosts {
			f := of(name)
			f.Live, f.Incarnation, f.Capacity, f.API, f.Joined, f.Version = true, x.Incarnation, x.Capacity, x.API,
				x.Joined, x.Version
			if x.Labels != nil {
				f.Labels = maps.Clone(x.Labels)
			}
		}
		for name := range a.drains {
			of(name)
		}
		for _, x := range a.assigns {
			of(x.Host).Assigned++
		}
		for _, name := range slices.Sorted(maps.Keys(known)) {
			list = append(list, *known[name])
		}
	})
	return list, err
}

// Instances returns the instances of the fleet's list and those that are still assigned, or those that are named,
// sorted. The error is messages.ErrUnknownInstance if one that is named is neither.
func (h *Host) Instances(ctx context.Context, ids ...messages.InstanceID) (list []messages.FleetInstance, err error) {
	var unknown error
	err = h.ask(ctx, func(a *hostActor) {
		if len(ids) == 0 {
			all := map[messages.InstanceID]struct{}{}
			for id := range a.specs {
				all[id] = struct{}{}
			}
			for id := range a.assigns {
				all[id] = struct{}{}
			}
			ids = slices.Sorted(maps.Keys(all))
		}
		for _, id := range ids {
			s, why := a.specs[id], a.fleet.Why(string(id), h.now())
			if s == nil && why.Kind == place.Unknown {
				unknown = messages.ErrUnknownInstance{ID: id}
				return
			}
			list = append(list, describe(id, s, why))
		}
	})
	return list, errors.Join(err, unknown)
}

func describe(id messages.InstanceID, s *spec, why place.Reason) messages.FleetInstance {
	f := messages.FleetInstance{ID: id, State: string(why.Kind), Host: why.Host, Epoch: why.Epoch, Why: why.String(),
		Hosts: map[string]string{}}
	if s == nil {
		return f
	}
	f.Movable, f.Fence, f.Spec = s.movable, s.fence, json.RawMessage(s.text)
	if s.hosts != nil {
		f.Hosts = s.hosts
	}
	if s.wrong != "" {
		f.Why += "; this host cannot read what the list says: " + s.wrong
	}
	return f
}

// few instances are asked for one by one, and not by reading the whole list.
const few = 16

// listed returns what the store's list says now of these, by reads that see whatever was acknowledged before. Of many,
// or with all, it returns the others too.
func (h *Host) listed(ctx context.Context, ids []messages.InstanceID,
	all bool) (map[messages.InstanceID]store.Entry, error) {
	list := map[messages.InstanceID]store.Entry{}
	if len(ids) <= few && !all {
		for _, id := range ids {
			e, _, err := h.config.Store.Get(ctx, h.keys.spec(id))
			if err != nil {
				return nil, h.errorf("its list cannot be read: %w", err)
			}
			if e.Exists() {
				list[id] = e
			}
		}
		return list, nil
	}
	snap, err := h.config.Store.List(ctx, h.keys.spec(""))
	if err != nil {
		return nil, h.errorf("its list cannot be read: %w", err)
	}
	for _, e := range snap.Entries {
		_, name := h.keys.split(e.Key)
		list[messages.InstanceID(name)] = e
	}
	return list, nil
}

// Apply puts instances on the fleet's list, or changes them there; with prune it takes all others off. Each is read
// first as this host would run it: what is wrong with one leaves the list as it is, and the error is
// messages.ErrInvalidList.
func (h *Host) Apply(ctx context.Context, specs map[messages.InstanceID]json.RawMessage,
	prune bool) ([]messages.FleetChange, error) {
	var wrong []error
	ids := slices.Sorted(maps.Keys(specs))
	texts := make(map[messages.InstanceID]string, len(specs))
	for _, id := range ids {
		if err := id.Validate(); err != nil {
			wrong = append(wrong, err)
			continue
		}
		var text bytes.Buffer
		if err := json.Compact(&text, specs[id]); err != nil {
			wrong = append(wrong, fmt.Errorf("instance %q: %w", string(id), err))
			continue
		}
		app, err := h.config.Parse(id, text.Bytes())
		if err == nil && app.InstanceID != id {
			err = fmt.Errorf("it says that its id is %q", string(app.InstanceID))
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("instance %q: %w", string(id), err))
		}
		texts[id] = text.String()
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, messages.ErrInvalidList{Err: err}
	}
	before, err := h.listed(ctx, ids, prune)
	if err != nil {
		return nil, err
	}
	var changes []messages.FleetChange
	var ops []store.Op
	note := func(id messages.InstanceID, do string, op ...store.Op) {
		changes, ops = append(changes, messages.FleetChange{ID: id, Do: do}), append(ops, op...)
	}
	for _, id := range ids {
		was, known := before[id]
		put := store.Put(h.keys.spec(id), texts[id])
		switch {
		case !known:
			note(id, "add", put)
		case was.Value == texts[id]:
			note(id, "same")
		default:
			note(id, "change", put)
		}
	}
	if prune {
		for _, id := range slices.Sorted(maps.Keys(before)) {
			if _, stays := specs[id]; !stays {
				note(id, "delete", store.Delete(h.keys.spec(id)))
			}
		}
	}
	return changes, h.commit(ctx, ops)
}

// Delete takes instances off the fleet's list: each is stopped where it runs. The error is messages.ErrUnknownInstance,
// and nothing is changed, if one of them is not there.
func (h *Host) Delete(ctx context.Context, ids ...messages.InstanceID) ([]messages.FleetChange, error) {
	before, err := h.listed(ctx, ids, false)
	if err != nil {
		return nil, err
	}
	var changes []messages.FleetChange
	var ops []store.Op
	for _, id := range ids {
		if _, known := before[id]; !known {
			return nil, messages.ErrUnknownInstance{ID: id}
		}
		changes, ops = append(changes, messages.FleetChange{ID: id, Do: "delete"}),
			append(ops, store.Delete(h.keys.spec(id)))
	}
	return changes, h.commit(ctx, ops)
}

// commit carries the changes out, as many at a time as the store takes. After an error some may have been carried out.
func (h *Host) commit(ctx context.Context, ops []store.Op) error {
	for len(ops) > 0 {
		n, size := 0, 0
		for n < len(ops) && n < store.MaxOps && (n == 0 || size+len(ops[n].Key)+len(ops[n].Value) < store.MaxSize) {
			size += len(ops[n].Key) + len(ops[n].Value)
			n++
		}
		if _, err := h.config.Store.Commit(ctx, store.Transaction{Then: ops[:n]}); err != nil {
			return h.errorf("its list may be changed in part: %w", err)
		}
		ops = ops[n:]
	}
	return nil
}

// Drain has everything that may move leave the host, and what may not stop there until the drain is over.
func (h *Host) Drain(ctx context.Context, host string, drain bool) error {
	op := store.Delete(h.keys.drain(host))
	if drain {
		op = store.Put(h.keys.drain(host), "{}")
	}
	return h.commit(ctx, []store.Op{op})
}

// Rebalance has every host give up, a few at a time, what another one ranks first for.
func (h *Host) Rebalance(ctx context.Context) error {
	return h.commit(ctx, []store.Op{store.Put(h.keys.rebalance(), newIncarnation())})
}
