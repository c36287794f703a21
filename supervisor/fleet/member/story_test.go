package member

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// tale is a host with a clock, whose actions are noted.
type tale struct {
	t    *testing.T
	s    State
	now  time.Duration
	said []string
	acts []Action
}

func begin(t *testing.T) *tale {
	s, err := NewSchedule(9*sec, 1500*time.Millisecond)
	require.NoError(t, err)
	return &tale{t: t, s: Begin("boot", s), now: 1000 * sec}
}

func (a *tale) feed(events ...Event) {
	for _, e := range events {
		var actions []Action
		a.s, actions = Step(a.s, a.now, e)
		for _, x := range actions {
			switch x := x.(type) {
			case Say:
				a.said = append(a.said, string(x.What))
			case Arm:
			case Bug:
				require.Fail(a.t, fmt.Sprint(x))
			default:
				a.acts = append(a.acts, x)
			}
		}
	}
}

// take returns what was to be done since it was asked last.
func (a *tale) take() []Action {
	acts := a.acts
	a.acts = nil
	return acts
}

// wait lets the time pass, with a Tick whenever one was armed.
func (a *tale) wait(d time.Duration) {
	for end := a.now + d; a.now < end; {
		at := end
		if a.s.ArmedAt > a.now && a.s.ArmedAt < end {
			at = a.s.ArmedAt
		}
		a.now = at
		a.feed(Tick{})
	}
}

// joined is a host that is in, its lease asked for at that moment.
func joined(t *testing.T) *tale {
	a := begin(t)
	a.feed(LeashUp{}, Loaded{}, Granted{T0: a.now, Lease: 7, Incarnation: "seven", TTL: 9 * sec},
		Persisted{a.s.record(0)})
	for _, x := range a.take() {
		if p, is := x.(Persist); is {
			a.feed(Persisted(p))
		}
	}
	a.feed(Registered{7})
	require.Equal(t, In, a.s.Phase)
	a.take()
	return a
}

func TestAHostJoinsOnlyWithALeashAndIsInOnceItsRecordIsOnDiskAndItsNameIsItsOwn(t *testing.T) {
	a := begin(t)
	a.feed(Loaded{})
	require.Equal(t, []Action{StartLeash{}}, a.take())
	a.feed(LeashUp{})
	require.Equal(t, []Action{Grant{T0: a.now, TTL: 9 * sec}}, a.take())
	sent := a.now
	a.now += sec
	a.feed(Granted{T0: sent, Lease: 7, Incarnation: "seven", TTL: 9 * sec})
	r := Record{Boot: "boot", Lease: 7, Incarnation: "seven", TTL: 9 * sec, Grace: 1500 * time.Millisecond,
		Renewed: sent, KillAt: sent + 8500*time.Millisecond, Deadline: sent + 8910*time.Millisecond}
	require.Equal(t, []Action{Persist{r}}, a.take())
	require.Zero(t, a.s.Deadline())
	a.feed(Persisted{r})
	require.Equal(t, []Action{Register{7, "seven"}}, a.take())
	require.False(t, a.s.MayStart(a.now))
	a.feed(Registered{7})
	require.Equal(t, []Action{Admit{}}, a.take())
	require.True(t, a.s.MayStart(a.now))
	require.Equal(t, sent+8910*time.Millisecond, a.s.Deadline(), "counted from before the lease was asked for")
}

func TestAPartitionIsSuspectedThenFencedInstancesEndBeforeTheLeashKills(t *testing.T) {
	a := joined(t)
	t0 := a.now
	a.wait(4*sec - 1)
	require.Equal(t, In, a.s.Phase)
	a.wait(1)
	require.Equal(t, Suspect, a.s.Phase)
	a.wait(2*sec - 1)
	require.True(t, a.s.MayStart(a.now))
	a.take()
	a.wait(1)
	require.Equal(t, Yielding, a.s.Phase)
	require.Equal(t, []Action{End{Round: 1, By: t0 + 7500*time.Millisecond}, Renew{T0: a.now, Lease: 7}}, a.take())
	require.False(t, a.s.MayStart(a.now))
	a.feed(Down{Round: 0})
	require.Equal(t, Yielding, a.s.Phase, "that was of another round")
	a.feed(Down{Round: 1})
	require.Equal(t, Fenced, a.s.Phase)
	require.Equal(t, []string{"joined", "suspect", "yielding", "fenced"}, a.said)

	a.take()
	a.wait(2 * sec)
	require.Equal(t, []Action{Renew{T0: a.now, Lease: 7}}, a.take(), "the lease may live on, if the store was down")
	a.feed(Renewed{T0: a.now, Lease: 7, TTL: 9 * sec})
	a.feed(Persisted{a.s.record(a.now)})
	require.Equal(t, In, a.s.Phase)
	require.Contains(t, a.take(), Admit{})
}

func TestALateAnswerCountsFromWhenItWasAskedFor(t *testing.T) {
	a := joined(t)
	a.wait(2 * sec)
	sent := a.now
	a.wait(1500 * time.Millisecond)
	a.feed(Renewed{T0: sent, Lease: 7, TTL: 9 * sec})
	a.feed(Persisted{a.s.record(sent)})
	require.Equal(t, sent+8910*time.Millisecond, a.s.Deadline())
}

func TestADaemonThatWasFrozenForAnHourFindsTheAnswerOfAnHourAgoAndEndsWhatIsFenced(t *testing.T) {
	a := joined(t)
	a.wait(2 * sec)
	sent := a.now
	a.take()
	a.now += time.Hour
	require.False(t, a.s.MayStart(a.now))
	a.feed(Renewed{T0: sent, Lease: 7, TTL: 9 * sec})
	require.Equal(t, Yielding, a.s.Phase)
	for _, x := range a.take() {
		require.NotContains(t, []string{"member.Persist", "member.Admit"}, fmt.Sprintf("%T", x))
	}
}

func TestARenewalThatCouldNotBeWrittenDoesNotCount(t *testing.T) {
	a := joined(t)
	before := a.s.Deadline()
	for range 3 {
		a.wait(2 * sec)
		a.feed(Renewed{T0: a.now, Lease: 7, TTL: 9 * sec})
		a.feed(PersistFailed{Record: a.s.record(a.s.Answered), Why: "no space left on device"})
	}
	require.Equal(t, before, a.s.Deadline())
	require.Equal(t, Yielding, a.s.Phase)
	require.Equal(t, []string{"joined", "not durable", "suspect", "yielding"}, a.said, "and is said once")
	a.feed(Down{1})
	a.wait(2 * sec)
	a.feed(Renewed{T0: a.now, Lease: 7, TTL: 9 * sec})
	a.feed(PersistFailed{Record: a.s.record(a.s.Answered), Why: "no space left on device"})
	require.Equal(t, Out, a.s.Phase, "so that the lease ends, and others take over")
}

func TestADiskThatDoesNotAnswerKeepsNobodyWaitingForThisHost(t *testing.T) {
	a := joined(t)
	a.wait(2 * sec)
	a.feed(Renewed{T0: a.now, Lease: 7, TTL: 9 * sec})
	for range 4 {
		a.wait(2 * sec)
		a.feed(Renewed{T0: a.now, Lease: 7, TTL: 9 * sec}, Down{1})
	}
	require.Equal(t, Out, a.s.Phase)
	a.take()
	a.wait(time.Minute)
	require.Empty(t, a.take(), "no lease is asked for that could not be written either")
}

func TestWithoutALeashNoRenewalCounts(t *testing.T) {
	a := joined(t)
	before := a.s.Deadline()
	a.feed(LeashGone{Why: "killed"}, LeashGone{Why: "killed"})
	require.Equal(t, []string{"joined", "no leash"}, a.said, "once, however often one cannot be started")
	require.Equal(t, []Action{StartLeash{}}, a.take())
	require.False(t, a.s.MayStart(a.now))
	a.wait(2 * sec)
	a.feed(Renewed{T0: a.now, Lease: 7, TTL: 9 * sec})
	require.Equal(t, before, a.s.Deadline())
	a.feed(LeashUp{})
	a.wait(2 * sec)
	a.feed(Renewed{T0: a.now, Lease: 7, TTL: 9 * sec})
	a.feed(Persisted{a.s.record(a.now)})
	require.Greater(t, a.s.Deadline(), before)
}

func TestALostLeaseEndsWhatIsFencedAtOnce(t *testing.T) {
	for _, e := range []Event{LeaseLost{7}, NameTaken{Lease: 7, By: "eight at 10.0.0.9"}} {
		a := joined(t)
		a.feed(e)
		acts := a.take()
		require.Contains(t, acts, End{Round: 1, By: a.now})
		require.True(t, acts[0].(Persist).Record.Void(), "for the leash, should the daemon not live on")
		a.feed(Renewed{T0: a.now, Lease: 7, TTL: 9 * sec})
		require.Empty(t, a.take())
		a.feed(Down{1})
		require.Equal(t, Joining, a.s.Phase)
		require.Contains(t, a.take(), Grant{T0: a.now, TTL: 9 * sec})
	}
}

func TestASuccessorGoesOnWithTheSameLeaseAndDeadline(t *testing.T) {
	a := joined(t)
	r := a.s.record(a.now)
	b := begin(t)
	b.now = a.now + 3*sec
	b.feed(LeashUp{}, Loaded{Record: r, Survivors: true})
	require.Equal(t, In, b.s.Phase)
	require.Equal(t, r.Deadline, b.s.Deadline())
	require.Equal(t, []Action{Admit{}, Renew{T0: b.now, Lease: 7}}, b.take(), "nothing is ended")
	require.False(t, b.s.MayStart(b.now), "until the assignments are read")
	b.feed(Renewed{T0: b.now, Lease: 7, TTL: 9 * sec})
	b.feed(Persisted{b.s.record(b.now)}, Registered{7})
	require.True(t, b.s.MayStart(b.now))
	require.Equal(t, []string{"resumed"}, b.said)
}

func TestASuccessorThatMayNotGoOnEndsWhatLivesBeforeItJoins(t *testing.T) {
	valid := joined(t).s.record(1000 * sec)
	late, boot, future, void, none := valid, valid, valid, valid, Record{}
	late.Renewed -= 6 * sec
	boot.Boot = "another"
	future.Renewed += sec
	void.Deadline = void.Renewed
	for name, r := range map[string]Record{
		"late": late, "another boot": boot, "of the future": future, "void": void, "none": none,
	} {
		a := begin(t)
		a.feed(LeashUp{}, Loaded{Record: r, Survivors: true})
		require.Equal(t, Yielding, a.s.Phase, name)
		require.Equal(t, []Action{End{Round: 1, By: a.now}}, a.take(), name)
		a.wait(5 * sec)
		require.Empty(t, a.take())
		require.Contains(t, a.said, "overdue")
		a.feed(Down{1})
		require.Contains(t, a.take(), Grant{T0: a.now, TTL: 9 * sec})
	}
}

func TestAHostWhoseNameIsTakenDoesNotJoinAndTriesAgainWithEachRenewal(t *testing.T) {
	a := begin(t)
	a.feed(LeashUp{}, Loaded{}, Granted{T0: a.now, Lease: 7, Incarnation: "seven", TTL: 9 * sec})
	a.feed(Persisted{a.s.record(a.now)}, NameTaken{Lease: 7, By: "six at 10.0.0.9"})
	require.Equal(t, Joining, a.s.Phase)
	for range 6 {
		a.wait(2 * sec)
		a.take()
		a.feed(Renewed{T0: a.now, Lease: 7, TTL: 9 * sec})
		a.feed(Persisted{a.s.record(a.now)}, NameTaken{Lease: 7, By: "six at 10.0.0.9"})
		require.Contains(t, a.take(), Register{7, "seven"})
	}
	require.Equal(t, []string{"hindered"}, a.said)
	a.feed(Registered{7})
	require.Equal(t, In, a.s.Phase)
}

func TestAHostThatLeavesGivesBackOnlyOnceAllIsDownAndTheRecordIsVoid(t *testing.T) {
	a := joined(t)
	a.feed(Leave{})
	require.Equal(t, []Action{End{Round: 1, All: true}}, a.take(), "with the grace of each")
	a.wait(2 * sec)
	require.Equal(t, []Action{Renew{T0: a.now, Lease: 7}}, a.take())
	a.feed(Renewed{T0: a.now, Lease: 7, TTL: 9 * sec})
	a.feed(Persisted{a.s.record(a.now)})
	a.take()
	a.feed(Down{1})
	acts := a.take()
	require.Len(t, acts, 1)
	void := acts[0].(Persist).Record
	require.True(t, void.Void())
	a.feed(Persisted{void})
	require.Equal(t, []Action{Release{}}, a.take())
	a.feed(Released{})
	require.Equal(t, []Action{Revoke{7}}, a.take())
	a.feed(Revoked{})
	require.Equal(t, Gone, a.s.Phase)
	require.Equal(t, []string{"joined", "left"}, a.said)
}

func TestAHostThatLeavesInAPartitionIsPressedOn(t *testing.T) {
	a := joined(t)
	t0 := a.now
	a.feed(Leave{})
	a.take()
	a.wait(6 * sec)
	require.Contains(t, a.take(), End{Round: 1, By: t0 + 7500*time.Millisecond, All: true})
	a.feed(Down{1})
	a.feed(Persisted{a.s.void()})
	a.wait(8 * sec)
	require.Equal(t, Gone, a.s.Phase, "and waits for nobody")
}

func TestADetachSaysWhenTheLeashKills(t *testing.T) {
	a := joined(t)
	_, actions := Step(a.s, a.now, Detach{})
	require.Equal(t, []Action{Say{What: Detached, At: a.now + 8500*time.Millisecond}}, actions)
}

func TestALeaseForLessThanWasAskedForIsNotUsed(t *testing.T) {
	a := begin(t)
	a.feed(LeashUp{}, Loaded{}, Granted{T0: a.now, Lease: 7, Incarnation: "seven", TTL: 5 * sec})
	require.Equal(t, Out, a.s.Phase)
	require.Equal(t, []string{"hindered"}, a.said)
}

func TestAHostKeepsAskingForALease(t *testing.T) {
	a := begin(t)
	a.feed(LeashUp{}, Loaded{})
	for range 3 {
		require.Equal(t, []Action{Grant{T0: a.now, TTL: 9 * sec}}, a.take())
		a.wait(4 * sec)
	}
	a.take()
	a.feed(GrantFailed{T0: a.now, Why: "connection refused"})
	a.wait(2*sec - 1)
	require.Empty(t, a.take())
	a.wait(1)
	require.Len(t, a.take(), 1)
}
