package plan

import (
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

// stepped is a reading of the clocks at the same moment, with the wall clock set by so much.
func stepped(t time.Time, by time.Duration) time.Time {
	layout := (*struct {
		wall uint64 // bit 63: a monotonic reading is there; then 33 bits of seconds, 30 of nanoseconds
		mono int64
	})(unsafe.Pointer(&t))
	layout.wall += uint64(int64(by/time.Second)) << 30
	return t
}

// Somebody sets the wall clock by a year, there and back, while an instance crashes, waits, runs, is stopped and is
// restored from memory: whatever is due is due as if he had not.
func TestTheWallClockDecidesNothing(t *testing.T) {
	const year = 365 * 24 * time.Hour
	base := time.Now()
	require.Zero(t, stepped(base, year).Sub(base), "the same moment")
	require.EqualValues(t, year/time.Second, stepped(base, year).Unix()-base.Unix(), "by another wall clock")

	app := modeApp(t, messages.RestartAlways, nil)
	crash := Exited{Exit: messages.Exit{Known: true, Code: 1}}
	play := func(steps []time.Duration) (told []string) {
		i, at := New("web"), time.Duration(0)
		n := 0
		now := func() time.Time {
			n++
			return stepped(base.Add(at), steps[n%len(steps)])
		}
		feed := func(e Event) {
			var actions []Action
			i, actions = Step(i, now(), e)
			for _, a := range actions {
				told = append(told, say(a, base.Add(at)))
			}
			told = append(told, string(i.Phase))
		}
		feed(Want{app})
		for range 4 {
			feed(Launched{PID: 1, Port: 1, SpecHash: app.Spec})
			feed(crash)
			at = i.DueAt.Sub(base)
			feed(Due{i.DueAt})
		}
		feed(Launched{PID: 1, Port: 1, SpecHash: app.Spec})
		feed(Ready{})
		at += 59 * time.Second
		feed(Probed{Probe: messages.Probe{OK: true}})
		feed(Due{base.Add(at)})
		require.Equal(t, 4, i.Attempts, "not stable yet")
		at += time.Second
		feed(Due{base.Add(at)})
		require.Zero(t, i.Attempts, "stable")
		feed(crash)
		feed(Launched{PID: 1, Port: 1, SpecHash: app.Spec})
		feed(Restart{})
		at += 4 * time.Second
		memory := i.Memory(false)
		i = New("web")
		feed(Survivor{Memory: memory, Found: &messages.Survivor{ID: "web", Run: memory.Run, PID: 1, SpecHash: app.Spec,
			Alive: true}})
		return told
	}
	quiet := play([]time.Duration{0})
	require.Equal(t, quiet, play([]time.Duration{0, year, -year, time.Hour, -year, 0, 2 * year}))
	require.Contains(t, quiet, "stop, grace 6s", "what is left of the grace")
}
