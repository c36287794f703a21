package fleet

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"procman/actors/record"
	"procman/messages"
	"procman/supervisor/fleet/member"
	"procman/supervisor/fleet/place"
	"procman/supervisor/fleet/store"
)

// request asks the store for something, beside the actor, and tells it the answer.
func (h *Host) request(do func() member.Event) {
	h.work.Go(func() {
		if e := do(); e != nil {
			h.send(e)
		}
	})
}

// asking is the context of one request.
func (h *Host) asking() (context.Context, context.CancelFunc) {
	return context.WithTimeout(h.life, h.config.Schedule.Suspect)
}

func (h *Host) grant(x member.Grant) member.Event {
	ctx, cancel := h.asking()
	defer cancel()
	lease, ttl, err := h.config.Store.Grant(ctx, x.TTL)
	if err != nil {
		return member.GrantFailed{T0: x.T0, Why: err.Error()}
	}
	return member.Granted{T0: x.T0, Lease: member.Lease(lease), Incarnation: newIncarnation(), TTL: ttl}
}

// newIncarnation is unlike any other.
func newIncarnation() string {
	b := make([]byte, 12)
	_, _ = rand.Read(b) // it never fails
	return hex.EncodeToString(b)
}

func (h *Host) renew(x member.Renew) member.Event {
	ctx, cancel := h.asking()
	defer cancel()
	ttl, err := h.config.Store.KeepAlive(ctx, store.Lease(x.Lease))
	switch {
	case errors.Is(err, store.ErrLeaseLost):
		return member.LeaseLost{Lease: x.Lease}
	case err != nil:
		return member.RenewFailed{Lease: x.Lease, Why: err.Error()}
	}
	return member.Renewed{T0: x.T0, Lease: x.Lease, TTL: ttl}
}

// register makes sure of the host's key, and reads all that there is after that.
func (h *Host) register(x member.Register) member.Event {
	ctx, cancel := h.asking()
	defer cancel()
	failed := func(err error) member.Event {
		if errors.Is(err, store.ErrLeaseLost) {
			return member.LeaseLost{Lease: x.Lease}
		}
		return member.RegisterFailed{Lease: x.Lease, Why: err.Error()}
	}
	key := h.keys.host(h.config.Name)
	entry, _, err := h.config.Store.Get(ctx, key)
	if err != nil {
		return failed(err)
	}
	if entry.Exists() {
		v, err := decode[hostValue](entry)
		if err != nil {
			return failed(err)
		}
		if v.Incarnation != x.Incarnation {
			return member.NameTaken{Lease: x.Lease, By: takenBy(v)}
		}
	} else {
		c := h.config
		text := encode(hostValue{Incarnation: x.Incarnation, Capacity: c.Capacity, Labels: c.Labels, API: c.API,
			Version: c.Version, Joined: time.Now().UTC().Round(time.Second)})
		out, err := h.config.Store.Commit(ctx, store.Transaction{If: []store.Compare{store.Absent(key)},
			Then: []store.Op{store.PutLeased(key, text, store.Lease(x.Lease))}})
		if err != nil {
			return failed(err)
		}
		if !out.Done {
			return failed(errors.New("its key came to be a moment ago; it is looked at again"))
		}
	}
	snap, err := h.config.Store.List(ctx, h.keys.prefix)
	if err != nil {
		return failed(err)
	}
	h.send(read{snap})
	return member.Registered{Lease: x.Lease}
}

// releaseAll gives back what may move. What is not given back the others take over when the lease is gone.
func (h *Host) releaseAll(list []place.Release) member.Event {
	ctx, cancel := h.asking()
	defer cancel()
	const atOnce = 40
	var failure error
	for len(list) > 0 {
		n := min(atOnce, len(list))
		var t store.Transaction
		for _, r := range list[:n] {
			key := h.keys.assign(messages.InstanceID(r.ID))
			t.If = append(t.If, store.Unchanged(key, store.Revision(r.Epoch)))
			t.Then = append(t.Then, store.Delete(key))
		}
		list = list[n:]
		out, err := h.config.Store.Commit(ctx, t)
		if err != nil {
			return member.Released{Why: err.Error()}
		}
		if !out.Done {
			failure = errors.New("what runs here had changed meanwhile")
		}
	}
	if failure != nil {
		return member.Released{Why: failure.Error()}
	}
	return member.Released{}
}

func (h *Host) revoke(l member.Lease) member.Event {
	ctx, cancel := h.asking()
	defer cancel()
	if err := h.config.Store.Revoke(ctx, store.Lease(l)); err != nil && !errors.Is(err, store.ErrLeaseLost) {
		return member.Revoked{Why: err.Error()}
	}
	return member.Revoked{}
}

// transactions is how many transactions of claims and releases are under way at once.
const transactions = 32

// claimsAtOnce is how many claims go in one transaction. Each may take two compares, and one is for all.
const claimsAtOnce = (store.MaxOps - 1) / 2

// claim carries out claims that were decided for the same key of this host, in one transaction if it can be. It tells
// the actor of all of them at once.
func (h *Host) claim(list []claim) {
	h.transact(func(ctx context.Context) any { return h.claimAll(ctx, list) })
}

// claimAll halves what is refused as a whole, until what is refused is one.
func (h *Host) claimAll(ctx context.Context, list []claim) (outcomes []claimed) {
	created, incarnation := list[0].created, list[0].incarnation
	t := store.Transaction{If: []store.Compare{store.Unchanged(h.keys.host(h.config.Name), created)}}
	for _, c := range list {
		assign := h.keys.assign(messages.InstanceID(c.ID))
		t.If = append(t.If, store.Unchanged(assign, store.Revision(c.Epoch)))
		if c.From != "" {
			t.If = append(t.If, store.Unchanged(h.keys.host(c.From), store.Revision(c.FromCreated)))
		}
		t.Then = append(t.Then, store.Put(assign, encode(assignValue{h.config.Name, incarnation, c.Bound})))
	}
	out, err := h.config.Store.Commit(ctx, t)
	if half := len(list) / 2; err == nil && !out.Done && half > 0 {
		return append(h.claimAll(ctx, list[:half]), h.claimAll(ctx, list[half:])...)
	}
	for _, c := range list {
		if err != nil || !out.Done {
			outcomes = append(outcomes, claimed{Claim: c.Claim})
		} else {
			outcomes = append(outcomes, claimed{Claim: c.Claim, incarnation: incarnation, epoch: out.Revision})
		}
	}
	return outcomes
}

// release carries out one release. Nothing of the instance lives here.
func (h *Host) release(r place.Release) {
	h.transact(func(ctx context.Context) any {
		id := messages.InstanceID(r.ID)
		h.unfence(id)
		assign := h.keys.assign(id)
		out, err := h.config.Store.Commit(ctx, store.Transaction{
			If:   []store.Compare{store.Unchanged(assign, store.Revision(r.Epoch))},
			Then: []store.Op{store.Delete(assign)},
		})
		if err != nil || !out.Done {
			return released{Release: r}
		}
		return released{Release: r, revision: out.Revision}
	})
}

// transact does one transaction beside the actor, and tells it the outcome.
func (h *Host) transact(do func(ctx context.Context) any) {
	h.work.Go(func() {
		select {
		case h.turns <- struct{}{}:
			defer func() { <-h.turns }()
		case <-h.life.Done():
			return
		}
		ctx, cancel := h.asking()
		defer cancel()
		h.send(do(ctx))
	})
}

// unfence takes the mark of a fenced run away, if nothing of it lives.
func (h *Host) unfence(id messages.InstanceID) {
	if h.gate.down(id) {
		h.takeMark(id)
	}
}

// takeMark takes the mark of a fenced run away, if there is one. It waits for a disk no longer than diskPatience.
func (h *Host) takeMark(id messages.InstanceID) {
	if !h.gate.isMarked(id) {
		return
	}
	if _, err := h.disk.Do(h.life, diskPatience, func() error { return h.config.Guard.Unfence(id) }, nil); err != nil {
		h.log.Warn("the mark of a fenced run stays", "instance", string(id), "error", err)
		return
	}
	h.gate.unmark(id)
}

// rereadPause is how long a host waits before it asks for the list again, or for its changes, that it could not have.
const rereadPause = 500 * time.Millisecond

// read keeps the actor informed of all that there is in the store.
func (h *Host) read() {
	for h.life.Err() == nil {
		ctx, cancel := h.asking()
		snap, err := h.config.Store.List(ctx, h.keys.prefix)
		cancel()
		if err != nil {
			h.send(unread{err.Error()})
			h.pause(rereadPause)
			continue
		}
		h.send(unread{})
		h.send(read{snap})
		for after := snap.Revision; h.life.Err() == nil; {
			err = h.config.Store.Watch(h.life, h.keys.prefix, after, func(c store.Changes) {
				after = c.Revision
				h.send(c)
			})
			if errors.Is(err, store.ErrCompacted) {
				break
			}
			h.pause(rereadPause)
		}
	}
}

func (h *Host) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-h.life.Done():
	}
}

// at has the actor told when that time has come, unless that is ended before.
func (h *Host) at(at time.Duration) (end func()) {
	ctx, cancel := context.WithCancel(h.life)
	h.work.Go(func() {
		h.config.Clock.Wait(ctx, int64(at))
		if ctx.Err() == nil {
			h.send(due{at})
		}
	})
	return cancel
}

// keeping is what has to be done to the file of an instance that is, or was, this host's.
type keeping struct {
	id  messages.InstanceID
	now *assigned // nil: it is taken away
}

func (h *Host) keepLater(a assigned)        { h.enqueue(keeping{a.ID, &a}) }
func (h *Host) drop(id messages.InstanceID) { h.enqueue(keeping{id, nil}) }
func (h *Host) tell(e messages.Event)       { e.At = time.Now(); h.config.Tell(e) }
func (h *Host) errorf(format string, a ...any) error {
	return fmt.Errorf("fleet "+h.config.Fleet+": "+format, a...)
}

// enqueue has the file written, in the order of the calls. It waits for nobody.
func (h *Host) enqueue(k keeping) {
	h.queued.Lock()
	h.queue = append(h.queue, k)
	begin := len(h.queue) == 1 && !h.keeps
	h.keeps = h.keeps || begin
	h.queued.Unlock()
	if begin {
		h.work.Go(h.keepAll)
	}
}

// keepAll writes what is queued, until nothing is. Who waits for a file waits for a disk no longer than diskPatience.
func (h *Host) keepAll() {
	for {
		h.queued.Lock()
		list := h.queue
		h.queue = nil
		h.keeps = len(list) > 0
		h.queued.Unlock()
		if len(list) == 0 {
			return
		}
		var ids []messages.InstanceID
		for _, k := range list {
			_, err := h.disk.Do(h.life, diskPatience, func() error { return h.keep(k.id, k.now) }, nil)
			var stalled *record.StalledError
			switch {
			case err == nil || h.life.Err() != nil:
			case errors.As(err, &stalled):
				h.log.Error("what is assigned to this host is not on disk: a daemon that begins while the store does "+
					"not answer would not know of it",
					"instance", string(k.id), "error", err)
			default:
				h.log.Error("what is assigned to this host could not be put on disk", "instance", string(k.id),
					"error", err)
			}
			if k.now != nil {
				ids = append(ids, k.id)
			} else {
				h.unfence(k.id)
			}
		}
		h.send(kept{ids})
	}
}

// left ends the part of this host in the fleet, once it has left or has let go of everything.
func (h *Host) left(e member.Event) {
	if _, detached := e.(member.Detach); !detached {
		h.work.Go(func() {
			for id := range h.gate.markedNow() {
				h.unfence(id)
			}
			close(h.gone)
		})
		return
	}
	close(h.gone)
}
