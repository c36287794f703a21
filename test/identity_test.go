package test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/test/fake"
)

// F101: no proof of identity is no proof of death.
func TestWhileItCannotBeToldWhoseAProcessIsTheInstanceWaitsAndSaysSo(t *testing.T) {
	for _, outcome := range []string{"it is its own", "it was another"} {
		for _, mode := range []messages.RestartMode{messages.RestartAlways, messages.RestartNever} {
			t.Run(outcome+" "+string(mode), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := fake.NewWorld(t, fake.Answering(), fake.Each(
						func(a *messages.AppInstance) { a.Restart.Mode = mode }))
					w.Want("web", "other")
					p := w.Process("web")
					w.Pass(time.Minute)
					w.KillManager()
					w.Spawner.Doubt("web", "process 7 has its pid")
					w.StartManager()
					w.Pass(10 * time.Minute)

					s := w.Of("web")
					require.Equal(t, messages.Starting, s.Phase)
					require.Contains(t, s.Reason, "cannot tell: process 7 has its pid")
					require.Zero(t, s.PID)
					require.Zero(t, s.ConsecutiveFailures, "it spends no attempt")
					require.Equal(t, messages.Running, w.Of("other").Phase, "it keeps nobody else")
					x, _ := w.Explain("web")
					require.Contains(t, x.Verdict.Summary, "process 7 has its pid")
					require.Contains(t, x.Verdict.Next, "nothing is signalled")
					require.Len(t, w.Log.Records("start failed", "web"), 1, "it is said once")
					require.Equal(t, 1, w.Spawns("web"), "nothing is started in its place")
					require.True(t, p.Alive())

					if outcome == "it was another" {
						p.Exit(1) // the run had ended
					}
					w.Spawner.Doubt("web", "")
					w.Pass(5 * time.Second)
					s = w.Of("web")
					switch {
					case outcome == "it is its own":
						require.Equal(t, []any{messages.Running, p.PID(), true, ""},
							[]any{s.Phase, s.PID, s.Adopted, s.Reason})
						require.Equal(t, 1, w.Spawns("web"))
					case mode == messages.RestartNever:
						require.Equal(t, messages.Failed, s.Phase)
					default:
						require.Equal(t, messages.Running, s.Phase)
						require.Equal(t, 2, w.Spawns("web"))
					}
					noBugs(t, w)
				})
			})
		}
	}
}

func TestAStopAndAShutdownTouchNoProcessOfWhichItCannotBeToldWhoseItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := fake.NewWorld(t, fake.Answering())
		w.Want("web")
		p := w.Process("web")
		w.Pass(time.Minute)
		w.KillManager()
		w.Spawner.Doubt("web", "process 7 has its pid")
		w.StartManager()
		w.Pass(time.Minute)
		require.NoError(t, w.Supervisor.Stop(context.Background(), "web"))
		w.Pass(time.Minute)
		s := w.Of("web")
		require.Equal(t, messages.Stopped, s.Phase)
		x, _ := w.Explain("web")
		require.Contains(t, x.Verdict.Summary, "a process is left alone: cannot tell: process 7 has its pid")
		require.True(t, p.Alive())

		require.NoError(t, w.Supervisor.Start(context.Background(), "web"))
		w.Pass(time.Minute)
		require.Contains(t, w.Of("web").Reason, "cannot tell")
		require.Equal(t, 1, w.Spawns("web"))
		require.NoError(t, w.Supervisor.Shutdown(context.Background()))
		require.True(t, p.Alive())
		noBugs(t, w)
	})
}
