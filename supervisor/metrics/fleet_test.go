package metrics

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

// standing is a host of a fleet that is well.
func standing() messages.FleetStanding {
	return messages.FleetStanding{Phase: "in", Deadline: 8500 * time.Millisecond, Suspect: true, Assigned: 7,
		Takeovers: 2}
}

func TestAHostOfAFleetIsMeasuredAndWithoutOneThereIsNothingOfIt(t *testing.T) {
	s := scrape(t, New(Options{Fleet: standing}))
	require.Equal(t, 8.5, s["procman_fleet_deadline_seconds"])
	require.Equal(t, 1.0, s["procman_fleet_suspect"])
	require.Equal(t, 7.0, s["procman_fleet_assignments"])
	require.Equal(t, 2.0, s["procman_fleet_takeovers_total"])
	s = scrape(t, New(Options{Fleet: func() messages.FleetStanding { return messages.FleetStanding{} }}))
	for _, name := range []string{"deadline_seconds", "suspect", "assignments", "takeovers_total"} {
		value, there := s["procman_fleet_"+name]
		require.True(t, there)
		require.Zero(t, value)
	}
	for name := range scrape(t, New(Options{})) {
		require.False(t, strings.HasPrefix(name, "procman_fleet"), name)
	}
}
