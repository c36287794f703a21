package test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/supervisor"
	"procman/test/fake"
)

// drafts is a provider whose list is a draft.
type drafts struct {
	*fake.Provider
	mu      sync.Mutex
	draft   supervisor.Draft
	changed time.Time
	settled int
}

func draftWorld(t *testing.T) (*fake.World, *drafts) {
	d := &drafts{}
	return fake.NewWorld(t, fake.Answering(), fake.With(func(c *supervisor.Config) {
		d.Provider = c.Provider.(*fake.Provider)
		c.Provider = d
	})), d
}

func (d *drafts) Draft() supervisor.Draft {
	d.mu.Lock()
	defer d.mu.Unlock()
	draft := d.draft
	draft.Quiet = time.Since(d.changed)
	return draft
}

func (d *drafts) Settled() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.settled++
}

func (d *drafts) settlements() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.settled
}

// now says how the list comes about from now on, touch that it is another one.
func (d *drafts) now(draft supervisor.Draft) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.draft = draft
}

func (d *drafts) touch() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changed = time.Now()
}

// F133.
func TestInstancesThatLeaveAListWhichMayBeHalfAFileRunOnUntilThatIsKnown(t *testing.T) {
	bubble(t, "5.2", func(t *testing.T) {
		w, d := draftWorld(t)
		all := []messages.InstanceID{"a", "b", "c", "d", "e", "f"}
		write := func(ids ...messages.InstanceID) { d.touch(); w.Want(ids...) }
		write(all...)
		w.Pass(time.Minute)
		require.NotZero(t, d.settlements())
		alive := func(want int) {
			t.Helper()
			live := 0
			for _, s := range status(t, w) {
				if s.Phase == messages.Running {
					live++
				}
			}
			require.Equal(t, want, live)
		}
		waits := func() []fake.Record { return w.Log.Records("removal waits", "") }

		// A few, in place.
		write(all[:4]...)
		w.Pass(4 * time.Second)
		alive(6)
		w.Pass(2 * time.Second)
		alive(4)
		require.Empty(t, waits())

		// Lines come one by one, and what is new starts at once.
		write(all...)
		w.Pass(time.Second)
		alive(6)
		for n := range all {
			write(all[:n+1]...)
			w.Pass(700 * time.Millisecond)
			alive(6)
		}
		for _, id := range all[:4] {
			require.Equal(t, 1, w.Spawns(id))
		}

		// Cut, and nobody writes any more.
		write("a")
		w.Pass(time.Hour)
		alive(6)
		require.Len(t, waits(), 1, "said once")
		require.Contains(t, w.Of("b").Reason, "`reload` confirms")
		require.Empty(t, w.Of("a").Reason)
		why, _ := w.Explain("b")
		require.Contains(t, why.Verdict.Next, "half a file")
		settled := d.settlements()
		write(all...)
		w.Pass(time.Second)
		require.Empty(t, w.Of("b").Reason, "the entry is back")
		require.Greater(t, d.settlements(), settled)

		// Cut, and confirmed.
		write("a")
		w.Pass(time.Minute)
		alive(6)
		require.NoError(t, w.Reload(context.Background()))
		w.Pass(time.Second)
		alive(1)
		write(all...)
		w.Pass(time.Second)
		write()
		require.NoError(t, w.Reload(context.Background()))
		w.Pass(time.Second)
		alive(0)

		// Replaced in one piece, and open for writing.
		write(all...)
		w.Pass(time.Second)
		d.now(supervisor.Draft{Whole: true, Writing: true})
		write("a", "b", "c", "d", "e")
		w.Pass(time.Minute)
		alive(6)
		d.now(supervisor.Draft{Whole: true})
		w.Pass(2 * time.Second)
		alive(5)
		write()
		w.Pass(time.Second)
		alive(0)
		noBugs(t, w)
	})
}

func TestOnlyWhatHalfAnEntryWouldReplaceWaitsBesideARemovalThatWaits(t *testing.T) {
	bubble(t, "5.2", func(t *testing.T) {
		w, d := draftWorld(t)
		write := func(list ...messages.AppInstance) {
			d.touch()
			w.Set(list...)
			w.Pass(700 * time.Millisecond)
		}
		half := w.App("a")
		half.Env = map[string]string{"KEY": "half"}
		labelled := w.App("b")
		labelled.Labels = map[string]string{"new": "label"}
		write(w.App("a"), w.App("b"), w.App("c"))
		w.Pass(time.Minute)

		write(half, labelled, w.App("new"))
		require.Equal(t, 1, w.Spawns("a"))
		require.Equal(t, "label", w.Of("b").Labels["new"], "a policy at once")
		require.Equal(t, messages.Running, w.Of("new").Phase, "what is new at once")
		write(half, labelled, w.App("new"), w.App("c"))
		require.Equal(t, 1, w.Spawns("a"), "a moment ago it was half a file")
		write(w.App("a"), labelled, w.App("new"), w.App("c"))
		w.Pass(time.Minute)
		require.Equal(t, 1, w.Spawns("a"), "and was never meant")
		require.Equal(t, 1, w.Spawns("c"))

		write(half, labelled, w.App("new"), w.App("c"))
		require.Equal(t, 2, w.Spawns("a"), "where nothing is missing an edit holds at once")
		again := half
		again.DbName = "other.db"
		write(again, labelled)
		w.Pass(3 * time.Second)
		require.Equal(t, 2, w.Spawns("a"))
		w.Pass(2 * time.Second)
		require.Equal(t, 3, w.Spawns("a"), "quiet")
		require.Equal(t, 1, w.Spawns("b"))
		noBugs(t, w)
	})
}

func TestTheFirstListWaitsForWhoeverIsStillWritingIt(t *testing.T) {
	bubble(t, "5.2", func(t *testing.T) {
		w, d := draftWorld(t)
		w.Want("a", "b", "c")
		w.Pass(time.Minute)
		w.KillManager()
		d.now(supervisor.Draft{Writing: true})
		w.Provider.Set(w.App("a"))
		w.StartManager()
		w.Pass(3 * time.Second)
		require.Len(t, w.Spawner.Live(), 3)
		w.Provider.Set(w.App("a"), w.App("b"), w.App("c"))
		d.now(supervisor.Draft{})
		w.Pass(2 * time.Second)
		for _, id := range []messages.InstanceID{"a", "b", "c"} {
			require.Equal(t, 1, w.Spawns(id))
		}
		w.KillManager()
		d.now(supervisor.Draft{Writing: true})
		w.StartManager()
		w.Pass(time.Minute)
		require.True(t, closed(w.Listed()), "not for ever")
		d.now(supervisor.Draft{})
		noBugs(t, w)
	})
}
