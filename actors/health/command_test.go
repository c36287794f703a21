package health

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

func commandTarget(id messages.InstanceID) messages.Target {
	app := messages.AppInstance{InstanceID: id, Health: messages.HealthPolicy{Kind: messages.HealthCommand,
		Timeout: 3 * time.Second,
		Check:   &messages.HealthCheck{Command: []string{"ask"}}}}.WithDefaults()
	return messages.Target{ID: id, Port: 1, Policy: app.Health, App: &app}
}

func TestHowACommandEndsIsTheVerdict(t *testing.T) {
	secret := func(messages.InstanceID) *messages.Masker { return messages.NewMasker([]string{"hunter2"}) }
	for name, c := range map[string]struct {
		output string
		exit   messages.Exit
		err    error
		probe  messages.Probe
	}{
		"0": {"PONG\n", messages.Exit{Known: true}, nil, messages.Probe{OK: true, Body: "PONG"}},
		"3": {"", messages.Exit{Known: true, Code: 3},
			nil, messages.Probe{Error: "health.command exited with code 3"}},
		"3, and says why": {"no route\nto host", messages.Exit{Known: true, Code: 3}, nil,
			messages.Probe{Body: "no route\nto host", Error: "health.command exited with code 3: no route"}},
		"a signal": {"", messages.Exit{Known: true, Signal: "SEGV"}, nil,
			messages.Probe{Error: "health.command killed by SEGV"}},
		"a secret": {"pw hunter2", messages.Exit{Known: true, Code: 1},
			nil, messages.Probe{Body: "pw ***", Error: "health.command exited with code 1: pw ***"}},
		"nothing that is a text": {"\x1b[2J\xff", messages.Exit{Known: true, Code: 1},
			nil, messages.Probe{Body: "\x1b[2J\uFFFD", Error: `health.command exited with code 1: "\x1b[2J�"`}},
		"not, it cannot be run": {"", messages.Exit{}, errors.New("no such file"),
			messages.Probe{Void: true, Error: "not probed: health.command is not run: no such file"}},
	} {
		t.Run(name, func(t *testing.T) {
			checker := New(Options{Owner: true, Mask: secret,
				Command: func(context.Context, messages.Target) ([]byte, messages.Exit, error) {
					return []byte(c.output), c.exit, c.err
				}})
			p := alone(checker, commandTarget("a"))
			p.At, p.Latency = time.Time{}, 0
			require.Equal(t, c.probe, p)
		})
	}
	require.True(t, alone(New(Options{}), commandTarget("a")).Void, "nobody can run it")
}

func TestACommandHasItsTimeoutAndCommandsTakeTheirTurnsBesideAllOtherProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var under atomic.Int32
		c := New(Options{Commands: 2, Concurrency: 3,
			Command: func(ctx context.Context, _ messages.Target) ([]byte, messages.Exit, error) {
				if under.Add(1) > 2 {
					t.Error("more than 2 at a time")
				}
				defer under.Add(-1)
				<-ctx.Done()
				return []byte("so far"), messages.Exit{}, ctx.Err()
			}})
		began := time.Now()
		told := make(chan messages.Probe, 3)
		for _, id := range []messages.InstanceID{"a", "b", "c"} {
			c.Begin(commandTarget(id), func(p messages.Probe) { told <- p })
		}
		void := 0
		for range 3 {
			p := <-told
			require.Equal(t, 3*time.Second, time.Since(began))
			if p.Void {
				void++
				require.Equal(t, "not probed: the limit of 2 probes at a time was reached all along", p.Error)
				continue
			}
			require.Equal(t, "health.command timed out after 3s, and was ended: so far", p.Error)
		}
		require.Equal(t, 1, void)

		cancel := c.Begin(commandTarget("a"), func(messages.Probe) { t.Error("it was broken off") })
		synctest.Wait()
		cancel()
		synctest.Wait()
		require.Zero(t, under.Load(), "what was begun for it has ended")
	})
}
