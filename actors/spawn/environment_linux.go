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
	"procman/messages"
)

// environment returns what a process is started with: procman's marks and those of who launches it, which nothing overrides, then the
// instance's own variables, then those of the manager that are passed on.
func (s *Spawner) environment(l messages.Launch, r runRecord) []string {
	var env []string
	seen := map[string]bool{}
	put := func(name, value string) {
		if !seen[name] {
			seen[name] = true
			env = append(env, name+"="+value)
		}
	}
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
	// Nobody else says so of a run: what shows that it is fenced is ended as such, and who trusts an epoch trusts procman.
	seen[kernel.EnvEpoch], seen[kernel.EnvFence] = true, true
	for _, name := range slices.Sorted(maps.Keys(l.App.Env)) {
		put(name, l.App.Env[name])
	}
	for _, name := range s.env {
		if value, ok := os.LookupEnv(name); ok {
			put(name, value)
		}
	}
	return env
}

func newTag() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never returns an error
	return hex.EncodeToString(b[:])
}
