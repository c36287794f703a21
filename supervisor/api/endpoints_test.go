package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/supervisor"
)

func TestEveryEndpointAnswersAsPromised(t *testing.T) {
	web := `{"id":"web","phase":"%s","health":"healthy","reason":"","pid":0,"port":0,"run":1,"adopted":false,"held":false,"disabled":false,"unsaved":"","outdated":"","restarts":0,` +
		`"consecutive_failures":0,"started_at":null,"healthy_since":null,"next_start_at":null,"last_exit":null,"last_probe":null,` +
		`"wasm_path":"","db_name":"","labels":{}}`
	manager := `{"pid":42,"version":"v1","started_at":"1970-01-01T00:16:40Z","state_dir":"/state","ready":%v}`
	unknown := `{"error":"no such instance: \"nope\"","code":"unknown_instance"}`
	disabled := messages.ErrDisabled{ID: "web"}
	ready := func(w *world) { close(w.ready) }
	fails := func(err error) func(*world) { return func(w *world) { w.fail = err } }

	for _, c := range []struct {
		name, request, body string
		given               func(*world)
		status              int
		answer              string
		calls               []string
	}{
		{name: "all", request: "GET /v1/instances", status: 200,
			answer: `{"schema":1,"manager":` + fmt.Sprintf(manager, false) + `,"instances":[` +
				fmt.Sprintf(web, "running") + `]}`},
		{name: "all, none there", request: "GET /v1/instances", given: func(w *world) { clear(w.statuses); ready(w) },
			status: 200,
			answer: `{"schema":1,"manager":` + fmt.Sprintf(manager, true) + `,"instances":[]}`},
		{name: "one", request: "GET /v1/instances/web", status: 200, answer: fmt.Sprintf(web, "running")},
		{name: "one that is not", request: "GET /v1/instances/nope", status: 404, answer: unknown},
		{name: "start", request: "POST /v1/instances/web/start", status: 200, answer: fmt.Sprintf(web, "starting"),
			calls: []string{"start web"}},
		{name: "stop", request: "POST /v1/instances/web/stop", status: 200, answer: fmt.Sprintf(web, "stopping"),
			calls: []string{"stop web"}},
		{name: "restart", request: "POST /v1/instances/web/restart", status: 200, answer: fmt.Sprintf(web, "stopping"),
			calls: []string{"restart web"}},
		{name: "restart what is not", request: "POST /v1/instances/nope/restart", status: 404, answer: unknown,
			calls: []string{"restart nope"}},
		{name: "start what is disabled", request: "POST /v1/instances/web/start", given: fails(disabled), status: 409,
			answer: `{"error":"instance \"web\" is disabled in the configuration; enable it there","code":"conflict"}`,
			calls:  []string{"start web"}},
		{name: "stop on a full disk", request: "POST /v1/instances/web/stop",
			given: fails(fmt.Errorf("the hold could not be written: %w", errDisk)), status: 500,
			answer: `{"error":"the hold could not be written: no space left on device","code":"failed"}`,
			calls:  []string{"stop web"}},
		{name: "upgrade", request: "POST /v1/upgrade", status: 202,
			answer: `{"manager":` + fmt.Sprintf(manager, false) + `,"program":"/new/procman"}`},
		{name: "upgrade to what cannot", request: "POST /v1/upgrade",
			given: func(w *world) { w.upgradeFails = errors.New("it is no procman") }, status: 409,
			answer: `{"error":"it is no procman","code":"conflict"}`},
		{name: "start at the end", request: "POST /v1/instances/web/start", given: fails(supervisor.ErrStopped),
			status: 503,
			answer: `{"error":"the supervisor has ended","code":"ending"}`, calls: []string{"start web"}},
		{name: "reload", request: "POST /v1/reload", status: 200, answer: `{"instances":1,"pending":[]}`,
			calls: []string{"reload"}},
		{name: "reload what is broken", request: "POST /v1/reload",
			given: fails(errors.New("procman.yaml:3:1: unknown key")), status: 422,
			answer: `{"error":"procman.yaml:3:1: unknown key","code":"invalid"}`, calls: []string{"reload"}},
		{name: "shutdown", request: "POST /v1/shutdown", status: 202,
			answer: `{"manager":` + fmt.Sprintf(manager, false) + `,"mode":"stop"}`, calls: []string{"shutdown stop"}},
		{name: "shutdown, mode in the query", request: "POST /v1/shutdown?mode=leave", status: 202,
			answer: `{"manager":` + fmt.Sprintf(manager, false) + `,"mode":"leave"}`,
			calls:  []string{"shutdown leave"}},
		{name: "shutdown, mode in the body", request: "POST /v1/shutdown", body: `{"mode":"leave"}`, status: 202,
			answer: `{"manager":` + fmt.Sprintf(manager, false) + `,"mode":"leave"}`,
			calls:  []string{"shutdown leave"}},
		{name: "shutdown, nonsense", request: "POST /v1/shutdown?mode=now", status: 400,
			answer: `{"error":"the mode is \"now\"; it must be stop or leave","code":"invalid"}`},
		{name: "shutdown, no JSON", request: "POST /v1/shutdown", body: `stop`, status: 400,
			answer: `{"error":"the body is not of the form {\"mode\": \"stop\"}: invalid character 's' looking for beginning of value","code":"invalid"}`},
		{name: "shutdown, too large", request: "POST /v1/shutdown",
			body: `{"mode":"` + strings.Repeat("x", maxBody) + `"}`, status: 413,
			answer: `{"error":"the body is larger than 65536 bytes","code":"invalid"}`},
		{name: "healthy", request: "GET /healthz", status: 200, answer: `{"status":"ok"}`},
		{name: "healthy, HEAD", request: "HEAD /healthz", status: 200, answer: `{"status":"ok"}`},
		{name: "not healthy", request: "GET /healthz", given: func(w *world) { close(w.done) }, status: 503,
			answer: `{"error":"the supervisor has ended","code":"ending"}`},
		{name: "not ready", request: "GET /readyz", status: 503,
			answer: `{"error":"not every desired instance has been healthy yet","code":"not_ready"}`},
		{name: "ready", request: "GET /readyz", given: ready, status: 200, answer: `{"status":"ready"}`},
		{name: "ready no more", request: "GET /readyz", given: func(w *world) { ready(w); close(w.done) }, status: 503,
			answer: `{"error":"the supervisor has ended","code":"ending"}`},
		{name: "logs of what is not", request: "GET /v1/instances/nope/logs", status: 404, answer: unknown},
		{name: "logs, lines", request: "GET /v1/instances/web/logs?lines=many", status: 400,
			answer: `{"error":"lines is \"many\"; it must be a number","code":"invalid"}`},
		{name: "logs, stream", request: "GET /v1/instances/web/logs?stream=stdin", status: 400,
			answer: `{"error":"stream is \"stdin\"; it must be stdout or stderr","code":"invalid"}`},
		{name: "logs, since", request: "GET /v1/instances/web/logs?since=-1s", status: 400,
			answer: `{"error":"since is \"-1s\"; it must be a duration such as 10m","code":"invalid"}`},
		{name: "logs, follow", request: "GET /v1/instances/web/logs?follow=perhaps", status: 400,
			answer: `{"error":"follow is \"perhaps\"; it must be true or false","code":"invalid"}`},
		{name: "logs, a slip", request: "GET /v1/instances/web/logs?line=3", status: 400,
			answer: `{"error":"unknown parameter \"line\"; there are lines, stream, since, until, grep, times, follow, after, place and earlier","code":"invalid"}`},
		{name: "no such path", request: "GET /v2/instances", status: 404,
			answer: `{"error":"no such path: /v2/instances","code":"not_found"}`},
		{name: "no such method", request: "DELETE /v1/instances/web", status: 405,
			answer: `{"error":"DELETE /v1/instances/web: there is only GET, HEAD","code":"method_not_allowed"}`},
		{name: "a command is no GET", request: "GET /v1/instances/web/stop", status: 405,
			answer: `{"error":"GET /v1/instances/web/stop: there is only POST","code":"method_not_allowed"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld("web")
			if c.given != nil {
				c.given(w)
			}
			s, err := New(w.options())
			require.NoError(t, err)
			method, path, _ := strings.Cut(c.request, " ")
			out := httptest.NewRecorder()
			s.Handler().ServeHTTP(out, httptest.NewRequest(method, path, strings.NewReader(c.body)))
			require.Equal(t, c.status, out.Code, out.Body.String())
			require.JSONEq(t, c.answer, out.Body.String())
			require.Equal(t, "application/json", out.Header().Get("Content-Type"))
			if c.status == http.StatusMethodNotAllowed {
				require.NotEmpty(t, out.Header().Get("Allow"))
			}
			calls := w.said()
			select {
			case mode := <-w.ended:
				calls = append(calls, "shutdown "+string(mode))
			default:
			}
			require.Equal(t, c.calls, calls)
		})
	}
}

func TestACommandThatIsNotDecidedInTimeIsATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("web")
		w.block = make(chan struct{})
		s, err := New(w.options())
		require.NoError(t, err)
		out := httptest.NewRecorder()
		s.Handler().ServeHTTP(out, httptest.NewRequest("POST", "/v1/instances/web/stop", nil))
		require.Equal(t, http.StatusGatewayTimeout, out.Code)
		require.Contains(t, out.Body.String(), `"code":"timeout"`)
	})
}

func TestAServerNeedsItsParts(t *testing.T) {
	_, err := New(Options{})
	require.Error(t, err)
}

func TestTheClientAsksEveryEndpoint(t *testing.T) {
	w := newWorld("api", "web")
	_, _, c := w.serve(t, nil)
	ctx := t.Context()

	d, err := c.Instances(ctx)
	require.NoError(t, err)
	require.Equal(t, Schema, d.Schema)
	require.Equal(t, 42, d.Manager.PID)
	require.Len(t, d.Instances, 2)
	d, err = c.Instances(ctx, "web", "nobody", "web")
	require.NoError(t, err)
	require.Len(t, d.Instances, 1, "those that are known, each once")
	whole := d.Instances[0]
	c.WithBrief()
	d, err = c.Instances(ctx, "web")
	require.NoError(t, err)
	require.Equal(t, []messages.Status{{ID: "web", Phase: whole.Phase, Health: whole.Health, PID: whole.PID,
		Port:      whole.Port,
		StartedAt: whole.StartedAt}}, d.Instances)

	one, err := c.Instance(ctx, "web")
	require.NoError(t, err)
	require.Equal(t, messages.Running, one.Phase)
	for _, do := range []func(context.Context, messages.InstanceID) (messages.Status,
		error){c.Start, c.Stop, c.Restart} {
		s, err := do(ctx, "web")
		require.NoError(t, err)
		require.Equal(t, messages.InstanceID("web"), s.ID)
	}
	_, err = c.Signal(ctx, "web", "RTMIN+1")
	require.NoError(t, err)
	r, err := c.Reload(ctx)
	require.NoError(t, err)
	require.Equal(t, 2, r.Instances)
	require.Equal(t, []string{"start web", "stop web", "restart web", "signal RTMIN+1 web", "reload"}, w.said())
	require.NoError(t, c.Healthy(ctx))

	var e *Error
	require.ErrorAs(t, c.Ready(ctx), &e)
	require.Equal(t, CodeNotReady, e.Code)
	close(w.ready)
	require.NoError(t, c.Ready(ctx))

	ending, err := c.Shutdown(ctx, ModeLeave)
	require.NoError(t, err)
	require.Equal(t, ModeLeave, ending.Mode)
	require.Equal(t, 42, ending.Manager.PID)
	require.Equal(t, ModeLeave, <-w.ended)
}

func TestTheClientsErrorsAreTyped(t *testing.T) {
	w := newWorld("web")
	socket, _, c := w.serve(t, nil)

	_, err := c.Instance(t.Context(), "no/pe?")
	require.Equal(t, messages.ErrUnknownInstance{ID: "no/pe?"}, err)
	_, err = c.Stop(t.Context(), "nope")
	require.Equal(t, messages.ErrUnknownInstance{ID: "nope"}, err)

	w.fail = messages.ErrDisabled{ID: "web"}
	_, err = c.Stop(t.Context(), "web")
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, Error{Message: messages.ErrDisabled{ID: "web"}.Error(), Code: CodeConflict, Status: 409}, *e)

	_, err = c.Signal(t.Context(), "web", "STOP")
	require.ErrorAs(t, err, &e)
	require.Equal(t, CodeInvalid, e.Code, "before the supervisor is asked")
	w.fail = messages.ErrNotRunning{ID: "web", Phase: messages.Backoff}
	_, err = c.Signal(t.Context(), "web", "HUP")
	require.ErrorAs(t, err, &e)
	require.Equal(t, Error{Message: `instance "web" is backoff: it has no process`, Code: CodeNotRunning, Status: 409},
		*e)

	stranger := NewClient(socket + "-is-elsewhere")
	_, err = stranger.Instances(t.Context())
	require.ErrorIs(t, err, ErrUnreachable)
	require.ErrorContains(t, err, socket+"-is-elsewhere")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.Instances(ctx)
	require.Equal(t, context.Canceled, err)
}
