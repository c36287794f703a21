package messages

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestAStatusIsWrittenAsEncodingJSONWritesIt(t *testing.T) {
	text := rapid.OneOf(rapid.StringMatching(`[a-z./ -]*`), rapid.String())
	moment := rapid.Custom(func(t *rapid.T) time.Time {
		at := time.Unix(rapid.Int64Range(0, 1<<37).Draw(t, "s"),
			rapid.SampledFrom([]int64{0, 1, 120_000_000, 999_999_999}).Draw(t, "ns"))
		return at.In(rapid.SampledFrom([]*time.Location{time.UTC, time.FixedZone("", 7200),
			time.FixedZone("", -12600)}).Draw(t, "zone"))
	})
	rapid.Check(t, func(t *rapid.T) {
		maybe := func(name string) *time.Time {
			if !rapid.Bool().Draw(t, name) {
				return nil
			}
			at := moment.Draw(t, name)
			return &at
		}
		some := rapid.Int()
		s := Status{ID: InstanceID(text.Draw(t, "id")), Phase: Phase(text.Draw(t, "phase")),
			Health: Health(text.Draw(t, "health")), Reason: text.Draw(t, "reason"),
			PID: some.Draw(t, "pid"), Port: some.Draw(t, "port"), Run: some.Draw(t, "run"),
			Adopted: rapid.Bool().Draw(t, "adopted"), Held: rapid.Bool().Draw(t, "held"),
			Disabled: rapid.Bool().Draw(t, "disabled"), Unsaved: text.Draw(t, "unsaved"),
			Outdated: WordList(text.Draw(t, "outdated")), Restarts: some.Draw(t, "restarts"),
			ConsecutiveFailures: some.Draw(t, "failures"),
			StartedAt:           maybe("started"), HealthySince: maybe("since"), NextStartAt: maybe("next"),
			WasmPath: text.Draw(t, "wasm"), DbName: text.Draw(t, "db"),
			Labels: rapid.MapOf(text, text).Draw(t, "labels")}
		if rapid.Bool().Draw(t, "exit") {
			s.LastExit = &Exit{some.Draw(t, "code"), text.Draw(t, "signal"), rapid.Bool().Draw(t, "known"),
				moment.Draw(t, "at"), ExitReason(text.Draw(t, "why"))}
		}
		if rapid.Bool().Draw(t, "probe") {
			s.LastProbe = &Probe{OK: rapid.Bool().Draw(t, "ok"), Status: some.Draw(t, "status"),
				Latency: time.Duration(rapid.Int64Range(0, 1<<40).Draw(t, "latency")) >> rapid.IntRange(0,
					40).Draw(t, "shift"),
				Error: text.Draw(t, "error"), Body: "not told", At: moment.Draw(t, "probed")}
		}
		if rapid.Bool().Draw(t, "placement") {
			s.Placement = &Placement{Movable: rapid.Bool().Draw(t, "movable"), Fence: Fence(text.Draw(t, "fence")),
				Hosts: rapid.MapOf(text, text).Draw(t, "hosts")}
		}
		want, err := json.Marshal(s)
		require.NoError(t, err)
		require.Equal(t, string(want), string(s.AppendJSON(nil)))

		var brief, again Status // which is the same without what it leaves out
		require.NoError(t, json.Unmarshal(s.AppendBrief(nil), &brief))
		s = Status{ID: s.ID, Phase: s.Phase, Health: s.Health, Reason: s.Reason, Outdated: s.Outdated, PID: s.PID,
			Port:     s.Port,
			Restarts: s.Restarts, StartedAt: s.StartedAt, NextStartAt: s.NextStartAt}
		require.NoError(t, json.Unmarshal(s.AppendJSON(nil), &again))
		again.Labels = nil
		require.Equal(t, again, brief)
	})
	require.Contains(t, string((&Status{}).AppendJSON(nil)), `"labels":{}`)
}

func BenchmarkStatusJSON(b *testing.B) {
	at := time.Now()
	s := Status{ID: "app-00001", Phase: Running, Health: Healthy, PID: 12345, Port: 30001, Run: 1, StartedAt: &at,
		HealthySince: &at,
		LastProbe:    &Probe{OK: true, Status: 200, Latency: time.Millisecond, At: at}, DbName: "app-00001.db",
		Labels: map[string]string{"app": "payload"}}
	b.Run("encoding/json", func(b *testing.B) {
		for b.Loop() {
			if _, err := json.Marshal(s); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("AppendJSON", func(b *testing.B) {
		var buffer []byte
		b.ReportAllocs()
		for b.Loop() {
			buffer = s.AppendJSON(buffer[:0])
		}
	})
}
