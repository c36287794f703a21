package chaos

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

const envHelper = "CHAOS_HELPER"

// helper runs this program as a helper process of a test, if it is one.
func helper() (code int, is bool) {
	switch os.Getenv(envHelper) {
	case "":
		return 0, false
	case "lazy":
		return complain(lazy()), true
	case "pidns":
		return complain(pidns()), true
	case "subreaper":
		return complain(subreaper()), true
	case "unclean":
		return complain(unclean()), true
	case "limited":
		return complain(limited()), true
	case "held":
		return complain(heldExec()), true
	}
	return 2, true
}

func complain(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, "helper:", err)
		return 1
	}
	return 0
}

// unclean becomes the command line it was given as a careless parent leaves it: signals are blocked, others ignored,
// and few descriptors allowed though more could be had.
func unclean() error {
	runtime.LockOSThread() // the mask is its thread's, and that of what the thread executes
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGUSR1, syscall.SIGPIPE, syscall.SIGCHLD, syscall.SIGTSTP,
		syscall.SIGTTIN, syscall.SIGTTOU,
		syscall.SIGCONT)
	unix.Umask(0)
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, 5); err != nil {
		return err
	}
	blocked := unix.Sigset_t{}
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGCHLD, syscall.SIGUSR2} {
		blocked.Val[0] |= 1 << (s - 1)
	}
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &blocked, nil); err != nil {
		return err
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 300, Max: 2000}); err != nil {
		return err
	}
	return unix.Exec(os.Args[1], os.Args[1:], append(os.Environ(), envHelper+"="))
}

const envLimit = "CHAOS_LIMIT"

// limited limits a resource of this process, RESOURCE=NUMBER=USER, and becomes the command line it was given, as that
// user.
func limited() error {
	var resource, user int
	var limit unix.Rlimit
	if _, err := fmt.Sscanf(os.Getenv(envLimit), "%d=%d=%d", &resource, &limit.Cur, &user); err != nil {
		return err
	}
	limit.Max = limit.Cur
	if err := unix.Setrlimit(resource, &limit); err != nil {
		return err
	}
	if user != os.Geteuid() {
		if err := errors.Join(unix.Setgroups(nil), unix.Setgid(user), syscall.Setuid(user)); err != nil {
			return err
		}
	}
	return unix.Exec(os.Args[1], os.Args[1:], os.Environ())
}

// lazy is an init that reaps nobody: it starts the command line it was given, and waits for the end of its stdin.
func lazy() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return err
	}
	cmd := exec.Command(os.Args[1], os.Args[2:]...)
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(), envHelper+"=")
	if err := cmd.Start(); err != nil {
		return err
	}
	fmt.Println(cmd.Process.Pid)
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}
