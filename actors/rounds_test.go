package actors

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"procman/actors/run"
	"procman/messages"
)

// clinic answers probes as the test says, and notes them.
type clinic struct {
	mu       sync.Mutex
	answers  map[messages.InstanceID]messages.Probe // else healthy
	hanging  map[messages.InstanceID]bool
	asked    []asked
	under    map[messages.InstanceID]int // probes that are out
	most     int                         // at a time of one instance
	released chan struct{}
}

type asked struct {
	id     messages.InstanceID
	at     time.Time
	proved bool
}

func newClinic() *clinic {
	return &clinic{answers: map[messages.InstanceID]messages.Probe{}, hanging: map[messages.InstanceID]bool{},
		under: map[messages.InstanceID]int{}, released: make(chan struct{})}
}

func (c *clinic) Check(ctx context.Context, t messages.Target) messages.Probe {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, asked{t.ID, time.Now(), t.Proved})
	c.under[t.ID]++
	c.most = max(c.most, c.under[t.ID])
	defer func() { c.under[t.ID]-- }()
	if c.hanging[t.ID] {
		c.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(t.Policy.Timeout):
		case <-c.released:
		}
		c.mu.Lock()
	}
	if p, is := c.answers[t.ID]; is {
		return p
	}
	return messages.Probe{OK: true, Status: 200, At: time.Now()}
}

func (c *clinic) say(id messages.InstanceID, p messages.Probe) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers[id] = p
}

func (c *clinic) hang(id messages.InstanceID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hanging[id] = true
}

func (c *clinic) all() []asked {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.asked)
}

func (c *clinic) atATime() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.most
}

func (c *clinic) times(id messages.InstanceID) (at []time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.asked {
		if a.id == id {
			at = append(at, a.at)
		}
	}
	return at
}

// batched is a clinic that is asked as a BatchChecker.
type batched struct {
	*clinic
	begun, cancelled atomic.Int32
}

func (b *batched) Begin(t messages.Target, done func(messages.Probe)) (cancel func()) {
	b.begun.Add(1)
	end := single{b.clinic}.Begin(t, done)
	return func() { b.cancelled.Add(1); end() }
}

func (b *batched) count() int { return int(b.begun.Load()) }

func (b *batched) broken() int { return int(b.cancelled.Load()) }

func watched(r *Rounds, id messages.InstanceID, every time.Duration, share float64,
	bad func(messages.Probe)) (*patient, *Recent) {
	recent := &Recent{}
	t := messages.Target{ID: id, Policy: messages.HealthPolicy{Interval: every, Timeout: time.Second}}
	return r.join(run.Schedule{Every: every, Share: share}, func() messages.Target { return t }, 1, recent, bad), recent
}

func never(t *testing.T) func(messages.Probe) {
	return func(p messages.Probe) { t.Errorf("it is not well: %+v", p) }
}

func TestThoseThatAreDueTogetherAreProbedTogetherOnceInEveryInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClinic()
		r := NewRounds(c)
		var all []*patient
		for n := range 100 {
			p, _ := watched(r, messages.InstanceID(fmt.Sprint(n)), 10*time.Second, float64(n)/100, never(t))
			all = append(all, p)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Len(t, c.all(), 600)
		moments := map[time.Time]int{}
		for _, a := range c.all() {
			moments[a.at]++
		}
		require.Len(t, moments, 6*20, "slots")
		for at, n := range moments {
			require.InDelta(t, 5, n, 0.5, at.String())
		}
		for _, p := range all {
			p.leave()
		}
		time.Sleep(time.Hour)
		require.Len(t, c.all(), 600, "nobody is left")
	})
}

func TestNothingWakesUpWhileNoProbeIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRounds(newClinic())
		p, _ := watched(r, "a", time.Hour, 0.5, never(t))
		wakes := 0
		for range 59 {
			r.mu.Lock()
			require.Equal(t, p.due, r.armed, "the only timer")
			r.mu.Unlock()
			time.Sleep(time.Minute)
			if len(r.checker.(single).HealthChecker.(*clinic).times("a")) > wakes {
				wakes++
			}
		}
		require.Equal(t, 1, wakes)
		p.leave()
		r.mu.Lock()
		defer r.mu.Unlock()
		require.True(t, r.armed.IsZero())
	})
}

func TestAGoodProbeIsKeptAndTheFirstThatIsNotIsToldAndEndsTheRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClinic()
		var told []messages.Probe
		p, recent := watched(NewRounds(c), "a", 10*time.Second, 0, func(p messages.Probe) { told = append(told, p) })
		time.Sleep(25 * time.Second)
		synctest.Wait()
		require.Empty(t, told)
		require.Len(t, recent.All(), 2)
		require.True(t, recent.Of(1).OK)
		require.Equal(t, c.times("a")[1], recent.Of(1).At)
		require.Nil(t, recent.Of(2), "of another run")

		for _, bad := range []messages.Probe{{Error: "status 500", Status: 500}, {Void: true, Error: "not probed"},
			{Conflict: true, Error: "stranger"}} {
			told = nil
			before := len(c.times("a"))
			c.say("a", bad)
			time.Sleep(time.Minute)
			synctest.Wait()
			require.Equal(t, []messages.Probe{bad}, told)
			require.Equal(t, bad, *recent.Of(1))
			require.Len(t, c.times("a"), before+1, "what follows is not for the rounds to say")
			p.leave() // it has left
			c.say("a", messages.Probe{OK: true})
			p, recent = watched(p.rounds, "a", 10*time.Second, 0, func(p messages.Probe) { told = append(told, p) })
		}
		p.leave()
	})
}

func TestOneThatHangsDelaysNoOtherAndIsNotProbedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClinic()
		c.hang("a")
		r := NewRounds(c)
		target := messages.Target{ID: "a", Policy: messages.HealthPolicy{Timeout: 90 * time.Second}}
		slow := r.join(run.Schedule{Every: time.Second}, func() messages.Target { return target }, 1, nil, never(t))
		well, _ := watched(r, "b", time.Second, 0, never(t))
		time.Sleep(time.Minute + time.Second/4)
		synctest.Wait()
		require.Len(t, c.times("a"), 1)
		require.Len(t, c.times("b"), 60)
		for n, at := range c.times("b") {
			require.Equal(t, r.epoch.Add(time.Duration(n+1)*time.Second), at)
		}
		close(c.released)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		require.Len(t, c.times("a"), 6, "and goes on in its slot")
		require.Equal(t, 1, c.atATime())
		slow.leave()
		well.leave()
	})
}

func TestOneThatLeavesWhileItIsProbedIsHeardOfNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &batched{clinic: newClinic()}
		c.hang("a")
		c.say("a", messages.Probe{Error: "timed out"})
		p, recent := watched(NewRounds(c), "a", 10*time.Second, 0, never(t))
		time.Sleep(10*time.Second + time.Second/2)
		synctest.Wait()
		require.Equal(t, 1, c.count())
		p.leave()
		p.leave()
		synctest.Wait()
		require.Equal(t, 1, c.broken())
		require.Empty(t, recent.All())
		time.Sleep(time.Hour)
		require.Equal(t, 1, c.count())
		(*patient)(nil).leave()
	})
}

func TestACheckerThatMakesManyAtATimeIsAskedTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &batched{clinic: newClinic()}
		p, _ := watched(NewRounds(c), "a", 10*time.Second, 0, never(t))
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		require.Equal(t, 6, c.count())
		p.leave()
	})
}

func TestWhoseTheListenerIsIsAskedAtFirstNowAndThenAndWhenAnotherAnswerCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClinic()
		p, _ := watched(NewRounds(c), "a", 10*time.Second, 0, never(t))
		proofs := func(probes int) (asks []int) {
			before := len(c.all())
			time.Sleep(time.Duration(probes) * 10 * time.Second)
			synctest.Wait()
			for n, a := range c.all()[before:] {
				if !a.proved {
					asks = append(asks, n)
				}
			}
			return asks
		}
		time.Sleep(time.Second)
		require.Equal(t, []int{0, 6, 12}, proofs(13), "once a minute")
		c.say("a", messages.Probe{OK: true, Body: "another"})
		require.Equal(t, []int{1, 7}, proofs(8), "the probe after one with another answer")
		p.leave()
	})
}

// After a SIGSTOP, or a pause of the host, every probe that was missed is due at once.
func TestProbesThatWereMissedWhileTheManagerStoodStillComeInTheirSlotsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClinic()
		r := NewRounds(c)
		var all []*patient
		for n := range 10 {
			p, _ := watched(r, messages.InstanceID(fmt.Sprint(n)), 10*time.Second, float64(n)/10, never(t))
			all = append(all, p)
		}
		r.mu.Lock() // it stands still, and its timers with it
		for _, p := range r.waiting {
			p.due = p.due.Add(-time.Hour)
		}
		r.armed = time.Time{}
		r.arm()
		r.mu.Unlock()
		synctest.Wait()
		require.Empty(t, c.all())
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Len(t, c.all(), 10)
		require.False(t, slices.ContainsFunc(c.all()[1:], func(a asked) bool { return a.at.Equal(c.all()[0].at) }))
		for _, p := range all {
			p.leave()
		}
	})
}

func TestTheNewestProbesAreKeptNewestLast(t *testing.T) {
	var none *Recent
	none.add(1, messages.Probe{})
	require.Nil(t, none.Of(1))
	require.Empty(t, none.All())
	r := &Recent{}
	require.Nil(t, r.Of(0))
	for n := range 5 {
		r.add(n/4, messages.Probe{Status: n})
	}
	all := r.All()
	require.Len(t, all, messages.KeptProbes)
	for n, p := range all {
		require.Equal(t, 5-messages.KeptProbes+n, p.Status)
	}
	require.Equal(t, 4, r.Of(1).Status)
	require.Nil(t, r.Of(0), "an earlier run's")
	require.Zero(t, testing.AllocsPerRun(100, func() { _ = r.Of(1) }))
}
