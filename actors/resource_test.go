package actors

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

// thing is a resource that notes what happens to it.
type thing struct {
	name  string
	fails error
	told  *[]string
}

func (f thing) note(what string) { *f.told = append(*f.told, what+" "+f.name) }

func (f thing) Acquire(context.Context, *messages.Launch) error {
	f.note("acquire")
	return f.fails
}

func (f thing) Attach(*messages.Launched) error {
	f.note("attach")
	return f.fails
}

func (f thing) Release(*End) { f.note("release") }

// three are resources that are held for a start, for the run, and until its end was reported.
func three(log *[]string, fails error) holdings {
	return holdings{
		{Resource: thing{"disk", nil, log}, until: told},
		{Resource: thing{"slot", nil, log}, until: ready},
		{Resource: thing{"port", fails, log}, until: over},
	}
}

func TestWhatARunHoldsIsAcquiredInOrderAndReleasedInReverse(t *testing.T) {
	var log []string
	held := three(&log, nil)
	require.NoError(t, held.acquire(t.Context(), &messages.Launch{}))
	held.release(begun, nil)
	held.attach(&messages.Launched{}, func(err error) { t.Error(err) })
	require.Equal(t, []string{"acquire disk", "acquire slot", "acquire port", "attach disk", "attach port"}, log)
	log = nil
	held.release(ready, nil)
	held.release(over, &End{})
	log = append(log, "report")
	held.release(told, &End{})
	held.release(told, &End{})
	require.Equal(t, []string{"release slot", "release port", "report", "release disk"}, log, "each once")
	require.False(t, held.any())
}

func TestAStartThatIsRefusedGivesBackWhatItHad(t *testing.T) {
	var log []string
	refusal := errors.New("none is free")
	held := three(&log, refusal)
	require.ErrorIs(t, held.acquire(t.Context(), &messages.Launch{}), refusal)
	require.Equal(t, []string{"acquire disk", "acquire slot", "acquire port", "release slot", "release disk"}, log)
	require.False(t, held.any())
}

// groups are cgroups that note what happens to them.
type groups struct {
	each    bool
	fails   error
	starved int
	told    []string
}

func (g *groups) Each() bool { return g.each }

func (g *groups) Make(id messages.InstanceID, run int, r messages.Resources) (string, error) {
	g.told = append(g.told, fmt.Sprintf("make %s@%d %v", id, run, r.Memory))
	return fmt.Sprintf("/%s@%d", id, run), g.fails
}

func (g *groups) Starved(path string) int { return g.starved }

func (g *groups) Remove(id messages.InstanceID, path string) { g.told = append(g.told, "remove "+path) }

func TestOnlyWhoUsesACgroupHasOneAndItIsGoneWithTheRun(t *testing.T) {
	plain := &messages.AppInstance{InstanceID: "a"}
	bounded := &messages.AppInstance{InstanceID: "a", Resources: &messages.Resources{Memory: 1 << 20}}
	find := func(w World, o Order) *cgroup {
		for _, h := range w.resources(o) {
			if c, is := h.Resource.(*cgroup); is {
				require.Equal(t, over, h.until, "it goes when nobody of the run lives")
				return c
			}
		}
		return nil
	}
	require.Nil(t, find(World{}, Order{App: plain}))
	require.Nil(t, find(World{Cgroups: &groups{}}, Order{App: plain}))
	require.NotNil(t, find(World{Cgroups: &groups{each: true}}, Order{App: plain}))
	require.Nil(t, find(World{Cgroups: &groups{each: true}}, Order{App: plain, Adopt: true}), "the process tells")
	require.NotNil(t, find(World{Cgroups: &groups{}}, Order{App: bounded}))
	var start *messages.StartError
	require.ErrorAs(t, find(World{}, Order{App: bounded}).Acquire(t.Context(), &messages.Launch{}), &start)
	require.Equal(t, messages.FaultBounds, start.Fault)

	g := &groups{starved: 2}
	c, l := find(World{Cgroups: g}, Order{App: bounded, Run: 7}), messages.Launch{}
	require.NoError(t, c.Acquire(t.Context(), &l))
	require.Equal(t, "/a@7", l.Cgroup)
	c.Release(&End{Left: true})
	require.Equal(t, []string{"make a@7 1MiB"}, g.told, "whoever adopts the process has it")
	e := &End{}
	c.Release(e)
	require.Equal(t, []string{"make a@7 1MiB", "remove /a@7"}, g.told)
	require.Equal(t, "; the kernel killed 2 processes of it for want of memory within resources.memory", e.Rest.Text(0))

	w := World{Cgroups: g}
	held := w.resources(Order{App: plain, Adopt: true})
	held = held.grouped(&w, Order{App: plain})
	require.Len(t, held.grouped(&w, Order{App: plain}), len(held), "one is enough")
	adopted := held[len(held)-1].Resource.(*cgroup)
	require.NoError(t, adopted.Attach(&messages.Launched{Cgroup: "/a@3"}))
	e = &End{}
	adopted.Release(e)
	require.Contains(t, g.told, "remove /a@3")
	require.Equal(t, 2, e.Rest.Starved, "though what was adopted does not tell its bounds")
}

func TestAProcessThatWasFoundHasNothingOfWhatOnlyAStartNeeds(t *testing.T) {
	var log []string
	var missing []error
	held := three(&log, errors.New("another has it"))
	held.attach(&messages.Launched{}, func(err error) { missing = append(missing, err) })
	require.Len(t, missing, 1)
	held.release(told, &End{Left: true})
	require.Equal(t, []string{"attach disk", "attach port", "release disk"},
		log, "what could not be taken over is not given back")
}
