package cli

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

func TestTheTable(t *testing.T) {
	now := time.Unix(10_000, 0)
	at := func(d time.Duration) *time.Time { t := now.Add(-d); return &t }
	statuses := []messages.Status{
		{ID: "counter", Phase: messages.Running, Health: messages.Healthy, PID: 4121, Port: 30001, Run: 2, Restarts: 1,
			StartedAt: at(65 * time.Second),
			LastExit:  &messages.Exit{Known: true, Code: 1, At: *at(66 * time.Second), Reason: messages.ReasonExit},
			LastProbe: &messages.Probe{OK: true, Status: 200, Latency: 1100 * time.Microsecond,
				At: *at(3 * time.Second)}, WasmPath: "c.wasm", DbName: "c.db"},
		{ID: "guestbook-ä", Phase: messages.Backoff, Health: messages.HealthUnknown, Run: 1,
			Reason: "exited with\ncode\x1b[31m 3", NextStartAt: at(-4 * time.Second)},
	}
	require.Equal(t, strings.TrimPrefix(`
ID           PHASE    HEALTH   PID   PORT   RESTARTS  UPTIME  REASON
counter      running  healthy  4121  30001  1         1m05s
guestbook-ä  backoff  unknown  -     -      0         -       next start in 4s: exited with code[31m 3
`, "\n"), table(narrow(), statuses, now, false))
	require.Equal(t, strings.TrimPrefix(`
ID           PHASE    HEALTH   PID   PORT   RESTARTS  UPTIME  CPU  MEMORY  RUN  LAST EXIT                       LAST PROBE             WASM    DB    REASON
counter      running  healthy  4121  30001  1         1m05s   -    -       2    exited with code 1 (1m06s ago)  200 in 1.1ms (3s ago)  c.wasm  c.db
guestbook-ä  backoff  unknown  -     -      0         -       -    -       1    -                               -                      -       -     next start in 4s: exited with code[31m 3
`, "\n"), table(wide(), statuses, now, false))
	require.Contains(t, table(narrow(), statuses, now, true),
		"counter      \x1b[32mrunning\x1b[0m  \x1b[32mhealthy\x1b[0m  4121")
	require.Equal(t, "ID  PHASE  HEALTH  PID  PORT  RESTARTS  UPTIME  REASON\n", table(narrow(), nil, now, true))
	statuses = append(statuses, messages.Status{ID: "old", Phase: messages.Running, Health: messages.NotHealthy,
		PID: 7, Port: 8, StartedAt: at(time.Hour), Outdated: "module"})
	require.Equal(t, table(narrow(), statuses, now, true), table(narrow(), inBrief(t, statuses), now, true),
		"which needs no more than is told in brief")
}

func inBrief(t *testing.T, all []messages.Status) []messages.Status {
	brief := make([]messages.Status, len(all))
	for n := range all {
		require.NoError(t, json.Unmarshal(all[n].AppendBrief(nil), &brief[n]))
	}
	return brief
}

func TestALongReasonIsShortenedInTheNarrowTableOnly(t *testing.T) {
	s := []messages.Status{{ID: "a", Reason: strings.Repeat("ä", 200)}}
	require.Contains(t, table(narrow(), s, time.Time{}, false), " "+strings.Repeat("ä", reasonShown-1)+"…\n")
	require.Contains(t, table(wide(), s, time.Time{}, false), strings.Repeat("ä", 200))
}
