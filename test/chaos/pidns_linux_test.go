package chaos

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

const (
	envProgram = "CHAOS_PROGRAM"
	envConfig  = "CHAOS_CONFIG"
)

// TestAStrangerThatWasGivenThePidOfADeadChildIsLeftAlone: a real reuse, in a pid namespace of its own.
func TestAStrangerThatWasGivenThePidOfADeadChildIsLeftAlone(t *testing.T) { // 11
	t.Parallel()
	w := newWorld(t)
	w.declare(app{id: "a"}, Control{})
	w.write()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), envHelper+"=pidns", envProgram+"="+w.program, envConfig+"="+w.config)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS}
	out, err := ours.output(cmd)
	if errors.Is(err, unix.EPERM) {
		t.Skip("this host allows no pid namespace: ", err)
	}
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "was left alone")
}

// pidns is the init of a pid namespace, where pids can be given out on purpose.
func pidns() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return err
	}
	daemon, err := inNamespace()
	if err != nil {
		return err
	}
	child, err := healthyChild()
	if err != nil {
		return err
	}
	if err := errors.Join(daemon.Process.Kill(), unix.Kill(child, unix.SIGKILL)); err != nil {
		return err
	}
	_ = daemon.Wait()
	if _, err := unix.Wait4(child, nil, 0, nil); err != nil { // it has become ours
		return fmt.Errorf("the dead child: %w", err)
	}
	stranger, err := givenPid(child)
	if err != nil {
		return err
	}
	if daemon, err = inNamespace(); err != nil {
		return err
	}
	again, err := healthyChild()
	if err != nil {
		return err
	}
	if again == child {
		return errors.New("the stranger was adopted")
	}
	if err := daemon.Process.Signal(unix.SIGTERM); err != nil {
		return err
	}
	if err := daemon.Wait(); err != nil {
		return fmt.Errorf("the daemon's end: %w", err)
	}
	if pid, err := unix.Wait4(stranger.Process.Pid, nil, unix.WNOHANG, nil); err != nil || pid != 0 {
		return fmt.Errorf("the stranger has ended: %d, %w", pid, err)
	}
	fmt.Printf("pid %d of a stranger was left alone; the instance ran as %d\n", child, again)
	return stranger.Process.Kill()
}

func inNamespace() (*exec.Cmd, error) {
	cmd := exec.Command(os.Getenv(envProgram), "run", "-c", os.Getenv(envConfig))
	cmd.Stderr = os.Stderr
	return cmd, cmd.Start()
}

// healthyChild returns the pid of the instance's process once it is healthy.
func healthyChild() (int, error) {
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		out, _ := exec.Command(os.Getenv(envProgram), "-c", os.Getenv(envConfig), "status", "-o", "json").Output()
		var doc document
		if json.Unmarshal(out, &doc) == nil && len(doc.Instances) == 1 && doc.Instances[0].Health == "healthy" {
			return doc.Instances[0].PID, nil
		}
	}
	return 0, errors.New("the instance does not become healthy")
}

// givenPid starts a process that is given the pid. Our own threads take pids too, so it may need several attempts.
func givenPid(pid int) (*exec.Cmd, error) {
	for range 200 {
		if err := os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(pid-1)), 0); err != nil {
			return nil, err
		}
		cmd := exec.Command("sleep", "300")
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		if cmd.Process.Pid == pid {
			return cmd, nil
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	return nil, fmt.Errorf("pid %d was never given out", pid)
}
