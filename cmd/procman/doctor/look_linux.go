package doctor

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Look finds the facts. What it cannot find out is nil in them. It ends early, with the error of ctx, if ctx ends.
func Look(ctx context.Context, o Options) (Facts, error) {
	f := Facts{Foreign: o.Foreign, Fleet: o.Fleet, Config: o.Config, Wants: o.Wants, Daemon: o.Daemon,
		Socket: lookSocket(o.Socket), Kernel: lookKernel(ctx, o.Brief)}
	f.Dir = lookDir(string(o.StateDir))
	if sameDir(f.Daemon.StateDir, f.Dir.Path) {
		f.Daemon.StateDir = f.Dir.Path
	}
	pid := os.Getpid()
	if f.Daemon.Answers {
		// The number that the daemon says is its own counts in its own pid namespace; the kernel tells ours.
		if peer, err := peerOf(ctx, o.Socket); err == nil && peer > 0 {
			f.Daemon.PID, f.Daemon.Visible, pid = peer, true, peer
		}
	}
	p := process(pid)
	f.Files = p.files(f.Daemon.Visible)
	f.Tasks = p.tasks(o.Children)
	f.Inotify = lookInotify()
	f.Ports = lookPorts(p)
	f.OOM, _ = numberIn(p.file("oom_score_adj")) // nil says it
	if limits, err := p.limits(); err == nil {
		f.Core = limits["Max core file size"].soft
	}
	f.Unit, f.Init = lookUnit(ctx, p), lookInit(p, o.Adopted)
	f.Unit.Own = !f.Daemon.Visible
	if o.Cgroups != nil {
		f.Cgroups = o.Cgroups(pid)
	}
	return f, ctx.Err()
}

// LookAdoption finds what Adoption needs, of the daemon with that pid. Its longest part is a question to systemd, and
// that only if the daemon is in a service.
func LookAdoption(ctx context.Context, pid int) (Facts, error) {
	p := process(pid)
	return Facts{Daemon: Daemon{Answers: true, PID: pid, Visible: true}, Unit: lookUnit(ctx, p),
		Init: lookInit(p, nil)}, ctx.Err()
}

// peerOf returns who listens on the socket.
func peerOf(ctx context.Context, path string) (int, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var peer *unix.Ucred
	var asked error
	if err := raw.Control(func(fd uintptr) {
		peer, asked = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if asked != nil {
		return 0, asked
	}
	return int(peer.Pid), nil
}

// sameDir reports whether two paths name one directory, by whatever links.
func sameDir(a, b string) bool {
	one, err1 := os.Stat(a)
	two, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(one, two)
}

func lookSocket(path string) Socket {
	s := Socket{Path: path}
	if there, err := os.Lstat(path); err == nil {
		mode := there.Mode()
		s.Mode = &mode
	}
	return s
}

func lookInotify() (i Inotify) {
	if i.Instances, i.Err = numberIn("/proc/sys/fs/inotify/max_user_instances"); i.Err == nil {
		i.Watches, i.Err = numberIn("/proc/sys/fs/inotify/max_user_watches")
	}
	return i
}

func lookPorts(p process) (o Ports) {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	var s Span
	if err == nil {
		_, err = fmt.Sscan(string(text), &s.First, &s.Last)
	}
	if o.Err = err; err != nil {
		return o
	}
	o.Outgoing = &s
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_reserved_ports"); err == nil {
		// without it none is reserved
		o.Reserved = parseSpans(string(text))
	}
	o.Unprivileged, _ = numberIn("/proc/sys/net/ipv4/ip_unprivileged_port_start") // nil says it
	o.Privileged = p.capable(unix.CAP_NET_BIND_SERVICE)
	return o
}

// lookUnit asks systemd, if the process is in a service.
func lookUnit(ctx context.Context, p process) (u Unit) {
	text, err := os.ReadFile(p.file("cgroup"))
	if err != nil {
		u.Err = err
		return u
	}
	u.Cgroup, _, _ = cgroupsOf(string(text), unified())
	if u.Name, u.User = unitOf(u.Cgroup); strings.HasSuffix(u.Name, ".service") {
		u.Properties, u.Err = properties(ctx, u)
	}
	return u
}

func lookInit(p process, adopted []int) (i Init) {
	status, err := p.status()
	if err != nil {
		i.Err = err
		return i
	}
	// One number for each pid namespace from ours down to that of the process.
	pids := strings.Fields(status["NSpid"])
	if len(pids) == 0 {
		pids = []string{status["Pid"]} // Linux before 4.1
	}
	if i.PID, i.Err = strconv.Atoi(pids[len(pids)-1]); i.Err != nil {
		return i
	}
	if len(pids) == 1 {
		i.Comm, i.Err = process(1).comm()
	}
	for _, pid := range adopted {
		status, err := process(pid).status()
		if err != nil {
			continue // it has ended
		}
		if parent, err := strconv.Atoi(status["PPid"]); err == nil && parent != int(p) {
			i.ReaperPID = parent
			i.ReaperComm, _ = process(parent).comm() // a help
			break
		}
	}
	return i
}

// numberIn reads a file that holds a number, or "max".
func numberIn(path string) (*int64, error) {
	text, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return nil, err
	}
	n, err := parseLimit(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &n, nil
}

func parseLimit(s string) (int64, error) {
	if s == "max" || s == "unlimited" {
		return Unlimited, nil
	}
	return strconv.ParseInt(s, 10, 64)
}
