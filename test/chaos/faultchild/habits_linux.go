package main

import (
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"procman/test/chaos"
)

// The processes that a faultchild with habits starts, by how they are called.
const (
	worker   = "worker"   // serves in its place
	detached = "detached" // sleeps in a session of its own
	helping  = "helping"  // likewise, without descriptors
)

// adopt takes on habits. What was needed of the environment must have been read before.
func (c *child) adopt(h chaos.Habits) error {
	c.habits = h
	c.env = os.Environ()
	for i := range c.env {
		c.env[i] = strings.Clone(c.env[i])
	}
	c.instance = strings.Clone(c.instance)
	if h.CloseFDs {
		if err := closeInherited(); err != nil {
			return err
		}
	}
	if h.ClearEnv {
		return clearEnvironment()
	}
	return nil
}

// attend starts the processes that the habits call for.
func (c *child) attend() error {
	var errs []error
	if c.habits.Worker() {
		errs = append(errs, c.fork(worker, &syscall.SysProcAttr{Setpgid: c.habits.Group}, c.habits))
	}
	if c.habits.Detach != 0 {
		errs = append(errs, c.fork(detached, &syscall.SysProcAttr{Setsid: true}, c.habits))
	}
	if c.habits.Helper != 0 {
		h := c.habits
		h.ClearEnv = false
		errs = append(errs, c.fork(helping, &syscall.SysProcAttr{Setsid: true}, h))
	}
	return errors.Join(errs...)
}

// fork starts one of them. All inherit the lock by which a second process of the instance is found out: as long as one
// of them lives, so does the run.
func (c *child) fork(how string, attr *syscall.SysProcAttr, h chaos.Habits) error {
	args := []string{"-descent", how, "-of", strconv.Itoa(c.self.PID), "-began", strconv.FormatUint(c.self.Start, 10),
		"-wasm", c.control, "-port", strconv.Itoa(c.port)}
	cmd := exec.Command("/proc/self/exe", append(args, h.Words()...)...)
	cmd.Env, cmd.SysProcAttr = c.env, attr
	if how == helping {
		inherited, err := inheritedDescriptors()
		if err != nil {
			return err
		}
		for _, fd := range inherited {
			unix.CloseOnExec(fd)
			defer func() { _, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0) }()
		}
	} else {
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	}
	if c.alive != nil {
		if _, err := unix.FcntlInt(c.alive.Fd(), unix.F_SETFD, 0); err != nil {
			return err
		}
		defer unix.CloseOnExec(int(c.alive.Fd()))
	}
	return cmd.Start()
}

// descend is the life of such a process.
func (c *child) descend(how string, of chaos.Process) {
	c.note(chaos.Grandchild, chaos.Note{"how": how, "of": strconv.Itoa(of.PID),
		"began": strconv.FormatUint(of.Start, 10)})
	switch how {
	case worker:
		c.habits.Slow = c.habits.Drain
		go c.serve(c.read())
	case detached:
		time.AfterFunc(c.habits.Detach, func() { c.ends <- chaos.End{} })
	case helping:
		time.AfterFunc(c.habits.Helper, func() { c.ends <- chaos.End{} })
	default:
		for range c.signals { // it takes a KILL to end it
		}
	}
	c.loop(chaos.Control{})
}

// listen binds the port as the habits say.
func (c *child) listen(port int) (net.Listener, error) {
	if !c.habits.NoReuse {
		return net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "listener")
	defer f.Close() // the listener has a copy
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return nil, fmt.Errorf("bind 127.0.0.1:%d: %w", port, err)
	}
	if err := unix.Listen(fd, 128); err != nil {
		return nil, err
	}
	return net.FileListener(f)
}

// inheritedDescriptors returns those above 2 that this process was started with: Go opens its own close-on-exec.
func inheritedDescriptors() (fds []int, err error) {
	names, err := os.ReadDir("/proc/self/fd")
	for _, name := range names {
		fd, convErr := strconv.Atoi(name.Name())
		if convErr != nil || fd < 3 {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			fds = append(fds, fd)
		}
	}
	return fds, err
}

func closeInherited() error {
	fds, err := inheritedDescriptors()
	if err != nil {
		return err
	}
	for _, fd := range slices.Backward(fds) {
		_ = unix.Close(fd)
	}
	return nil
}

// clearEnvironment writes zeros over the memory that /proc/PID/environ shows.
func clearEnvironment() error {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 49 {
		return fmt.Errorf("/proc/self/stat is %q", stat)
	}
	first, err := strconv.ParseUint(fields[47], 10, 64)
	if err != nil {
		return err
	}
	end, err := strconv.ParseUint(fields[48], 10, 64)
	if err != nil || end < first || first > math.MaxInt64 {
		return fmt.Errorf("the environment lies from %d to %d: %w", first, end, err)
	}
	memory, err := os.OpenFile("/proc/self/mem", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer memory.Close()
	_, err = memory.WriteAt(make([]byte, end-first), int64(first))
	return err
}
