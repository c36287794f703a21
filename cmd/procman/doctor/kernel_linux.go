package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// lookKernel tries what procman asks of the kernel. brief is a command that ends at once.
func lookKernel(ctx context.Context, brief []string) (k Kernel) {
	var host unix.Utsname
	if err := unix.Uname(&host); err == nil {
		k.Release = unix.ByteSliceToString(host.Release[:])
	}
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		k.Pidfd = Trial{true, fmt.Errorf("pidfd_open: %w", err)}
		return k
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, 0, nil, 0); err != nil { // signal 0 is none
		k.Pidfd = Trial{true, fmt.Errorf("pidfd_send_signal: %w", err)}
		return k
	}
	k.Pidfd = Trial{Made: true}
	// Without the feature the flag is an invalid argument; that we lead no group is no error.
	err = unix.PidfdSendSignal(fd, 0, nil, unix.PIDFD_SIGNAL_PROCESS_GROUP)
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
	fd := -1
	cmd := exec.CommandContext(ctx, brief[0], brief[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{PidFD: &fd}
	if err := cmd.Start(); err != nil {
		return Trial{} // that says nothing of the kernel
	}
	if fd >= 0 {
		defer unix.Close(fd)
	}
	var failed *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &failed) || fd < 0 {
		return Trial{}
	}
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.PIDFD_GET_INFO, uintptr(unsafe.Pointer(&info))); errno != 0 {
		return Trial{true, fmt.Errorf("PIDFD_GET_INFO: %w", errno)}
	}
	if info.Mask&unix.PIDFD_INFO_EXIT == 0 {
		return Trial{true, errors.New("PIDFD_GET_INFO leaves it out")}
	}
	return Trial{Made: true}
}
