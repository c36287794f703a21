package fleet

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"procman/messages"
	"procman/supervisor"
	"procman/supervisor/fleet/leash"
	"procman/supervisor/fleet/member"
	"procman/supervisor/fleet/place"
	"procman/supervisor/fleet/store"
)

type stopped struct{ leash.Clock }

type booted struct{ Guard }

func (booted) Boot() string { return "boot" }

func (stopped) Now() int64 { return int64(time.Hour) }

// BenchmarkOneChangeOfTenThousand is what a host that has ten thousand instances of the fleet's does when one of them
// changes.
func BenchmarkOneChangeOfTenThousand(b *testing.B) {
	const many = 10_000
	parse := func(id messages.InstanceID, _ []byte) (messages.AppInstance, error) {
		return messages.AppInstance{InstanceID: id, Executable: "/bin/true", Args: []string{string(id)}}.WithDefaults(),
			nil
	}
	h := &Host{config: Config{Fleet: "f", Name: "own", Parse: parse, Tell: func(messages.Event) {}, Clock: stopped{},
		Guard: booted{}, Provider: supervisor.Static(nil)},
		log: slog.New(slog.DiscardHandler), keys: keysOf("f"), gate: newGate()}
	h.life, h.end = context.WithCancel(b.Context())
	defer h.work.Wait()
	defer h.end()
	h.provider = newProvider(h)
	a := newHostActor(h)
	a.first, a.asOf, a.known, a.flushing = false, 1, true, true
	a.member.Phase, a.member.Registered, a.member.Incarnation = member.In, true, "i"
	a.fleet.SetMember(place.Member{Name: "own", Incarnation: "i", Created: 1}, 0)
	assign := func(n, revision int) store.Entry {
		return store.Entry{Key: h.keys.assign(id(n)),
			Value: encode(assignValue{Host: "own", Incarnation: "i", Bound: true}), Modified: store.Revision(revision)}
	}
	for n := range many {
		a.put(store.Entry{Key: h.keys.spec(id(n)), Value: "{}", Modified: 2}, 0, false)
		a.put(assign(n, 3), 0, false)
		a.own[id(n)] = &run{onDisk: true, revision: 2}
		h.gate.living[id(n)] = 1
	}
	a.list()
	a.decide()
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		a.put(assign(n%many, 4+n), 0, false)
		a.list()
		a.decide()
	}
}

func id(n int) messages.InstanceID { return messages.InstanceID(fmt.Sprintf("instance-%05d", n)) }
