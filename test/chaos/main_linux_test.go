package chaos

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"procman/test/fake"
)

var seedFlag = flag.Int64("chaos.seed", 0, "run the killer with this `seed` only; 0: draw one")

// bin builds what the tests run, each program when it is needed first.
var bin binaries

// ours reaps the orphans of dead daemons.
var ours reaper

func TestMain(m *testing.M) {
	if code, is := helper(); is {
		os.Exit(code)
	}
	flag.Parse()
	fake.Crowd()
	dir, err := os.MkdirTemp("", "procman-chaos-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	bin.dir = dir
	_ = os.Setenv("XDG_RUNTIME_DIR", dir) // the name is one: what daemons leave there goes with the tests
	portsAt += os.Getpid() % 10 * 360     // beside another run of these tests on this host
	// Orphans become our children. So they can be cleaned up whatever happens, and the init of this host, which may be
	// slow or no init at all, is out of the game.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, "this test process cannot be a subreaper:", err)
		os.Exit(1)
	}
	stop := ours.begin()
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		stop()
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(code)
	}), goleak.IgnoreCurrent())
}

type binaries struct {
	dir string
	mu  sync.Mutex
	had map[string]error
}

// program returns the path of one of this module's programs.
func (b *binaries) program(t testing.TB, pkg string, tags ...string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("programs are built without the race detector: tests of them alone find nothing more with it")
	}
	name := strings.Join(append([]string{filepath.Base(pkg)}, tags...), "-")
	path := filepath.Join(b.dir, name)
	b.mu.Lock()
	defer b.mu.Unlock()
	err, done := b.had[name]
	if !done {
		out, buildErr := ours.output(fake.Program(path, "procman/"+pkg, tags...))
		if buildErr != nil {
			err = fmt.Errorf("building %s: %w\n%s", pkg, buildErr, out)
		}
		if b.had == nil {
			b.had = map[string]error{}
		}
		b.had[name] = err
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func procmanProgram(t testing.TB) string    { return bin.program(t, "cmd/procman") }
func failingProgram(t testing.TB) string    { return bin.program(t, "cmd/procman", "failpoint") }
func faultchildProgram(t testing.TB) string { return bin.program(t, "test/chaos/faultchild") }

// fromEnv returns a number from the environment.
func fromEnv(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 {
		return n
	}
	return otherwise
}

// inTime is the deadline of what takes no longer than that on a machine that does nothing else. One that is reached
// fails the test, so it costs nothing to make it long.
func inTime(within time.Duration) time.Duration {
	return max(time.Minute, within*time.Duration(patience()))
}

// patience stretches what is measured where too few cores make everything slow.
func patience() int {
	if runtime.NumCPU() < 4 {
		return 4
	}
	return 2
}
