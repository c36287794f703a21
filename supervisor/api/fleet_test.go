package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

// fleetWorld is a fleet of two hosts, h1, which is asked, and h2, which does what it is told.
type fleetWorld struct {
	mu     sync.Mutex
	list   map[messages.InstanceID]json.RawMessage
	drains map[string]bool
	calls  []string
	fail   error
	block  chan struct{} // an apply waits for it
}

func newFleetWorld() *fleetWorld {
	return &fleetWorld{drains: map[string]bool{}, list: map[messages.InstanceID]json.RawMessage{
		"web": json.RawMessage(`{"id":"web","env":{"MODE":"x","API_TOKEN":"hunter2"},"movable":true}`),
		"a":   json.RawMessage(`{"id":"a"}`)}}
}

func (f *fleetWorld) did(format string, args ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
	return f.fail
}

func (f *fleetWorld) Standing() messages.FleetStanding {
	return messages.FleetStanding{Fleet: "default", Host: "h1", Phase: "in", Incarnation: "i",
		Deadline: 8500 * time.Millisecond, Assigned: 2, Fenced: 1, Leash: true, Revision: 7}
}

func (f *fleetWorld) Hosts(context.Context) ([]messages.FleetHost, error) {
	if err := f.did("hosts"); err != nil {
		return nil, err
	}
	return []messages.FleetHost{{Name: "h1", Live: true, Draining: f.drains["h1"]},
		{Name: "h2", Draining: f.drains["h2"]}}, nil
}

func (f *fleetWorld) Instances(_ context.Context, ids ...messages.InstanceID) (all []messages.FleetInstance,
	err error) {
	if f.fail != nil {
		return nil, f.fail
	}
	for id, spec := range f.list {
		all = append(all, messages.FleetInstance{ID: id, State: "assigned", Host: "h1", Epoch: 3,
			Why: "runs at h1 since epoch 3", Spec: spec})
	}
	slices.SortFunc(all, func(a, b messages.FleetInstance) int { return cmp.Compare(a.ID, b.ID) })
	for _, id := range ids {
		if f.list[id] == nil {
			return nil, messages.ErrUnknownInstance{ID: id}
		}
	}
	return slices.DeleteFunc(all,
		func(i messages.FleetInstance) bool { return len(ids) > 0 && !slices.Contains(ids, i.ID) }), nil
}

func (f *fleetWorld) Apply(ctx context.Context, specs map[messages.InstanceID]json.RawMessage,
	prune bool) ([]messages.FleetChange, error) {
	if f.block != nil {
		select {
		case <-f.block:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	var changes []messages.FleetChange
	for id := range specs {
		changes = append(changes, messages.FleetChange{ID: id, Do: "add"})
	}
	return changes, f.did("apply %d %v", len(specs), prune)
}

func (f *fleetWorld) Delete(_ context.Context, ids ...messages.InstanceID) ([]messages.FleetChange, error) {
	if f.list[ids[0]] == nil {
		return nil, messages.ErrUnknownInstance{ID: ids[0]}
	}
	return []messages.FleetChange{{ID: ids[0], Do: "delete"}}, f.did("delete %v", ids)
}

func (f *fleetWorld) Drain(_ context.Context, host string, drain bool) error {
	return f.did("drain %s %v", host, drain)
}
func (f *fleetWorld) Rebalance(context.Context) error { return f.did("rebalance") }

func TestEveryEndpointOfTheFleetAnswersAsPromised(t *testing.T) {
	web := `{"id":"web","movable":false,"fence":"","hosts":{},"state":"assigned","host":"h1","epoch":3,"reason":"runs at h1 since epoch 3"%s}`
	spec := `,"spec":{"id":"web","env":{"MODE":"x","API_TOKEN":"***"},"movable":true}`
	host := `{"name":"%s","live":%v,"draining":false,"incarnation":"","capacity":0,"assigned":0,"labels":{},"api":"","joined_at":"0001-01-01T00:00:00Z","version":""}`
	unknown := `{"error":"no such instance: \"nope\"","code":"unknown_instance"}`
	for _, c := range []struct {
		name, request, body string
		fail                error
		status              int
		answer              string
		calls               []string
	}{
		{name: "standing", request: "GET /v1/fleet", status: 200,
			answer: `{"schema":1,"fleet":"default","host":"h1","phase":"in","reason":"","incarnation":"i","suspect":false,` +
				`"assigned":2,"fenced":1,"takeovers":0,"leash":true,"revision":7,"deadline_seconds":8.5}`},
		{name: "hosts", request: "GET /v1/fleet/hosts", status: 200, calls: []string{"hosts"},
			answer: `{"schema":1,"hosts":[` + fmt.Sprintf(host, "h1", true) +
				`,` + fmt.Sprintf(host, "h2", false) + `]}`},
		{name: "one", request: "GET /v1/fleet/instances/web", status: 200, answer: fmt.Sprintf(web, spec)},
		{name: "one that is not", request: "GET /v1/fleet/instances/nope", status: 404, answer: unknown},
		{name: "some", request: "GET /v1/fleet/instances?id=web", status: 200,
			answer: `{"schema":1,"instances":[` + fmt.Sprintf(web, spec) + `]}`},
		{name: "without specs", request: "GET /v1/fleet/instances?spec=false&id=web", status: 200,
			answer: `{"schema":1,"instances":[` + fmt.Sprintf(web, "") + `]}`},
		{name: "one of some that is not", request: "GET /v1/fleet/instances?id=nope", status: 404, answer: unknown},
		{name: "spec, nonsense", request: "GET /v1/fleet/instances?spec=x", status: 400,
			answer: `{"error":"spec is \"x\"; it must be true or false","code":"invalid"}`},
		{name: "apply", request: "PUT /v1/fleet/instances", body: `{"instances":{"n":{"id":"n"}}}`, status: 200,
			calls:  []string{"apply 1 false"},
			answer: `{"schema":1,"changes":[{"id":"n","do":"add"}]}`},
		{name: "apply nothing, and prune", request: "PUT /v1/fleet/instances?prune=true", body: `{"instances":{}}`,
			status: 200, calls: []string{"apply 0 true"}, answer: `{"schema":1,"changes":[]}`},
		{name: "no list is not an empty one", request: "PUT /v1/fleet/instances?prune=true", body: `{}`, status: 400,
			answer: `{"error":"instances is missing; write {} for none","code":"invalid"}`},
		{name: "apply, no JSON", request: "PUT /v1/fleet/instances", body: `x`, status: 400,
			answer: `{"error":"the body is not of the form {\"instances\": {\"ID\": {...}}}: invalid character 'x' looking for beginning of value","code":"invalid"}`},
		{name: "apply, bad id", request: "PUT /v1/fleet/instances", body: `{"instances":{"../x":{}}}`, status: 400,
			answer: `{"error":"the instance id \"../x\" may hold letters, digits, '.', '_' and '-' only, and begins with a letter or a digit","code":"invalid"}`},
		{name: "apply, no mapping", request: "PUT /v1/fleet/instances", body: `{"instances":{"x":null}}`, status: 400,
			answer: `{"error":"instance \"x\" is no mapping of the keys of an instance","code":"invalid"}`},
		{name: "apply, a slip", request: "PUT /v1/fleet/instances?prune=x", status: 400,
			answer: `{"error":"prune is \"x\"; it must be true or false","code":"invalid"}`},
		{name: "apply, the store fails", request: "PUT /v1/fleet/instances", body: `{"instances":{}}`, fail: errDisk,
			status: 500, calls: []string{"apply 0 false"},
			answer: `{"error":"no space left on device","code":"failed"}`},
		{name: "delete", request: "DELETE /v1/fleet/instances/web", status: 200, calls: []string{"delete [web]"},
			answer: `{"schema":1,"changes":[{"id":"web","do":"delete"}]}`},
		{name: "delete what is not", request: "DELETE /v1/fleet/instances/nope", status: 404, answer: unknown},
		{name: "drain", request: "POST /v1/fleet/hosts/h2/drain", status: 200,
			calls: []string{"hosts", "drain h2 true"}, answer: `{"host":"h2","draining":true}`},
		{name: "undrain", request: "POST /v1/fleet/hosts/h2/undrain", status: 200,
			calls: []string{"hosts", "drain h2 false"}, answer: `{"host":"h2","draining":false}`},
		{name: "drain nobody", request: "POST /v1/fleet/hosts/h3/drain", status: 404, calls: []string{"hosts"},
			answer: `{"error":"no host of the fleet is \"h3\"; there are h1, h2","code":"not_found"}`},
		{name: "rebalance", request: "POST /v1/fleet/rebalance", status: 200, calls: []string{"rebalance"},
			answer: `{"status":"ok"}`},
		{name: "a change is no GET", request: "GET /v1/fleet/rebalance", status: 405,
			answer: `{"error":"GET /v1/fleet/rebalance: there is only POST","code":"method_not_allowed"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFleetWorld()
			f.fail = c.fail
			o := newWorld().options()
			o.Fleet = f
			s, err := New(o)
			require.NoError(t, err)
			method, path, _ := strings.Cut(c.request, " ")
			out := httptest.NewRecorder()
			s.Handler().ServeHTTP(out, httptest.NewRequest(method, path, strings.NewReader(c.body)))
			require.Equal(t, c.status, out.Code, out.Body.String())
			require.JSONEq(t, c.answer, out.Body.String())
			require.Equal(t, c.calls, f.calls)
		})
	}
}

func TestAHostThatIsInNoFleetSaysSo(t *testing.T) {
	s, err := New(newWorld().options())
	require.NoError(t, err)
	for _, r := range s.fleetRoutes() {
		out := httptest.NewRecorder()
		s.Handler().ServeHTTP(out, httptest.NewRequest(r.method,
			strings.NewReplacer("{id}", "a", "{host}", "h").Replace(r.path), nil))
		require.Equal(t, http.StatusNotFound, out.Code)
		require.JSONEq(t,
			`{"error":"this daemon is a host of no fleet; a section fleet in its configuration, with the endpoints of etcd, makes it one","code":"no_fleet"}`, out.Body.String())
	}
}

func TestTheClientAsksEveryEndpointOfTheFleet(t *testing.T) {
	f := newFleetWorld()
	_, _, c := newWorld("web").serve(t, func(o *Options) { o.Fleet = f })
	ctx := t.Context()
	standing, err := c.Fleet(ctx)
	require.NoError(t, err)
	require.Equal(t, 8.5, standing.DeadlineSeconds)
	require.Equal(t, "h1", standing.Host)
	hosts, err := c.FleetHosts(ctx)
	require.NoError(t, err)
	require.Len(t, hosts.Hosts, 2)
	all, err := c.FleetInstances(ctx, true)
	require.NoError(t, err)
	require.Equal(t, messages.InstanceID("a"), all.Instances[0].ID)
	require.NotContains(t, string(all.Instances[1].Spec), "hunter2")
	all, err = c.FleetInstances(ctx, false)
	require.NoError(t, err)
	require.Nil(t, all.Instances[1].Spec)
	one, err := c.FleetInstance(ctx, "web")
	require.NoError(t, err)
	require.Equal(t, int64(3), one.Epoch)
	_, err = c.FleetInstance(ctx, "no/pe?")
	require.Equal(t, messages.ErrUnknownInstance{ID: "no/pe?"}, err)
	_, err = c.FleetDelete(ctx, "nope")
	require.Equal(t, messages.ErrUnknownInstance{ID: "nope"}, err)
	_, err = c.FleetDelete(ctx, "web")
	require.NoError(t, err)
	drained, err := c.FleetDrain(ctx, "h2", true)
	require.NoError(t, err)
	require.Equal(t, FleetDrain{"h2", true}, drained)
	require.NoError(t, c.FleetRebalance(ctx))
	why, err := c.Why(ctx, "web")
	require.NoError(t, err)
	require.Equal(t, "runs at h1 since epoch 3", why.Fleet.Why)
	require.Nil(t, why.Fleet.Spec)
	f.fail = errors.New("the store does not answer")
	why, err = c.Why(ctx, "web")
	require.NoError(t, err)
	require.Equal(t, []string{"the fleet: the store does not answer"}, why.Missing)
}

func TestAListOfTenThousandInstancesIsAppliedAndOneThatIsTooLargeIsRefused(t *testing.T) {
	f := newFleetWorld()
	_, _, c := newWorld().serve(t, func(o *Options) { o.Fleet = f })
	list := FleetList{map[messages.InstanceID]json.RawMessage{}}
	spec := json.RawMessage(`{"id":"x","env":{"A":"` + strings.Repeat("x", 500) + `"}}`)
	for i := range 10_000 {
		list.Instances[messages.InstanceID(fmt.Sprintf("instance-%05d", i))] = spec
	}
	changes, err := c.FleetApply(t.Context(), list, true)
	require.NoError(t, err)
	require.Len(t, changes.Changes, 10_000)
	require.Equal(t, []string{"apply 10000 true"}, f.calls)

	list.Instances["huge"] = json.RawMessage(`{"x":"` + strings.Repeat("x", maxList) + `"}`)
	_, err = c.FleetApply(t.Context(), list, true)
	require.ErrorContains(t, err, "more than the 32 MiB that a daemon takes at once")
	body, err := json.Marshal(list)
	require.NoError(t, err)
	err = c.send(t.Context(), http.MethodPut, fleetInstance, "", body, nil)
	var refusal *Error
	if errors.As(err, &refusal) { // else it hung up while we sent
		require.Equal(t, http.StatusRequestEntityTooLarge, refusal.Status)
	}
	require.Error(t, err)
	require.Len(t, f.calls, 1)
}

func TestOneListIsAppliedAtATimeAndOnlyForSoLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleetWorld()
		f.block = make(chan struct{})
		o := newWorld().options()
		o.Fleet = f
		s, err := New(o)
		require.NoError(t, err)
		apply := func() (*httptest.ResponseRecorder, time.Duration) {
			began, out := time.Now(), httptest.NewRecorder()
			s.Handler().ServeHTTP(out, httptest.NewRequest("PUT", fleetInstance, strings.NewReader(`{"instances":{}}`)))
			return out, time.Since(began)
		}
		var first *httptest.ResponseRecorder
		var took time.Duration
		done := make(chan struct{})
		go func() { defer close(done); first, took = apply() }()
		synctest.Wait()
		second, waited := apply()
		require.Equal(t, http.StatusServiceUnavailable, second.Code)
		require.Contains(t, second.Body.String(), `"code":"busy"`)
		require.Equal(t, decideTimeout, waited)
		<-done
		require.Equal(t, http.StatusGatewayTimeout, first.Code)
		require.Equal(t, listTimeout, took)
	})
}

func TestAnApplyEndsWithTheServerAndNotWithWhoAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleetWorld()
		f.block = make(chan struct{})
		o := newWorld().options()
		o.Fleet = f
		s, err := New(o)
		require.NoError(t, err)
		ctx, leave := context.WithCancel(t.Context())
		out, done := httptest.NewRecorder(), make(chan struct{})
		go func() {
			defer close(done)
			s.Handler().ServeHTTP(out, httptest.NewRequestWithContext(ctx, "PUT", fleetInstance,
				strings.NewReader(`{"instances":{}}`)))
		}()
		synctest.Wait()
		leave()
		synctest.Wait()
		select {
		case <-done:
			require.Fail(t, "it was given up")
		default:
		}
		require.NoError(t, s.Close())
		<-done
		require.Equal(t, http.StatusGatewayTimeout, out.Code)
	})
}

func TestASpecThatCannotBeReadIsNotShown(t *testing.T) {
	for spec, want := range map[string]string{
		`{"id":"a","env":{"B":"c"}}`: `{"id":"a","env":{"B":"c"}}`, `{"z":1,"a":[2]}`: `{"z":1,"a":[2]}`,
		`{"env":{"TOKEN":{"x":1}}}`: `{"env":{"TOKEN":"***"}}`,
		``:                          "", `x`: "", `{"env":["TOKEN"]}`: "", `{"env":{"TOKEN":"hunter2"}`: "", `[]`: "",
		`{"env":{"TOKEN":"hunter2`: "",
	} {
		require.Equal(t, want, string(maskedSpec(json.RawMessage(spec))), spec)
	}
}
