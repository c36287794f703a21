package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// subreaper executes the command line it was given as a process to which the kernel gives orphans, as it does to pid 1
// of a container.
func subreaper() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return err
	}
	return syscall.Exec(os.Args[1], os.Args[1:], os.Environ())
}

func TestPid1ReapsTheOrphansOfOthersAndTakesNoStatusOfItsOwn(t *testing.T) { // 21, 47, F122
	t.Parallel()
	w := newWorld(t)
	w.declare(app{id: "a", policy: "executable: /bin/sh\nargs: [\"-c\", \"i=0; while [ $i -lt 40 ]; do " +
		"(sleep 0.2 &); (setsid sleep 0.2 &); i=$((i+1)); done; exec " + faultchildProgram(t) + " {port}\"]"},
		Control{})
	const dying = 6
	for n := range dying {
		w.declare(app{id: fmt.Sprint("dies-", n+11),
			policy: fmt.Sprintf("executable: /bin/sh\nargs: [\"-c\", \"exit %d\"]", n+11)}, Control{})
	}
	w.write()
	self, err := os.Executable()
	require.NoError(t, err)
	d := w.command(exec.Command(self, w.program, "run", "-c", w.config), envHelper+"=subreaper")
	w.daemon = d
	d.up()
	d.healthy("a")
	w.eventually(20*time.Second, "no orphan is left", func() bool {
		zombies, sleeping := 0, 0
		for _, pid := range children(d.pid()) {
			text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
			if string(text) != "sleep\n" {
				continue
			}
			sleeping++
			if s, err := readStat(pid); err == nil && s.State == 'Z' {
				zombies++
			}
		}
		return zombies == 0 && sleeping == 0
	})
	require.NotEmpty(t, d.said(`"orphans were reaped"`))
	exits := regexp.MustCompile(
		`"msg":"instance exited","instance":"dies-(\d+)".*?"detail":"([^"]*)"`).FindAllStringSubmatch(d.log(), -1)
	require.Greater(t, len(exits), dying)
	for _, exit := range exits {
		require.Equal(t, "exited with code "+exit[1], exit[2])
	}
	require.NoError(t, d.cmd.Process.Signal(unix.SIGTERM))
	require.Zero(t, d.wait(20*time.Second))
}
