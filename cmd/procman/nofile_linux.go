package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// nofileVariable says which soft limit of open files instances get. A unit has it whose own soft limit must be greater than
// programs that use select() can bear: systemd has to bring all stored descriptors below it before it starts the daemon.
const nofileVariable = "PROCMAN_CHILDREN_NOFILE"

// settleFiles makes that limit the one this program was started with, which Go gives to each child before its exec, by
// executing the program anew. It returns if there is nothing to settle, or it cannot be.
func settleFiles(env func(string) string, e ears) error {
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
	if err := setAside(env, int(soft)); err != nil {
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
	return fmt.Errorf("instances get a soft limit of %d open files: %w", before, errors.Join(err, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &now)))
}

// asideVariable says where the first of the descriptors is that the service manager has passed, if it is not listenStart.
const asideVariable = "PROCMAN_LISTEN_START"

// setAside moves what the service manager has passed beyond a limit that is to be. A program that begins with no descriptor
// free below its limit could not even be linked.
func setAside(env func(string) string, limit int) error {
	count, _ := strconv.Atoi(env("LISTEN_FDS")) // 0 if it is no number
	if count == 0 || env("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil
	}
	for n := range count {
		// Go has its own descriptors after those that it was started with.
		if err := syscall.Dup3(listenStart+n, limit+count+n, 0); err != nil {
			for n := range n {
				_ = syscall.Close(limit + count + n)
			}
			return err
		}
	}
	for n := range count {
		_ = syscall.Close(listenStart + n) // there is a copy
	}
	return os.Setenv(asideVariable, strconv.Itoa(limit+count))
}
