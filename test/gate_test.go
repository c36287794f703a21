package test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/test/fake"
)

// takes is how a process starts that is healthy after so long, in which it uses the processor; hangs, if it never is,
// and waits for something else than the processor.
const hangs = time.Duration(0)

func starting(w *fake.World, takes func(id messages.InstanceID) time.Duration) {
	w.Spawner.OnSpawn(func(p *fake.Process) {
		d := takes(p.App.InstanceID)
		if d == hangs {
			p.Idle()
			return
		}
		time.AfterFunc(d, func() {
			p.Idle()
			w.Health.Answer(p, nil)
		})
	})
}

// hanging is a list of those that hang, before and among those that do not.
func hanging(id messages.InstanceID) time.Duration {
	if strings.HasPrefix(string(id), "hangs") {
		return hangs
	}
	return 10 * time.Millisecond
}

func named(prefix string, n int) (all []messages.InstanceID) {
	for i := range n {
		all = append(all, messages.InstanceID(fmt.Sprintf("%s-%03d", prefix, i)))
	}
	return all
}

// Eight that hang in their start kept one that is healthy in 10 ms from its first start for 40 s, and from its restart
// after a crash for 19.5 s.
func TestEightThatHangKeepAHealthyOneFromNothing(t *testing.T) {
	bubble(t, "5.2 Starting", func(t *testing.T) {
		w := fake.NewWorld(t, fake.With(parallel(2)))
		starting(w, hanging)
		w.Want(append(named("hangs", 8), "web")...)
		w.Pass(500 * time.Millisecond)
		require.Equal(t, messages.Running, w.Of("web").Phase)
		for range 20 {
			w.Pass(2 * time.Minute) // those that hang are ended and started again meanwhile
			w.Process("web").Exit(1)
			w.Pass(500 * time.Millisecond)
			require.Equal(t, messages.Running, w.Of("web").Phase)
			require.Zero(t, w.Of("web").ConsecutiveFailures)
		}
		require.Greater(t, w.Of("hangs-000").ConsecutiveFailures, 1)
		noBugs(t, w)
	})
}

// What a hundred depend on is down. The queue never emptied.
func TestAHundredThatHangDoNotSlowNineHundredDown(t *testing.T) {
	bubble(t, "5.2 Starting", func(t *testing.T) {
		w := fake.NewWorld(t, fake.With(parallel(8)))
		starting(w, hanging)
		good := named("web", fewer(900, 200))
		all := slices.Concat(named("hangs", 100), good)
		w.Want(all...)
		w.Pass(5 * time.Second) // 900 times 10 ms on eight processors are 1.1 s
		for _, s := range status(t, w) {
			require.NotZero(t, s.PID, s.ID)
			require.Equal(t, !strings.HasPrefix(string(s.ID), "hangs"), s.Phase == messages.Running, s.ID)
		}
		noBugs(t, w)
	})
}

// Those that burn the processor and then fail, again and again, keep nobody from it either.
func TestThoseThatFailAgainAndAgainLeaveRoomForOthers(t *testing.T) {
	bubble(t, "5.2 Starting", func(t *testing.T) {
		w := fake.NewWorld(t, fake.With(parallel(2)), fake.Backoff(time.Millisecond))
		w.Spawner.OnSpawn(func(p *fake.Process) {
			if strings.HasPrefix(string(p.App.InstanceID), "fails") {
				time.AfterFunc(5*time.Second, func() { p.Exit(1) })
				return
			}
			time.AfterFunc(10*time.Millisecond, func() { p.Idle(); w.Health.Answer(p, nil) })
		})
		w.Want(named("fails", 8)...)
		w.Pass(5 * time.Minute)
		w.Want(append(named("fails", 8), "web")...)
		w.Pass(time.Second)
		require.Equal(t, messages.Running, w.Of("web").Phase)
		w.Pass(2 * time.Minute)
		w.Process("web").Exit(1)
		w.Pass(time.Second)
		require.Equal(t, messages.Running, w.Of("web").Phase, "and its restart, too")
		for _, id := range named("fails", 8) {
			before := w.Spawns(id)
			require.Greater(t, before, 1)
			require.Greater(t, w.Of(id).ConsecutiveFailures, 1)
		}
		noBugs(t, w)
	})
}

func TestWhoWaitsForItsTurnSaysSoAndAnOperatorHasItGoFirst(t *testing.T) {
	bubble(t, "5.2 Starting", func(t *testing.T) {
		w := fake.NewWorld(t, fake.With(parallel(1)))
		starting(w, func(messages.InstanceID) time.Duration { return 5 * time.Second })
		all := ids(6)
		w.Want(all...)
		w.Pass(time.Second)
		waits := func(id messages.InstanceID) bool {
			s, e := w.Of(id), messages.Explanation{}
			if s.PID != 0 {
				return false
			}
			e, _ = w.Explain(id)
			require.Equal(t, "waits for its turn: 1 instance that starts uses the processor, and start.parallel is 1",
				s.Reason)
			require.Equal(t, s, e.Status)
			require.Equal(t, "has no process yet, and "+s.Reason, e.Verdict.Summary)
			return true
		}
		last := messages.InstanceID("")
		for _, id := range all {
			if waits(id) {
				last = id
			}
		}
		require.NotEmpty(t, last)
		require.NoError(t, w.Start(context.Background(), last))
		w.Pass(5 * time.Second)
		require.False(t, waits(last), "it went before the four others")
		// A stop of one that waits is immediate, and keeps nobody waiting.
		var stopped messages.InstanceID
		for _, id := range all {
			if stopped == "" && waits(id) {
				stopped = id
			}
		}
		require.NoError(t, w.Stop(context.Background(), stopped))
		w.Pass(0)
		require.Equal(t, messages.Stopped, w.Of(stopped).Phase)
		require.Zero(t, w.Spawns(stopped))
		w.Pass(time.Minute)
		for _, id := range all {
			if id != stopped {
				require.Equal(t, messages.Running, w.Of(id).Phase)
			}
		}
		noBugs(t, w)
	})
}

func TestARestartOfWhatWasStableGoesBeforeFirstStarts(t *testing.T) {
	bubble(t, "5.2 Starting", func(t *testing.T) {
		w := fake.NewWorld(t, fake.With(parallel(1)))
		starting(w, func(messages.InstanceID) time.Duration { return time.Second })
		w.Want("web")
		w.Pass(2 * time.Minute)
		w.Want(append(ids(20), "web")...)
		w.Pass(5 * time.Second)
		w.Process("web").Exit(1)
		w.Pass(2500 * time.Millisecond)
		require.Equal(t, messages.Running, w.Of("web").Phase)
		require.Equal(t, 2, w.Spawns("web"))
		require.Less(t, len(w.Spawner.Live()), 15)
	})
}
