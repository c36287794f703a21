package main

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/supervisor"
	"procman/test/fake"
)

const many = 10_000

// crowd is a supervisor of ten thousand instances that are held by their list: what is read of one is all there is of
// it.
func crowd(tb testing.TB) *supervisor.Supervisor {
	tb.Helper()
	list := make([]messages.AppInstance, many)
	for i := range list {
		list[i] = messages.AppInstance{InstanceID: messages.InstanceID(instance(i)), WasmPath: "app.wasm",
			DbName: "app.db", Disabled: true}
	}
	s, err := supervisor.New(supervisor.Config{
		Provider: supervisor.Static(list), Spawner: fake.NewSpawner(tb), Ports: fake.NewPorts(),
		Health: fake.NewHealthChecker(nil),
		Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(tb, err)
	tb.Cleanup(func() {
		ctx, end := context.WithTimeout(context.Background(), time.Minute)
		defer end()
		require.NoError(tb, s.Shutdown(ctx))
	})
	require.Eventually(tb, func() bool { _, known := s.Lookup(messages.InstanceID(instance(many - 1))); return known },
		time.Minute, time.Millisecond)
	return s
}

func TestToReadOneInstanceMakesNothing(t *testing.T) {
	s := crowd(t)
	require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = s.Lookup("app-05000") }))
}

// BenchmarkLookup reads one instance of ten thousand, as a reverse proxy does for every request.
func BenchmarkLookup(b *testing.B) {
	s := crowd(b)
	id := messages.InstanceID(fmt.Sprintf("app-%05d", many/2))
	b.ReportAllocs()
	for b.Loop() {
		if _, known := s.Lookup(id); !known {
			b.Fatal("unknown")
		}
	}
}

// BenchmarkStatus reads all of ten thousand.
func BenchmarkStatus(b *testing.B) {
	s := crowd(b)
	b.ReportAllocs()
	for b.Loop() {
		if all, err := s.Status(context.Background()); err != nil || len(all) != many {
			b.Fatal(len(all), err)
		}
	}
}
