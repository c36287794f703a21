package fleet

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// fleetProgram is the daemon of a host that is in a fleet.
const fleetProgram = "procman-fleet"

// runs returns the name of the program that the daemon is.
func (h *host) runs() string {
	h.w.t.Helper()
	program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", h.daemon.pid))
	require.NoError(h.w.t, err)
	return filepath.Base(program)
}

// alone runs a daemon from a directory that has these programs only, by what they are copies of. It returns what it
// said when it ended.
func alone(t *testing.T, programs map[string]string) (said string, code int) {
	t.Helper()
	dir := t.TempDir()
	for name, of := range programs {
		content, err := os.ReadFile(program(t, of))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), content, 0o700))
	}
	config := filepath.Join(dir, "procman.yaml")
	text := fmt.Sprintf("executable: /bin/true\nstate_dir: state\nports: {range: %d-%[1]d}\ninstances: []\nfleet: "+
		"{endpoints: ['http://127.0.0.1:1'], host: h}\n",
		freePorts(t, 1))
	require.NoError(t, os.WriteFile(config, []byte(text), 0o600))
	cmd := exec.Command(filepath.Join(dir, "procman"), "-c", config, "run")
	cmd.Env = []string{"PATH=" + dir}
	out, err := os.Create(filepath.Join(dir, "out"))
	require.NoError(t, err)
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	p, err := ours.start(cmd)
	require.NoError(t, err)
	w := &world{t: t}
	defer p.kill()
	w.until("it ends", func() bool { return !p.alive() })
	content, err := os.ReadFile(out.Name())
	require.NoError(t, err)
	require.NoFileExists(t, filepath.Join(dir, "state", "procman.sock"), "it has touched nothing")
	return string(content), p.status.ExitStatus()
}

func TestADaemonWithoutTheProgramOfAFleetSaysWhereToPutIt(t *testing.T) {
	t.Parallel()
	said, code := alone(t, map[string]string{"procman": "procman"})
	require.NotZero(t, code)
	require.Contains(t, said, "this program has no part of etcd's client: put procman-fleet beside ")
	require.Contains(t, said, "go build -o")
}

func TestAProgramOfAFleetThatHasNoStoreSaysSoAndIsNotExecutedAgain(t *testing.T) {
	t.Parallel()
	said, code := alone(t, map[string]string{"procman": "procman", fleetProgram: "procman"})
	require.NotZero(t, code)
	require.Contains(t, said,
		"though it is called procman-fleet: put the one that was built of cmd/procman-fleet there")
}
