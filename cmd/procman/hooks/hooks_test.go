package hooks

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"procman/actors/kernel"
	"procman/messages"
	"procman/supervisor/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func failed(id messages.InstanceID) messages.Event {
	return messages.Event{At: time.Now(), What: messages.InstanceStopped, Phase: messages.Failed,
		ID: id, Why: "gave up on " + string(id)}
}

func happened(what messages.EventType, attempt int) messages.Event {
	return messages.Event{At: time.Now(), What: what, ID: "a", Attempt: attempt}
}

// heard are hooks in a test's hand, and what they were called with.
type heard struct {
	*Hooks
	mu    sync.Mutex
	calls []string
}

func hear(t *testing.T, run func(context.Context, call) error, hooks ...config.Hook) *heard {
	h := &heard{}
	h.Hooks = New(Options{Hooks: func() []config.Hook { return hooks }, run: func(ctx context.Context, c call) error {
		h.mu.Lock()
		h.calls = append(h.calls, fmt.Sprintf("%s %s %d", c.Hook, c.Instance, c.Coalesced))
		h.mu.Unlock()
		if run != nil {
			return run(ctx, c)
		}
		return nil
	}})
	t.Cleanup(func() { require.NoError(t, h.Close()) })
	return h
}

// said returns the calls since the last time.
func (h *heard) said() []string {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	said := h.calls
	h.calls = nil
	return said
}

func counted(h *Hooks) (n [3]int64) {
	n[0], n[1], n[2] = h.Counters()
	return n
}

func on(kinds string, every time.Duration) config.Hook {
	return config.Hook{On: messages.WordList(kinds), Command: []string{"x"}, Every: every, Timeout: 10 * time.Second,
		Attempts: 3}
}

func TestAHookHearsOnlyOfWhatItIsToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hear(t, nil, on("failed unhealthy backoff recovered config_rejected", 0))
		h.Event(happened(messages.InstanceReady, 0))
		h.Event(happened(messages.InstanceExited, 0))
		h.Event(happened(messages.InstanceRestarting, 2))
		h.Event(messages.Event{What: messages.InstanceStopped, Phase: messages.Stopped, ID: "a"})
		require.Empty(t, h.said(), "nothing is wrong")
		h.Event(happened(messages.InstanceRestarting, 3))
		h.Event(happened(messages.InstanceRestarting, 4))
		require.Equal(t, []string{"backoff a 0", "backoff a 0"}, h.said())
		h.Event(happened(messages.InstanceReady, 0))
		h.Event(happened(messages.InstanceReady, 0))
		require.Equal(t, []string{"recovered a 0"}, h.said(), "once")
		h.Event(happened(messages.InstanceUnhealthy, 0))
		require.Equal(t, []string{"unhealthy a 0"}, h.said())
		h.Event(messages.Event{What: messages.InstanceStopped, Phase: messages.Stopped, ID: "a"})
		h.Event(happened(messages.InstanceReady, 0))
		require.Empty(t, h.said(), "an operator has stopped and started it")
		h.Event(failed("a"))
		h.Event(messages.Event{What: messages.ConfigRejected})
		require.ElementsMatch(t, []string{"failed a 0", "config_rejected  0"}, h.said(),
			"what is of an instance does not wait for what is of none")
	})
	synctest.Test(t, func(t *testing.T) {
		h := hear(t, nil, on("failed", 0), on("recovered", 0))
		h.Event(happened(messages.InstanceUnhealthy, 0))
		require.Empty(t, h.said())
		h.Event(happened(messages.InstanceReady, 0))
		require.Equal(t, []string{"recovered a 0"}, h.said())
	})
}

func TestOfTheSameOfOneInstanceThereIsOneCallInATimeAndTheNewestIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hear(t, nil, on("failed unhealthy", 30*time.Second))
		for range 5 {
			h.Event(failed("a"))
			time.Sleep(time.Second)
		}
		h.Event(failed("b"))
		h.Event(happened(messages.InstanceUnhealthy, 0))
		require.Equal(t, []string{"failed a 0", "failed b 0", "unhealthy a 0"}, h.said(), "others are not kept back")
		time.Sleep(24 * time.Second)
		require.Empty(t, h.said())
		time.Sleep(2 * time.Second)
		require.Equal(t, []string{"failed a 3"}, h.said(), "four came after the first")
		h.Event(failed("a"))
		require.Empty(t, h.said())
		time.Sleep(30 * time.Second)
		require.Equal(t, []string{"failed a 0"}, h.said())
		time.Sleep(time.Hour)
		require.Empty(t, h.said())
		require.Empty(t, h.calm, "nothing is kept")
		h.Event(failed("a"))
		require.Equal(t, []string{"failed a 0"}, h.said())
	})
}

func TestWhoTellsOfAnEventNeverWaitsAndWhatFindsNoRoomIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hear(t, func(ctx context.Context, _ call) error { <-ctx.Done(); return context.Cause(ctx) },
			on("failed", 0))
		began := time.Now()
		for n := range 1000 {
			h.Event(failed(messages.InstanceID(fmt.Sprint(n))))
		}
		require.Zero(t, time.Since(began))
		require.Len(t, h.said(), atOnce)
		now := counted(h.Hooks)
		require.InDelta(t, 1000, now[2]+mostWaiting,
			atOnce, "who runs may have made room for another before all had come")
		time.Sleep(10 * time.Second)
		require.Len(t, h.said(), atOnce, "those that took too long were ended")
		require.Equal(t, int64(atOnce), counted(h.Hooks)[1])
	})
}

func TestWithoutHooksNothingIsDone(t *testing.T) {
	h := hear(t, nil)
	h.Event(failed("a"))
	h.Event(happened(messages.InstanceUnhealthy, 0))
	require.Empty(t, h.troubled)
	e := failed("a")
	require.Zero(t, testing.AllocsPerRun(100, func() { h.Event(e) }))
}

// real returns hooks that call one hook for real, and what they log.
func real(t *testing.T, hook config.Hook) (*Hooks, *log) {
	hook.Timeout = max(hook.Timeout, time.Minute)
	l := &log{}
	h := New(Options{Hooks: func() []config.Hook { return []config.Hook{hook} }, Host: "box", StateDir: "/state",
		Logger: slog.New(slog.NewJSONHandler(l, nil)),
		Env: func(name string) (string, bool) {
			if name == "PATH" {
				return os.Getenv(name), true
			}
			return "of-the-daemon", strings.HasPrefix(name, "PROCMAN")
		}})
	t.Cleanup(func() { require.NoError(t, h.Close()) })
	return h, l
}

type log struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestACommandReadsThePayloadAndHasNoTagOfARun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h, _ := real(t, config.Hook{On: "failed", Dir: dir, Command: []string{"sh", "-c",
		`cat > payload; env > env; echo "$1" > arg.new; mv arg.new arg`, "sh", "{hook}/{id}"}})
	e := failed("web")
	e.Exit = &messages.Exit{Known: true, Code: 3}
	h.Event(e)
	require.Eventually(t, func() bool { _, err := os.Stat(filepath.Join(dir, "arg")); return err == nil }, time.Minute,
		5*time.Millisecond)
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		return string(text)
	}
	require.Equal(t, "failed/web\n", read("arg"))
	var p map[string]any
	require.NoError(t, json.Unmarshal([]byte(read("payload")), &p))
	for name, want := range map[string]any{"schema": 1.0, "hook": "failed", "instance": "web",
		"reason": "gave up on web", "host": "box", "state_dir": "/state", "coalesced": 0.0} {
		require.Equal(t, want, p[name], name)
	}
	require.Equal(t, "instance stopped", p["event"].(map[string]any)["event"])
	env := read("env")
	require.Contains(t, env, "PROCMAN_HOOK=failed\n")
	require.Contains(t, env, "PROCMAN_HOOK_INSTANCE=web\n")
	require.Contains(t, env, "PROCMAN_HOOK_REASON=gave up on web\n")
	for _, tag := range []string{kernel.EnvInstance, kernel.EnvRun, kernel.EnvTag, kernel.EnvSpec, kernel.EnvStateDir} {
		require.NotContains(t, env, tag+"=")
	}
}

func TestAHookThatFailsIsLoggedWithWhatItSaidAndCounted(t *testing.T) {
	t.Parallel()
	h, l := real(t, config.Hook{On: "failed", Command: []string{"sh", "-c", "echo no such channel >&2; exit 7"}})
	h.Event(failed("web"))
	require.Eventually(t, func() bool { return counted(h) == [3]int64{1, 1} }, time.Minute, 5*time.Millisecond)
	require.Eventually(t, func() bool { return strings.Contains(l.String(), "no such channel") }, time.Minute,
		5*time.Millisecond)
	require.Contains(t, l.String(),
		`"msg":"hook failed","hook":"failed","instance":"web","what":"sh","error":"sh: exit status 7; it said: no such channel"`)
}

func TestAWebhookIsPostedThePayloadAndOnlyAGoodStatusIsGood(t *testing.T) {
	t.Parallel()
	status, bodies := http.StatusNoContent, make(chan string, 10)
	var mu sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		bodies <- r.Method + " " + r.URL.Path + " " + r.Header.Get("Content-Type") + " " + string(text)
		mu.Lock()
		defer mu.Unlock()
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
	}))
	defer server.Close()
	h, l := real(t, config.Hook{On: "failed", URL: server.URL + "/hook?key=hunter-22"})
	h.Event(failed("web"))
	require.Contains(t, <-bodies, `POST /hook application/json {"schema":1,"hook":"failed",`)
	for _, bad := range []int{302, 404, 500} {
		mu.Lock()
		status = bad
		mu.Unlock()
		h.Event(failed("web"))
		require.Contains(t, <-bodies, "POST /hook ", "a redirect is not followed")
		require.Eventually(t, func() bool { return strings.Contains(l.String(), fmt.Sprint("answers ", bad)) },
			time.Minute, 5*time.Millisecond)
	}
	server.Close()
	h.Event(failed("web"))
	require.Eventually(t, func() bool { return counted(h) == [3]int64{5, 4} }, time.Minute, 5*time.Millisecond)
	require.NotContains(t, l.String(), "hunter", "the address may hold a secret")
}

func TestAHookIsEndedWithTheDaemon(t *testing.T) {
	t.Parallel()
	ready := filepath.Join(t.TempDir(), "ready")
	h, l := real(t, config.Hook{On: "failed", Command: []string{"sh", "-c",
		"trap '' TERM; touch " + ready + "; while :; do sleep 1; done"}, Timeout: 10 * time.Minute})
	h.Event(failed("web"))
	require.Eventually(t, func() bool { _, err := os.Stat(ready); return err == nil }, time.Minute, 5*time.Millisecond)
	require.NoError(t, h.Close())
	require.Empty(t, l.String(), "that is no failure of it")
	h.Event(failed("web"))
	require.Equal(t, [3]int64{1}, counted(h))
}
