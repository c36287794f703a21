package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"

	"procman/actors/kernel"
)

// lookKernel tries what procman asks of the kernel. brief is a command that ends at once.
func lookKernel(ctx context.Context, brief []string) (k Kernel) {
	var host unix.Utsname
	if err := unix.Uname(&host); err == nil {
		k.Release = unix.ByteSliceToString(host.Release[:])
	}
	fd, err := kernel.OpenPidfd(os.Getpid())
	if err != nil {
		k.Pidfd = Trial{true, fmt.Errorf("pidfd_open: %w", err)}
		return k
	}
	defer fd.Close()
	if err := fd.Signal(0); err != nil { // signal 0 is none
		k.Pidfd = Trial{true, fmt.Errorf("pidfd_send_signal: %w", err)}
		return k
	}
	k.Pidfd = Trial{Made: true}
	// Without the feature the flag is an invalid argument; that we lead no group is no error.
	err = fd.SignalGroup(0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EPERM) {
		err = nil
	}
	k.GroupSignals = Trial{true, err}
	if len(brief) > 0 {
		k.ExitStatus = tryExitStatus(ctx, brief)
	}
	return k
}

// tryExitStatus starts a process, has it reaped, and asks its pidfd afterwards how it ended.
func tryExitStatus(ctx context.Context, brief []string) Trial {
	raw := -1
	cmd := exec.CommandContext(ctx, brief[0], brief[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{PidFD: &raw}
	if err := cmd.Start(); err != nil || raw < 0 {
		return Trial{} // that says nothing of the kernel
	}
	fd := kernel.NewPidfd(raw)
	defer fd.Close()
	var failed *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &failed) {
		return Trial{}
	}
	_, err := fd.Status()
	return Trial{true, err}
}
