package fleet

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// ours starts and reaps all processes: the tests' own, and the orphans of daemons that are killed.
var ours = reaper{own: map[int]*process{}}

// bin has the programs that the tests run.
var bin struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == payloadWord {
		payload(os.Args[2], os.Args[3], os.Args[4])
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, "this test process cannot be a subreaper:", err)
		os.Exit(1)
	}
	// They wait most of the time. What the command line says of it is read later.
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err) // package testing has it
	}
	stop := ours.begin()
	code := m.Run()
	stop()
	if os.Getenv(envBin) == "" && bin.dir != "" {
		_ = os.RemoveAll(bin.dir)
	}
	os.Exit(code)
}

const envBin = "PROCMAN_FLEET_BIN"

// program returns the path of procman, procman-fleet or etcd.
func program(t *testing.T, name string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("programs are built without the race detector: tests of them alone find nothing more with it")
	}
	bin.once.Do(func() {
		if bin.dir = os.Getenv(envBin); bin.dir != "" {
			return
		}
		if bin.dir, bin.err = os.MkdirTemp("", "procman-fleet-bin-"); bin.err != nil {
			return
		}
		for _, b := range []struct{ dir, pkg string }{{"../..", "./cmd/procman"}, {"../..", "./cmd/procman-fleet"},
			{"../etcd", "."}} {
			name := filepath.Base(b.pkg)
			if name == "." {
				name = "etcd"
			}
			cmd := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(bin.dir, name), b.pkg)
			cmd.Dir = b.dir
			if out, err := ours.run(cmd); err != nil {
				bin.err = fmt.Errorf("%s cannot be built: %w\n%s", name, err, out)
				return
			}
		}
	})
	require.NoError(t, bin.err)
	return filepath.Join(bin.dir, name)
}
