package daemon

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"procman/cmd/procman/systemd"
)

// nofileVariable says which soft limit of open files instances get. A unit has it whose own soft limit must be greater
// than programs that use select() can bear: systemd has to bring all stored descriptors below it before it starts the
// daemon.
const nofileVariable = "PROCMAN_CHILDREN_NOFILE"

// settleFiles makes that limit the one this program was started with, which Go gives to each child before its exec, by
// executing the program anew. It returns if there is nothing to settle, or it cannot be.
func settleFiles(env func(string) string, e signals) error {
	text := env(nofileVariable)
	if text == "" {
		return nil
	}
	if err := os.Unsetenv(nofileVariable); err != nil {
		return err
	}
	soft, err := strconv.ParseUint(text, 10, 64)
	if err != nil || soft == 0 {
		return fmt.Errorf("%s is %q; it must be a number of files", nofileVariable, text)
	}
	var now syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &now); err != nil {
		return err
	}
	if err := systemd.SetAside(env, int(soft)); err != nil {
		return fmt.Errorf("instances get a soft limit of %d open files: %w", now.Cur, err)
	}
	before := now.Cur
	// By package syscall: it forgets then what it would restore at an exec.
	if now.Cur = min(soft, now.Max); syscall.Setrlimit(syscall.RLIMIT_NOFILE, &now) != nil {
		return nil // it is as it was, and so are the children's
	}
	program, err := os.Executable()
	if err == nil {
		err = execute(program, os.Args, os.Environ(), e)
	}
	now.Cur = before
	return fmt.Errorf("instances get a soft limit of %d open files: %w", before,
		errors.Join(err, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &now)))
}
