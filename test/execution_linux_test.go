package test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/actors/health"
	"procman/actors/output"
	"procman/actors/port"
	"procman/actors/spawn"
	"procman/messages"
	"procman/supervisor"
	"procman/test/fake"
)

// realWorld is a supervisor with real processes, ports, probes and files. The processes are this test binary, see
// serve.
type realWorld struct {
	*supervisor.Supervisor
	t        *testing.T
	dir      string
	provider *fake.Provider
	log      *fake.Journal
}

func newRealWorld(t *testing.T, first int) *realWorld {
	t.Helper()
	w := &realWorld{t: t, dir: t.TempDir(), provider: fake.NewProvider(), log: &fake.Journal{}}
	state := messages.StateDir(filepath.Join(w.dir, "state"))
	log := slog.New(slog.NewJSONHandler(w.log, nil))
	spawner, err := spawn.Open(state, spawn.Options{Logger: log})
	require.NoError(t, err)
	outputs, err := output.New(state, output.Options{Forward: true, Logger: log})
	require.NoError(t, err)
	ports, err := port.New(port.Options{First: first, Last: first + 9, Hold: true, Logger: log})
	require.NoError(t, err)
	w.Supervisor, err = supervisor.New(supervisor.Config{
		Provider: w.provider, Spawner: spawner, Ports: ports, Health: health.New(health.Options{Owner: true}),
		Outputs: outputs, Logger: log,
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, w.Shutdown(context.Background()))
		require.NoError(t, ports.Close())
		require.NoError(t, outputs.Close())
		require.NoError(t, spawner.Close())
	})
	return w
}

// app is an instance that says where it is, in its output.
func (w *realWorld) app(id messages.InstanceID) messages.AppInstance {
	self, err := os.Executable()
	require.NoError(w.t, err)
	return messages.AppInstance{
		InstanceID: id, Executable: self, Args: []string{"{id}", "{port}"}, WorkDir: w.dir,
		Env:     map[string]string{fake.ServerVariable: "1", "GREETING": "hello from " + string(id)},
		Restart: messages.RestartPolicy{Initial: 50 * time.Millisecond},
	}
}

func (w *realWorld) want(apps ...messages.AppInstance) {
	w.t.Helper()
	w.provider.Set(apps...)
	require.NoError(w.t, w.Reload(context.Background()))
}

func (w *realWorld) until(id messages.InstanceID, is func(messages.Status) bool) messages.Status {
	w.t.Helper()
	var s messages.Status
	require.Eventually(w.t, func() bool { s, _ = w.Lookup(id); return is(s) }, time.Minute, 5*time.Millisecond,
		"%s\n%s", id, w.log)
	return s
}

func healthy(s messages.Status) bool { return s.Health == messages.Healthy }

func TestARealInstanceRunsWhereAndHowItWasToldTo(t *testing.T) {
	w := newRealWorld(t, 24200)
	w.want(w.app("web"))
	s := w.until("web", healthy)

	t.Run("5.5 Standard streams", func(t *testing.T) {
		line := func(stream, text string) bool {
			return has(w.log, func(r map[string]any) bool {
				return r["msg"] == "output" && r["stream"] == stream && r["line"] == text &&
					r["instance"] == "web" && r["pid"] == float64(s.PID) && r["run"] == 1.0
			})
		}
		require.Eventually(t, func() bool { return line("stdout", "hello from web") && line("stderr", "ready") },
			time.Minute, 5*time.Millisecond, "%s", w.log)
		text, err := os.ReadFile(messages.StateDir(filepath.Join(w.dir, "state")).Stdout("web"))
		require.NoError(t, err)
		require.Contains(t, string(text), "hello from web\n")
	})
	t.Run("5.5 Working directory", func(t *testing.T) {
		cwd, err := os.Readlink(filepath.Join("/proc", itoa(s.PID), "cwd"))
		require.NoError(t, err)
		require.Equal(t, w.dir, cwd)
	})
	t.Run("5.1 Environment variables", func(t *testing.T) {
		environ, err := os.ReadFile(filepath.Join("/proc", itoa(s.PID), "environ"))
		require.NoError(t, err)
		vars := strings.Split(string(environ), "\x00")
		require.Contains(t, vars, "GREETING=hello from web")
		require.Contains(t, vars, "PORT="+itoa(s.Port))
		require.Contains(t, vars, "PROCMAN_INSTANCE_ID=web")
	})
	t.Run("5.4 Availability check", func(t *testing.T) {
		stranger, err := net.Listen("tcp", "[::1]:24201")
		require.NoError(t, err)
		defer stranger.Close()
		w.want(w.app("web"), w.app("db"))
		require.NotContains(t, []int{s.Port, 24201}, w.until("db", healthy).Port)
	})
	t.Run("5.2 Restarting: process exit", func(t *testing.T) {
		require.NoError(t, syscall.Kill(s.PID, syscall.SIGKILL))
		again := w.until("web", func(now messages.Status) bool { return now.Run == 2 && healthy(now) })
		require.Equal(t, s.Port, again.Port)
		require.Equal(t, "KILL", again.LastExit.Signal)
	})
	t.Run("7 Startup failures", func(t *testing.T) {
		missing := w.app("missing")
		missing.Executable = "/nowhere/servicehost"
		w.want(w.app("web"), missing)
		failed := w.until("missing", func(s messages.Status) bool { return s.Phase == messages.Backoff })
		require.Contains(t, failed.Reason, "executable missing: /nowhere/servicehost")
		require.Zero(t, failed.PID)
	})
	t.Run("5.2 Stopping", func(t *testing.T) {
		pid := w.until("web", healthy).PID
		w.want()
		require.Eventually(t, func() bool { _, known := w.Lookup("web"); return !known }, time.Minute,
			5*time.Millisecond)
		require.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH)
	})
}

// has reports whether the log, in JSON, has a record like that.
func has(log *fake.Journal, is func(record map[string]any) bool) bool {
	for line := range strings.Lines(log.String()) {
		var r map[string]any
		if json.Unmarshal([]byte(line), &r) == nil && is(r) {
			return true
		}
	}
	return false
}
