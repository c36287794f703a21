package chaos

import (
	"fmt"
	"io"
	"os"
	"os/exec"

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
