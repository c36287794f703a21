package test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/test/fake"
)

func TestTheKeyEventsAreLogged(t *testing.T) {
	bubble(t, "8 Key log events", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Backoff(time.Second))
		w.Want("web")
		p := w.Process("web")
		w.Answer(p, nil)
		p.Exit(1)
		w.Pass(2 * time.Second)
		w.Want()
		w.Pass(time.Second)
		for _, msg := range []string{
			"instance started", "instance ready", "instance exited", "instance restarting", "instance stopping",
			"instance stopped",
		} {
			records := w.Log.Records(msg, "web")
			require.NotEmpty(t, records, msg)
			require.Contains(t, records[0].Attrs, "run", msg)
		}
		exited := w.Log.Records("instance exited", "web")[0]
		require.EqualValues(t, 1, exited.Attrs["code"])
		require.EqualValues(t, p.PID(), exited.Attrs["pid"])
		require.EqualValues(t, p.Port(), exited.Attrs["port"])
		require.NotEmpty(t, w.Log.Records("config applied", ""))
	})
}

func TestEveryChangeIsATransitionOnTheEventStream(t *testing.T) {
	bubble(t, "8 Metrics (future): the stream they come from", func(t *testing.T) {
		w := fake.NewWorld(t, fake.Backoff(time.Second))
		var seen []string
		w.System.EventStream.Subscribe(func(event any) {
			if x, is := event.(messages.Transition); is {
				seen = append(seen, fmt.Sprintf("%s: %s > %s", x.Event, x.From, x.To))
			}
		})
		w.Want("web")
		p := w.Process("web")
		w.Answer(p, nil)
		p.Exit(1)
		w.Pass(time.Second)
		require.Equal(t, []string{
			"Want: stopped > starting", "Launched: starting > starting", "Ready: starting > running",
			"Exited: running > backoff", "Due: backoff > starting", "Launched: starting > starting",
		}, seen)
	})
}
