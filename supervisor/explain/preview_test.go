package explain

import (
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
	"procman/supervisor/plan"
)

func previewApp(t *testing.T, change func(*messages.AppInstance)) *plan.App {
	t.Helper()
	a := messages.AppInstance{
		InstanceID: "web", WasmPath: "a.wasm", DbName: "a.db", WorkDir: "/srv",
		Env: map[string]string{"LEVEL": "info", "TOKEN": "correct-horse"}, Secrets: []string{"TOKEN"},
		Labels: map[string]string{"team": "a"},
	}
	if change != nil {
		change(&a)
	}
	app, err := plan.NewApp(a)
	require.NoError(t, err)
	return app
}

func TestAPreviewSaysWhatAReloadWouldDo(t *testing.T) {
	same := previewApp(t, nil)
	once := previewApp(t, func(a *messages.AppInstance) { a.Restart.MaxAttempts = 1 })
	for _, c := range []struct {
		name   string
		v      View
		next   *plan.App
		kind   messages.ChangeKind
		why    string
		fields []messages.FieldChange
	}{
		{"new", view(nil), same, messages.ChangeStart, "new in the file", nil},
		{"new and held", held(view(nil)), same, messages.ChangeApply,
			"new in the file, and held down by an operator until `do start web`", nil},
		{"new and disabled", view(nil), previewApp(t, func(a *messages.AppInstance) { a.Disabled = true }),
			messages.ChangeApply, "new in the file, and disabled there", nil},
		{"gone", view(same, live...), nil, messages.ChangeStop, "no longer in the file", nil},
		{"gone in backoff", view(same, crash...), nil, messages.ChangeStop,
			"no longer in the file; it is backoff, so there is no process to end", nil},
		{"what runs", view(same, live...), previewApp(t,
			func(a *messages.AppInstance) { a.WasmPath, a.Stop.Grace = "b.wasm", time.Second }),
			messages.ChangeRestart, "wasm_path has changed",
			[]messages.FieldChange{{Field: "wasm_path", From: "a.wasm", To: "b.wasm"},
				{Field: "stop.grace", From: "10s", To: "1s"}}},
		{"what runs, in backoff", view(same, crash...),
			previewApp(t, func(a *messages.AppInstance) { a.DbName = "b.db" }),
			messages.ChangeStart, "it is backoff, and an edit of that starts it at once: db_name has changed",
			[]messages.FieldChange{{Field: "db_name", From: "a.db", To: "b.db"}}},
		{"policy, given up", view(once, crash...), previewApp(t,
			func(a *messages.AppInstance) { a.Restart.MaxAttempts = 9 }),
			messages.ChangeStart, "it is failed, and an edit of that starts it at once: restart.max_attempts has " +
				"changed",
			[]messages.FieldChange{{Field: "restart.max_attempts", From: "1", To: "9"}}},
		{"what runs, held", held(view(same, live...)),
			previewApp(t, func(a *messages.AppInstance) { a.DbName = "b.db" }),
			messages.ChangeApply, "held down by an operator, so nothing runs until `do start web`: db_name has changed",
			[]messages.FieldChange{{Field: "db_name", From: "a.db", To: "b.db"}}},
		{"policy", view(same, live...), previewApp(t,
			func(a *messages.AppInstance) { a.Health.Interval = time.Second; a.Labels = nil }),
			messages.ChangeApply, "no process is touched: labels.team, health.interval have changed",
			[]messages.FieldChange{{Field: "labels.team", From: "a"},
				{Field: "health.interval", From: "15s", To: "1s"}}},
		{"disabled", view(same, live...), previewApp(t, func(a *messages.AppInstance) { a.Disabled = true }),
			messages.ChangeStop, "disabled in the file",
			[]messages.FieldChange{{Field: "enabled", From: "true", To: "false"}}},
		{"enabled", view(previewApp(t, func(a *messages.AppInstance) { a.Disabled = true })), same,
			messages.ChangeStart, "enabled in the file",
			[]messages.FieldChange{{Field: "enabled", From: "false", To: "true"}}},
		{"environment", view(same, live...), previewApp(t,
			func(a *messages.AppInstance) { a.Env["LEVEL"] = "debug"; a.Env["NEW"] = "" }),
			messages.ChangeRestart, "env.LEVEL, env.NEW have changed",
			[]messages.FieldChange{{Field: "env.LEVEL", From: "info", To: "debug"}, {Field: "env.NEW", To: `""`}}},
		{"a secret", view(same, live...), previewApp(t, func(a *messages.AppInstance) {
			a.Env["TOKEN"] = "battery-staple"
			a.Args = []string{"--token=battery-staple", "{port}"}
		}),
			messages.ChangeRestart, "args, env.TOKEN have changed", []messages.FieldChange{
				{Field: "args", From: "-wasm {wasm_path} -dbPath {db_name} -port {port}", To: "--token=*** {port}"},
				{Field: "env.TOKEN", From: "***", To: "***"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, changes := Preview(c.v, c.next, words, now)
			require.True(t, changes)
			require.Equal(t, c.kind, got.Kind)
			require.Equal(t, c.why, got.Why)
			if c.fields == nil {
				c.fields = []messages.FieldChange{}
			}
			require.Equal(t, c.fields, got.Fields)
		})
	}
	_, changes := Preview(view(same, live...), previewApp(t, nil), words, now)
	require.False(t, changes, "the same, though another value")
	_, changes = Preview(view(nil), nil, words, now)
	require.False(t, changes)
}

// A field that is added to AppInstance and forgotten here would be a change that plan does not show.
func TestEveryFieldOfAnInstanceShowsInAPreview(t *testing.T) {
	was := previewApp(t, nil)
	v := reflect.ValueOf(*was.AppInstance)
	for n := range v.NumField() {
		name := v.Type().Field(n).Name
		if name == "InstanceID" {
			continue
		}
		part := func(a *messages.AppInstance) reflect.Value {
			f := reflect.ValueOf(a).Elem().Field(n)
			if f.Kind() == reflect.Pointer { // what few have
				f.Set(reflect.New(f.Type().Elem()))
			}
			return reflect.Indirect(f)
		}
		a := was.Clone()
		if kind := part(&a).Kind(); kind != reflect.Struct {
			bump(part(&a))
			requireShown(t, was, a, name)
			continue
		}
		for m := range part(&a).NumField() {
			a := was.Clone()
			field := part(&a)
			bump(field.Field(m))
			requireShown(t, was, a, name+"."+field.Type().Field(m).Name)
		}
	}
}

func requireShown(t *testing.T, was *plan.App, a messages.AppInstance, field string) {
	t.Helper()
	next := &plan.App{AppInstance: &a, Spec: a.SpecHash()}
	c, changes := Preview(view(was, live...), next, words, now)
	require.True(t, changes, field)
	require.NotEmpty(t, c.Fields, "%s shows", field)
}

// bump makes a value another one.
func bump(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Float64:
		v.SetFloat(v.Float()/2 + 0.25)
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Slice:
		v.Set(reflect.Append(v, reflect.ValueOf("LEVEL")))
	case reflect.Map:
		if v.IsNil() {
			v.Set(reflect.MakeMap(v.Type()))
		}
		v.SetMapIndex(reflect.ValueOf("LEVEL"), reflect.ValueOf("bumped"))
	case reflect.Pointer: // of its fields messages.Fields knows
		v.Set(reflect.ValueOf(&messages.HealthCheck{Method: "HEAD"}))
	default:
		panic(v.Kind())
	}
}
