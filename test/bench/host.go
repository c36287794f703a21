package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"procman/actors/budget"
)

// tmpfs returns where the state directories go: on a tmpfs if there is one, so that no disk is measured.
func tmpfs() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return os.TempDir()
}

// portRange reads FIRST-LAST. An empty text is what lies below the ports that the kernel gives to clients.
func portRange(text string) (first, last int, err error) {
	if text == "" {
		first, last = 20000, 32000
		if ephemeral, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
			if low, err := strconv.Atoi(strings.Fields(string(ephemeral))[0]); err == nil && low > first {
				last = low - 1
			}
		}
		return first, last, nil
	}
	from, to, _ := strings.Cut(text, "-")
	first, err = strconv.Atoi(from)
	if err == nil {
		last, err = strconv.Atoi(to)
	}
	if err != nil || first < 1 || last > 65535 || first > last {
		return 0, 0, fmt.Errorf("-ports %q: FIRST-LAST is wanted, as 20000-32000", text)
	}
	return first, last, nil
}

// free returns the first of so many ports in a row, of which nobody has one.
func free(first, last, many int) (int, error) {
	start, found, err := inARow(first, last, many, func(port int) (bool, error) {
		l, err := (&net.ListenConfig{Control: reuse}).Listen(context.Background(), "tcp4",
			net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			return false, nil
		}
		return true, l.Close()
	})
	if err == nil && !found {
		err = fmt.Errorf("of the ports %d to %d no %d in a row are free: give others with -ports, or end who has them",
			first, last, many)
	}
	return start, err
}

// inARow returns the first of so many ports in a row that all are what is wanted.
func inARow(first, last, many int, wanted func(port int) (bool, error)) (start int, found bool, err error) {
	start = first
	for port := first; port <= last && port-start < many; port++ {
		switch is, err := wanted(port); {
		case err != nil:
			return 0, false, err
		case !is:
			start = port + 1
		}
	}
	return start, last-start+1 >= many, nil
}

// unused waits until so many ports in a row have no connection of a life before, and returns the first: the kernel
// keeps one for a minute after its end, and a manager that looks whether a port is free would have to look at all of
// those.
func unused(ctx context.Context, first, last, many int) (start int, err error) {
	none := fmt.Sprintf("of the ports %d to %d no %d in a row are free", first, last, many)
	err = until(ctx, none, time.Second, func() (found bool, err error) {
		start, found, err = inARow(first, last, many, func(port int) (bool, error) {
			err := bind(port)
			if errors.Is(err, syscall.EADDRINUSE) {
				return false, nil
			}
			return true, err
		})
		return found, err
	})
	return start, err
}

// bind says why nothing can be bound to the port that does not ask for the address to be reused.
func bind(port int) error {
	s, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	return errors.Join(syscall.Bind(s, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}),
		syscall.Close(s))
}

// reuse passes over what has been closed not long ago.
func reuse(_, _ string, c syscall.RawConn) error {
	var set error
	err := c.Control(
		func(fd uintptr) { set = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1) })
	if err != nil {
		return err
	}
	return set
}

// memoryEach is what one instance needs at the most, in bytes: the payload and a manager, with what the kernel keeps
// for them.
const memoryEach = 400 << 10

// fits returns how many instances fit on this host, if not n, and why.
func fits(n, ports int) (int, string) {
	most, why := n, ""
	bound := func(to int, reason string) {
		if to < most {
			most, why = to, reason
		}
	}
	bound(ports-mostAdded, fmt.Sprintf("there are %d ports", ports))
	if free, err := field("/proc/meminfo", "MemAvailable"); err == nil {
		bound(int(free*1024)/memoryEach, fmt.Sprintf("there are %.1f GiB of memory", free/(1<<20)))
	}
	if text, err := os.ReadFile("/proc/sys/kernel/pid_max"); err == nil {
		if pids, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			bound(pids/2, fmt.Sprintf("there are %d pids", pids))
		}
	}
	files := uint64(1024)
	for room(files) < most {
		files += files / 8
	}
	if have, err := mostFiles(); err == nil && have < files && raiseFiles(files) != nil {
		bound(room(have), fmt.Sprintf("the hard limit of open files is %d, of which procman keeps some for who asks it",
			have))
	}
	return max(most, 0), why
}

// room is how many instances procman starts with a limit of open files.
func room(files uint64) int {
	return budget.Fits(files, budget.OwnFiles, budget.Each(true)) - mostAdded
}

// facts are what a reader has to know of the host.
func facts() string {
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		load = []byte("unknown")
	}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		kernel = []byte("unknown")
	}
	return fmt.Sprintf("%d processors, kernel %s, %s, load before %s.", runtime.NumCPU(),
		strings.TrimSpace(string(kernel)), runtime.Version(),
		strings.Join(strings.Fields(string(load))[:min(3, len(strings.Fields(string(load))))], " "))
}
