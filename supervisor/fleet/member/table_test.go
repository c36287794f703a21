package member

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// everyEvent returns one event of each name, of the lease of settled.
func everyEvent() map[string]Event {
	out := map[string]Event{}
	for _, e := range []Event{
		Loaded{}, LeashUp{}, LeashGone{}, Granted{}, GrantFailed{}, Renewed{Lease: 7}, RenewFailed{Lease: 7},
		LeaseLost{7},
		Persisted{}, PersistFailed{},
		Registered{7}, RegisterFailed{Lease: 7}, NameTaken{Lease: 7}, Tick{}, Down{}, Leave{}, Released{},
		Revoked{}, Detach{},
	} {
		out[e.name()] = e
	}
	return out
}

// settled is a state of the phase in which time changes nothing now.
func settled(p Phase) (State, time.Duration) {
	s, _ := NewSchedule(9*sec, 1500*time.Millisecond)
	now := 1000 * sec
	return State{
		Phase: p, Boot: "boot", Next: s, Since: now, Lease: 7, Incarnation: "seven", Schedule: s,
		Renewed: now, Answered: now, Sent: now,
		Registered: true, Leash: true, JoinAt: now + sec, ArmedAt: now + sec,
	}, now
}

func TestEveryEventHasACellInEveryPhase(t *testing.T) {
	events := everyEvent()
	require.Len(t, table, len(events))
	require.Len(t, Events(), len(events))
	for _, name := range Events() {
		require.Len(t, table[name], len(Phases()), name)
		require.Contains(t, events, name)
		for _, phase := range Phases() {
			require.NotEmpty(t, Cell(name, phase), "%s in %s", name, phase)
		}
	}
}

func TestAnIgnoredEventChangesNothingAndABugIsReported(t *testing.T) {
	for name, e := range everyEvent() {
		for _, phase := range Phases() {
			s, now := settled(phase)
			next, actions := Step(s, now, e)
			var rest []Action
			for _, a := range actions {
				if _, arms := a.(Arm); !arms {
					rest = append(rest, a)
				}
			}
			next.ArmedAt = s.ArmedAt
			switch Cell(name, phase) {
			case ".":
				require.Equal(t, s, next, "%s in %s", name, phase)
				require.Empty(t, rest, "%s in %s", name, phase)
			case "!":
				require.Equal(t, s, next, "%s in %s", name, phase)
				require.Equal(t, []Action{Bug{Event: name, Phase: phase}}, rest)
			default:
				require.NotContains(t, rest, Bug{Event: name, Phase: phase})
			}
		}
	}
}

func TestAPhaseWithoutACellIsABug(t *testing.T) {
	_, actions := Step(State{Phase: "nonsense"}, sec, LeashUp{})
	require.Contains(t, actions, Bug{Event: "LeashUp", Phase: "nonsense"})
}
