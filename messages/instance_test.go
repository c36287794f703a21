package messages

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files")

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *rewrite {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

// setters write the fields that there were when the hashes got their first form.
var setters = []struct {
	name string
	set  func(*AppInstance)
}{
	{"wasm_path", func(a *AppInstance) { a.WasmPath = "apps/users.wasm" }},
	{"db_name", func(a *AppInstance) { a.DbName = "users.db" }},
	{"executable", func(a *AppInstance) { a.Executable = "/bin/host" }},
	{"args", func(a *AppInstance) { a.Args = []string{"-p", "{port}", ""} }},
	{"work_dir", func(a *AppInstance) { a.WorkDir = "/srv" }},
	{"env", func(a *AppInstance) { a.Env = map[string]string{"B": "2", "A": "", "TOKEN": "hunter2"} }},
	{"secrets", func(a *AppInstance) { a.Secrets = []string{"TOKEN"} }},
	{"labels", func(a *AppInstance) { a.Labels = map[string]string{"team": "a"} }},
	{"enabled", func(a *AppInstance) { a.Disabled = true }},
	{"env_fault", func(a *AppInstance) { a.EnvFault = "gone" }},
	{"health.path", func(a *AppInstance) { a.Health.Path = "/x" }},
	{"health.interval", func(a *AppInstance) { a.Health.Interval = time.Minute }},
	{"health.timeout", func(a *AppInstance) { a.Health.Timeout = time.Second }},
	{"health.failures", func(a *AppInstance) { a.Health.Failures = 7 }},
	{"health.owner", func(a *AppInstance) { a.Health.Owner = OwnerAny }},
	{"restart.initial", func(a *AppInstance) { a.Restart.Initial = 2 * time.Minute }},
	{"restart.max", func(a *AppInstance) { a.Restart.Max = 1500 * time.Millisecond }},
	{"restart.multiplier", func(a *AppInstance) { a.Restart.Multiplier = 1.5 }},
	{"restart.jitter", func(a *AppInstance) { a.Restart.Jitter = 0.05 }},
	{"restart.stable_after", func(a *AppInstance) { a.Restart.StableAfter = time.Hour }},
	{"restart.max_attempts", func(a *AppInstance) { a.Restart.MaxAttempts = 3 }},
	{"restart.mode", func(a *AppInstance) { a.Restart.Mode = RestartOnFailure }},
	{"start.deadline", func(a *AppInstance) { a.Start.Deadline = time.Second }},
	{"stop.grace", func(a *AppInstance) { a.Stop.Grace = time.Second }},
	{"stop.leftovers", func(a *AppInstance) { a.Stop.Leftovers = LeftoversLeave }},
}

// An instance whose hash changes is restarted by an upgrade, or started though it had ended.
func TestHashesAndDefaultsOfWhatExistsNeverChange(t *testing.T) {
	var b strings.Builder
	one := func(name string, chosen func(i int) bool) {
		a := AppInstance{InstanceID: "users"}
		for i, s := range setters {
			if chosen(i) {
				s.set(&a)
			}
		}
		full := a.WithDefaults()
		h, r := full.Health, full.Restart
		fmt.Fprintln(&b, name, a.SpecHash(), a.Restart.Hash(), full.SpecHash(), full.Restart.Hash(), full.Executable,
			h.Path, h.Interval, h.Timeout, h.Failures, h.Owner,
			r.Initial, r.Max, r.Multiplier, r.Jitter, r.StableAfter, r.MaxAttempts, r.Mode, full.Start.Deadline,
			full.Stop.Grace, full.Stop.Leftovers)
	}
	one("nothing", func(int) bool { return false })
	one("everything", func(int) bool { return true })
	for n, s := range setters {
		one(s.name, func(i int) bool { return i == n })
		one("all but "+s.name, func(i int) bool { return i != n })
	}
	for seed := uint64(1); seed <= 64; seed++ {
		bits := seed * 0x9e3779b97f4a7c15
		one(fmt.Sprintf("mixture %d", seed), func(i int) bool { return bits>>(i+20)&1 == 1 })
	}
	golden(t, "testdata/hashes.golden", b.String())
}

func TestValidateSaysEverythingThatIsWrong(t *testing.T) {
	var b strings.Builder
	for _, set := range []func(*AppInstance){
		func(a *AppInstance) {},
		func(a *AppInstance) { a.InstanceID = "" },
		func(a *AppInstance) { a.InstanceID = "../x" },
		func(a *AppInstance) { a.WasmPath, a.DbName = "", "" },
		func(a *AppInstance) { a.Args = []string{"{no}", "{port}", "a\x00b"} },
		func(a *AppInstance) { a.WorkDir = "a\x00b" },
		func(a *AppInstance) { a.Env = map[string]string{"": "", "A=": "", "B": "\x00", "C": "c"} },
		func(a *AppInstance) {
			h := &a.Health
			h.Kind, h.Path, h.Interval, h.Timeout, h.Failures, h.Owner = "x", "x", -1, -1, -1, "x"
		},
		func(a *AppInstance) { a.Health.Path = "/a b" },
		func(a *AppInstance) {
			r := &a.Restart
			r.Initial, r.Max, r.Multiplier, r.Jitter, r.StableAfter, r.MaxAttempts, r.Mode = -1, -2, 0.5, 1, -1, -1, "x"
		},
		func(a *AppInstance) {
			r := &a.Restart
			r.Initial, r.Max, r.Multiplier, r.Jitter = time.Hour, time.Minute, 1001, -0.1
		},
		func(a *AppInstance) { a.Start.Deadline = -1 },
		func(a *AppInstance) { a.Stop.Grace, a.Stop.Leftovers = -1, "x" },
		func(a *AppInstance) {
			a.Placement = &Placement{Movable: true, Fence: "x", Hosts: map[string]string{"": ""}}
		},
		func(a *AppInstance) { a.Placement = &Placement{Fence: FenceNone, Hosts: map[string]string{"a": "\n"}} },
		func(a *AppInstance) {
			a.Placement = &Placement{Hosts: map[string]string{"a": strings.Repeat("x", 257)}}
		},
	} {
		a := AppInstance{InstanceID: "users", WasmPath: "w", DbName: "d"}.WithDefaults()
		set(&a)
		fmt.Fprintf(&b, "%v\n\n", a.Validate())
	}
	golden(t, "testdata/validate.golden", b.String())
}

func TestTwoInstancesAreTheSameIfEveryFieldIs(t *testing.T) {
	var fields func(at reflect.Value, path string)
	a := AppInstance{InstanceID: "a", Env: map[string]string{"A": "b"}, Placement: &Placement{},
		Resources: &Resources{Pids: 1}}.WithDefaults()
	b := a.Clone()
	require.True(t, a.Same(&b))
	fields = func(at reflect.Value, path string) {
		for i := range at.NumField() {
			f, name := at.Field(i), path+at.Type().Field(i).Name
			before := reflect.ValueOf(f.Interface())
			switch f.Kind() {
			case reflect.Struct:
				fields(f, name+".")
				continue
			case reflect.String:
				f.SetString(f.String() + "x")
			case reflect.Int, reflect.Int64:
				f.SetInt(f.Int() + 1)
			case reflect.Float64:
				f.SetFloat(f.Float() + 1)
			case reflect.Bool:
				f.SetBool(!f.Bool())
			case reflect.Slice:
				f.Set(reflect.ValueOf([]string{"another"}))
			case reflect.Pointer:
				if name == "Placement" || name == "Resources" {
					fields(f.Elem(), name+".")
					continue
				}
				said := HealthPolicy{Check: &HealthCheck{Method: "HEAD"}}
				a.Health.Check = AppInstance{Health: said}.WithDefaults().Health.Check
				f.Set(reflect.ValueOf(AppInstance{Health: said}.WithDefaults().Health.Check))
				fields(f.Elem(), name+".")
				continue
			case reflect.Map:
				f.Set(reflect.ValueOf(map[string]string{"A": "c"}))
			default:
				t.Fatalf("%s: this test does not know how to change it", name)
			}
			require.False(t, a.Same(&b), name)
			f.Set(before)
			require.True(t, a.Same(&b), name)
		}
	}
	fields(reflect.ValueOf(&b).Elem(), "")
}
