package spawn

import (
	"crypto/rand"
	"encoding/hex"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"procman/actors/kernel"
	"procman/actors/runas"
	"procman/messages"
)

// environment returns what a process is started with: procman's marks and those of who launches it, which nothing
// overrides, then the instance's own variables, then those of the user it runs as, if that is another one, and those of
// the manager that are passed on.
func (s *Spawner) environment(l messages.Launch, r runRecord, as *runas.Settings) []string {
	var e environment
	put := e.put
	put(EnvStateDir, string(s.dir))
	put(EnvInstance, string(l.App.InstanceID))
	put(EnvRun, strconv.Itoa(l.Run))
	put(EnvTag, r.Tag)
	put(EnvSpec, r.Spec)
	put("PORT", strconv.Itoa(l.Port))
	for _, line := range l.Extra {
		name, value, _ := strings.Cut(line, "=")
		put(name, value)
	}
	// Nobody else says so of a run: what shows that it is fenced is ended as such, and who trusts an epoch trusts
	// procman.
	e.keep(kernel.EnvEpoch, kernel.EnvFence)
	return e.with(l.App, as, s.env)
}

// checkEnvironment returns what the command of a health check is started with: what the instance has, but for the marks
// of its run, for it is none of its processes.
func (s *Spawner) checkEnvironment(app messages.AppInstance, port int, as *runas.Settings) []string {
	var e environment
	e.put(EnvCheck, s.checks.mark+"@"+string(s.dir))
	e.put(EnvInstance, string(app.InstanceID))
	e.put("PORT", strconv.Itoa(port))
	e.keep(EnvStateDir, EnvRun, EnvTag, EnvSpec, kernel.EnvEpoch, kernel.EnvFence)
	return e.with(app, as, s.env)
}

// environment is one in the making: what is there first is not overridden.
type environment struct {
	list []string
	seen map[string]bool
}

func (e *environment) put(name, value string) {
	if !e.seen[name] {
		e.keep(name)
		e.list = append(e.list, name+"="+value)
	}
}

// keep has nobody put variables of these names.
func (e *environment) keep(names ...string) {
	if e.seen == nil {
		e.seen = map[string]bool{}
	}
	for _, name := range names {
		e.seen[name] = true
	}
}

// with adds the variables of the instance, those of the user it runs as, and those of the manager that are passed on.
func (e *environment) with(app messages.AppInstance, as *runas.Settings, passed []string) []string {
	for _, name := range slices.Sorted(maps.Keys(app.Env)) {
		e.put(name, app.Env[name])
	}
	for name, value := range as.Environ() {
		e.put(name, value)
	}
	for _, name := range passed {
		if value, ok := os.LookupEnv(name); ok {
			e.put(name, value)
		}
	}
	return e.list
}

func newTag() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never returns an error
	return hex.EncodeToString(b[:])
}
