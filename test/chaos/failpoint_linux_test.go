package chaos

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// failpoints returns the names that stand in procman's source, so that none is forgotten here.
func failpoints(t *testing.T) (names []string) {
	t.Helper()
	call := regexp.MustCompile(`\bfailpoint\("([a-z-]+)"\)`)
	for _, pattern := range []string{"../../actors/*/*.go", "../../supervisor/*.go", "../../cmd/procman/*.go",
		"../../cmd/procman/*/*.go"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, match := range call.FindAllSubmatch(text, -1) {
				names = append(names, string(match[1]))
			}
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	require.NotEmpty(t, names)
	return names
}

// TestTheManagerKilledAtEachFailPoint has the daemon die at every place that its authors were afraid of, and checks
// every invariant after each death. PROCMAN_CHAOS_FAILPOINT_ROUNDS makes it longer.
func TestTheManagerKilledAtEachFailPoint(t *testing.T) { // 3, 5, 6, 7, 9
	t.Parallel()
	rounds := fromEnv("PROCMAN_CHAOS_FAILPOINT_ROUNDS", 2)
	for _, name := range failpoints(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seed := *seedFlag
			if seed == 0 {
				seed = rand.Int64N(1 << 31)
			}
			w := newWorld(t)
			failing := failingProgram(t)
			c := newChurn(w)
			for n := range 4 {
				c.add(n)
			}
			w.write()
			w.bystander(w.ports[0]+3, w.dir+"/by.db")
			var before map[string]Process
			for round := 1; round <= rounds; round++ {
				rng := rand.New(rand.NewPCG(uint64(seed), uint64(round)))
				nth := 1 + rng.IntN(8)
				t.Logf("seed %d, round %d: %s:%d", seed, round, name, nth)
				w.program = failing
				w.start(fmt.Sprintf("PROCMAN_FAILPOINT=%s:%d", name, nth))
				c.pester(rng)
				w.program = procmanProgram(t)
				w.start().up()
				out, _ := c.converge()
				w.judge(out)
				if v := Undisturbed(before, c.touched, w.lives()); len(v) > 0 {
					w.fail(v)
				}
				w.judgeOutput()
				before = w.processes()
				for id, p := range before {
					if c.doomed[p] {
						delete(before, id)
					}
				}
				c.calm()
				w.daemon.kill()
			}
		})
	}
}

// pester makes changes until the daemon has died of one.
func (c *churn) pester(rng *rand.Rand) {
	c.w.Helper()
	deadline := time.Now().Add(inTime(10 * time.Second))
	for n := 0; c.w.daemon.alive(); n++ {
		if time.Now().After(deadline) {
			c.w.Fatal("the daemon was never killed: the fail point is not reached by any change")
		}
		c.do(change{what: []string{"restart", "kill", "spec", "stop", "start", "crash"}[rng.IntN(6)],
			pick: rng.IntN(1 << 20)})
		select {
		case <-c.w.daemon.ended:
		case <-time.After(20 * time.Millisecond):
		}
	}
	require.Equal(c.w, -1, c.w.daemon.code, "it was to be killed")
}
