package systemd

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"procman/cmd/procman/words"
	"procman/messages"
	"procman/supervisor"
	"procman/supervisor/api"
	"procman/test/fake"
)

func TestWhatTheServiceManagerIsToldFollowsFromWhatItKnows(t *testing.T) {
	const clock = "MONOTONIC_USEC=7\n"
	for _, c := range []struct {
		name      string
		known, is daemonState
		news      []string
	}{
		{"nothing is new", daemonState{listed: true}, daemonState{listed: true}, nil},
		{"the list is in force", daemonState{}, daemonState{listed: true}, []string{"READY=1\nSTATUS="}},
		{"a reload before that", daemonState{}, daemonState{begun: 1}, nil},
		{"and its end", daemonState{begun: 1}, daemonState{begun: 1, over: 1}, nil},
		{"a reload begins", daemonState{listed: true}, daemonState{listed: true, begun: 1},
			[]string{"RELOADING=1\n" + clock + "STATUS="}},
		{"a reload is over", daemonState{listed: true, begun: 1}, daemonState{listed: true, begun: 1, over: 1},
			[]string{"READY=1\nSTATUS="}},
		{"a reload that was quick", daemonState{listed: true}, daemonState{listed: true, begun: 1, over: 1},
			[]string{"RELOADING=1\n" + clock + "STATUS=", "READY=1\nSTATUS="}},
		{"one of two is over", daemonState{listed: true, begun: 2}, daemonState{listed: true, begun: 2, over: 1}, nil},
		{"another begins meanwhile", daemonState{listed: true, begun: 1}, daemonState{listed: true, begun: 2, over: 1},
			[]string{"RELOADING=1\n" + clock + "STATUS="}},
		{"a stop", daemonState{listed: true}, daemonState{listed: true, end: api.ModeStop},
			[]string{"STOPPING=1\nSTATUS=\n" + extension}},
		{"a leave", daemonState{listed: true}, daemonState{listed: true, end: api.ModeLeave},
			[]string{"STOPPING=1\nSTATUS="}},
		{"a stop before the first list", daemonState{}, daemonState{end: api.ModeStop},
			[]string{"STOPPING=1\nSTATUS=\n" + extension}},
		{"an upgrade", daemonState{listed: true}, daemonState{listed: true, end: ModeReplace},
			[]string{"RELOADING=1\n" + clock + "STATUS="}},
		{"after STOPPING nothing is ready any more", daemonState{listed: true, begun: 1, end: api.ModeStop},
			daemonState{listed: true, begun: 1, over: 1, end: api.ModeStop}, nil},
	} {
		require.Equal(t, c.news, c.known.news(c.is, clock), c.name)
	}
}

func TestAStatusCountsTheInstancesInWords(t *testing.T) {
	is := func(p messages.Phase, h messages.Health, held bool) messages.Status {
		return messages.Status{Phase: p, Health: h, Held: held}
	}
	up := is(messages.Running, messages.Healthy, false)
	for want, all := range map[string][]messages.Status{
		"no instances":            nil,
		"1 of 1 instance healthy": {up},
		"1 of 3 instances healthy, 1 starting, 1 held": {up, is(messages.Starting, "", false),
			is(messages.Stopped, "", true)},
		"0 of 7 instances healthy, 1 unhealthy, 1 starting, 1 stopping, 1 backing off, 1 failed, 1 held, 1 stopped": {
			is(messages.Running, messages.NotHealthy, false), is(messages.Running, messages.HealthUnknown, false),
			is(messages.Stopping, "", true), is(messages.Backoff, "", false), is(messages.Failed, "", false),
			is(messages.Stopped, "", true), is(messages.Stopped, "", false),
		},
	} {
		require.Equal(t, want, summary(all))
	}
	require.Equal(t, "1 of 1 instance healthy; configuration rejected, the last good one is in force: x",
		daemonState{listed: true, fault: words.Head("x\n  caret ^")}.line([]messages.Status{up}))
	require.Equal(t, "stopping, 1 of 2 instances still running",
		daemonState{listed: true, end: api.ModeStop}.line([]messages.Status{up, is(messages.Stopped, "", false)}))
	require.NotContains(t, words.Head("a\x1b[31m\r\x00b"), "\x1b")
	require.Len(t, []rune(words.Head(strings.Repeat("é", 1000))), 300)
}

// hearing is what a notifier said, and when.
type hearing struct {
	mu    sync.Mutex
	said  []string
	times []time.Time
	fails error
}

func (h *hearing) send(state string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.said, h.times = append(h.said, state), append(h.times, time.Now())
	return h.fails
}

// of returns when something was said that begins so.
func (h *hearing) of(prefix string) []time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	var times []time.Time
	for n, s := range h.said {
		if strings.HasPrefix(s, prefix) {
			times = append(times, h.times[n])
		}
	}
	return times
}

func (h *hearing) last() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.said[len(h.said)-1]
}

func TestAStatusIsToldWhenItChangesAndAtMostOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := fake.NewWorld(t, fake.Backoff(300*time.Millisecond), fake.Answering())
		var h hearing
		n := notify(h.send, 0, w.Supervisor, slog.New(slog.DiscardHandler))
		time.Sleep(time.Second)
		require.Equal(t, "READY=1\nSTATUS=no instances", h.last())
		w.Want("a", "b")
		for range 20 { // it changes all the time, and not in step with the status
			time.Sleep(730 * time.Millisecond)
			require.NoError(t, w.Stop(t.Context(), "a"))
			time.Sleep(730 * time.Millisecond)
			require.NoError(t, w.Start(t.Context(), "a"))
		}
		told := h.of("STATUS=")
		require.Greater(t, len(told), 3)
		for i := range told[1:] {
			require.GreaterOrEqual(t, told[i+1].Sub(told[i]), statusEvery)
		}
		time.Sleep(time.Hour)
		require.Equal(t, "STATUS=2 of 2 instances healthy", h.last())
		before := len(h.of(""))
		time.Sleep(time.Hour)
		require.Len(t, h.of(""), before, "nothing changes, nothing is said")
		require.NoError(t, n.Close())
	})
}

func TestNothingIsReadyBeforeTheFirstListIsInForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering(), fake.With(func(c *supervisor.Config) {
			c.Provider.(*fake.Provider).Fail(errors.New("who knows"))
		}))
		var h hearing
		n := notify(h.send, 0, w.Supervisor, slog.New(slog.DiscardHandler))
		time.Sleep(time.Hour)
		require.Empty(t, h.of("READY=1"))
		require.Contains(t, h.last(), "who knows")
		w.Want("a")
		time.Sleep(time.Minute)
		require.Len(t, h.of("READY=1"), 1)
		require.Equal(t, "STATUS=1 of 1 instance healthy", h.last())
		require.NoError(t, n.Close())
	})
}

func TestWithoutAnAnswerOfTheRootThereIsNoSignOfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := fake.NewWorld(t)
		var h hearing
		var log fake.Journal
		n := notify(h.send, 30*time.Second, w.Supervisor, slog.New(slog.NewTextHandler(&log, nil)))
		time.Sleep(time.Minute + time.Second)
		require.Len(t, h.of("WATCHDOG=1"), 5, "at once, and then every 15 s")
		require.Empty(t, log.String())

		stuck := make(chan struct{})
		subscription := w.System.EventStream.Subscribe(func(published any) {
			if _, is := published.(messages.Reconciled); is {
				<-stuck // the root calls this
			}
		})
		w.Provider.Set()
		time.Sleep(time.Minute)
		require.Len(t, h.of("WATCHDOG=1"), 5)
		require.Contains(t, log.String(), "will replace this manager")

		w.System.EventStream.Unsubscribe(subscription)
		close(stuck)
		time.Sleep(time.Minute)
		require.GreaterOrEqual(t, len(h.of("WATCHDOG=1")), 8, "it answers again")
		require.NoError(t, n.Close())
	})
}

func TestAStopIsGivenAsMuchPatienceAsTheLongestGraceAndNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering(), fake.Each(func(a *messages.AppInstance) { a.Stop.Grace = time.Hour }))
		w.Want("a")
		time.Sleep(time.Second)
		w.Spawner.Processes("a")[0].IgnoreTERM()
		var h hearing
		n := notify(h.send, 0, w.Supervisor, slog.New(slog.DiscardHandler))
		time.Sleep(time.Second)
		n.Ending(api.ModeStop, 5*time.Minute)
		go func() { _ = w.Shutdown(t.Context()) }()
		time.Sleep(time.Minute + time.Second)
		require.Equal(t, 1, len(h.of("STOPPING=1")))
		require.Len(t, h.of(extension), 6, "every 10 s")
		time.Sleep(30 * time.Minute)
		require.Less(t, len(h.of(extension)), 31, "what takes longer than any grace is the service manager's to judge")
		require.Empty(t, h.of("READY=1\nSTATUS=stopping"))
		require.NoError(t, n.Close())
	})
}

func TestAServiceManagerThatDoesNotHearIsReportedOnceAndAgainWhenItIsAnotherError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering(), fake.Backoff(time.Second))
		h := hearing{fails: errors.New("no such socket")}
		var log fake.Journal
		n := notify(h.send, 0, w.Supervisor, slog.New(slog.NewTextHandler(&log, nil)))
		w.Want("a")
		time.Sleep(time.Minute)
		require.Greater(t, len(h.of("")), 1)
		require.Equal(t, 1, strings.Count(log.String(), "does not hear"))
		require.NoError(t, n.Close())
	})
}

func TestWithoutAServiceManagerNothingIsTold(t *testing.T) {
	n := NewNotifier(nil, nil, nil)
	require.Nil(t, n)
	n.Reloading()(nil)
	n.Ending(api.ModeStop, 0)
	require.NoError(t, n.Close())
}
