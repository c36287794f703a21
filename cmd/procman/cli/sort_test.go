package cli

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

func TestAStatusIsSortedByWhatIsMostAndWhoIsNotKnownComesLast(t *testing.T) {
	now := time.Unix(1000, 0)
	long, short := now.Add(-100*time.Second), now.Add(-time.Second)
	all := func() []messages.Status {
		return []messages.Status{
			{ID: "c", Restarts: 1, StartedAt: &long, Use: &messages.Use{CPU: 10, Memory: 3 << 20}},
			{ID: "a", Restarts: 7},
			{ID: "b", Restarts: 7, StartedAt: &short, Use: &messages.Use{CPU: 0.5, Memory: 2 << 30}},
			{ID: "d", StartedAt: &long, Use: &messages.Use{CPU: 10, Memory: 20 << 30}},
		}
	}
	for by, want := range map[string]string{byCPU: "bcda", byMemory: "dbca", byRestarts: "abcd", byID: "abcd",
		"": "cabd"} {
		list, got := all(), ""
		order(list, by, now)
		for _, s := range list {
			got += string(s.ID)
		}
		require.Equal(t, want, got, by)
	}
	list := all()
	require.Equal(t, []string{"10.0%", "", "50.0%"},
		[]string{cpuCell(list[0], now), cpuCell(list[1], now), cpuCell(list[2], now)})
	require.Equal(t, []string{"3072KiB", "", "2048MiB", "20.0GiB"},
		[]string{memoryCell(list[0], now), memoryCell(list[1], now), memoryCell(list[2], now),
			memoryCell(list[3], now)})
}
