package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"procman/test/chaos"
)

// monotonic returns CLOCK_MONOTONIC in nanoseconds, which all processes of the host share.
func monotonic() int64 {
	var t syscall.Timespec
	if _, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, 1, uintptr(unsafe.Pointer(&t)), 0); errno != 0 {
		panic(errno) // it cannot fail with these arguments
	}
	return t.Nano()
}

// startTime returns when this process began, in ticks since boot.
func startTime() (uint64, error) {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 20 {
		return 0, fmt.Errorf("/proc/self/stat is %q", stat)
	}
	return strconv.ParseUint(fields[19], 10, 64)
}

// hold takes the lock of the instance, for life, and returns the pid of another process that has it, 0 if there is
// none.
func (c *child) hold() (rival int, err error) {
	if c.instance == "" || c.ledger == nil {
		return 0, nil
	}
	path := filepath.Join(filepath.Dir(c.ledger.Name()), c.instance+".alive")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) // close-on-exec: no grandchild has it
	if err != nil {
		return 0, err
	}
	c.alive = f // a file that nobody refers to is closed
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		text, err := os.ReadFile(path)
		pid, convErr := strconv.Atoi(strings.TrimSpace(string(text)))
		if convErr != nil {
			pid = -1 // somebody has it, and has not said yet who
		}
		return pid, err
	}
	if err != nil {
		return 0, err
	}
	return 0, os.WriteFile(path, []byte(strconv.Itoa(c.self.PID)), 0o600)
}

// beget starts a grandchild.
func beget(d chaos.Descent) error {
	if !d.Lock {
		syscall.CloseOnExec(3)
	}
	how := "group"
	if d.Setsid {
		how = "session"
	}
	cmd := exec.Command("/proc/self/exe", "-descent", how)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: d.Setsid}
	if d.Stdout {
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	}
	return cmd.Start() // nobody waits for it: it outlives us, or is killed with us
}

// die ends this process by the signal. The Go runtime would make an exit code of many.
func die(s syscall.Signal) {
	none := struct{ current, most uint64 }{}
	_, _, _ = syscall.RawSyscall6(syscall.SYS_PRLIMIT64, 0, syscall.RLIMIT_CORE,
		uintptr(unsafe.Pointer(&none)), 0, 0, 0)
	var defaults [64]byte // a sigaction with the default handler, on every architecture
	var unblock [8]byte
	for i := range unblock {
		unblock[i] = 0xff
	}
	runtime.LockOSThread()
	_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(&defaults)), 0, 8, 0, 0)
	_, _, _ = syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, 1, /* SIG_UNBLOCK */
		uintptr(unsafe.Pointer(&unblock)), 0, 8, 0, 0)
	_ = syscall.Kill(os.Getpid(), s)
	time.Sleep(10 * time.Second)
	os.Exit(99) // it did not end us
}
