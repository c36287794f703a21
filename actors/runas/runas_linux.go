package runas

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

func self() (uid, gid uint32) { return uint32(os.Geteuid()), uint32(os.Getegid()) }

// resources are the limits by their names.
func resources() map[string]int {
	return map[string]int{"as": unix.RLIMIT_AS, "core": unix.RLIMIT_CORE, "cpu": unix.RLIMIT_CPU,
		"data":  unix.RLIMIT_DATA,
		"fsize": unix.RLIMIT_FSIZE, "locks": unix.RLIMIT_LOCKS, "memlock": unix.RLIMIT_MEMLOCK,
		"msgqueue": unix.RLIMIT_MSGQUEUE,
		"nice":     unix.RLIMIT_NICE, "nofile": unix.RLIMIT_NOFILE, "nproc": unix.RLIMIT_NPROC, "rss": unix.RLIMIT_RSS,
		"rtprio": unix.RLIMIT_RTPRIO, "sigpending": unix.RLIMIT_SIGPENDING, "stack": unix.RLIMIT_STACK}
}

// allowed returns what this process may not do for others.
func (s *Settings) allowed() error {
	known := resources()
	for n := range s.limits {
		l := &s.limits[n]
		resource, is := known[l.name]
		if !is {
			return fmt.Errorf("process.limits: this system has no limit %q", l.name)
		}
		l.resource = resource
	}
	uid := os.Geteuid()
	if uid == 0 {
		return s.capable()
	}
	help := fmt.Sprintf("; the daemon has to be root for that, and is uid %d", uid)
	if i := s.identity; i != nil {
		if int(i.uid) == uid && int(i.gid) == os.Getegid() {
			s.identity = nil // who it is in any case
		} else if int(i.uid) != uid {
			return fmt.Errorf("process.user is %s, another user"+help, s.policy.User)
		} else {
			return fmt.Errorf("process.group is %s, another group"+help, s.policy.Group)
		}
	}
	var now unix.Rlimit
	if s.policy.Nice < 0 && (unix.Getrlimit(unix.RLIMIT_NICE, &now) != nil || uint64(20-s.policy.Nice) > now.Cur) {
		return fmt.Errorf("process.nice is %d, before others"+help, s.policy.Nice)
	}
	if s.policy.OOMScoreAdj < 0 {
		return fmt.Errorf("process.oom_score_adj is %d, safer than others"+help, s.policy.OOMScoreAdj)
	}
	for _, l := range s.limits {
		if err := unix.Getrlimit(l.resource, &now); err == nil && l.value > now.Max {
			return fmt.Errorf("process.limits.%s is beyond the hard limit of %d"+help, l.name, now.Max)
		}
	}
	return nil
}

// capable returns what root may not do, for it is root of a container, or of a service that was given few capabilities.
func (s *Settings) capable() error {
	if len(s.limits) == 0 && s.policy.OOMScoreAdj >= 0 || holds(unix.CAP_SYS_RESOURCE) {
		return nil
	}
	const help = "; the daemon lacks the capability CAP_SYS_RESOURCE, which that takes"
	switch {
	case s.policy.OOMScoreAdj < 0:
		return fmt.Errorf("process.oom_score_adj is %d, safer than others"+help, s.policy.OOMScoreAdj)
	case s.identity != nil && s.identity.uid != 0:
		return errors.New("process.limits of another user's process cannot be set" + help)
	}
	return nil
}

func holds(capability uint) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) != nil {
		return true // the start tells
	}
	return data[capability/32].Effective&(1<<(capability%32)) != 0
}

// held reports whether something has to be done to the child before it goes on.
func (s *Settings) held() bool {
	return s.policy.Nice != 0 || s.policy.OOMScoreAdj != 0 || len(s.limits) > 0
}

// Start starts the command as the settings say, in place of its own Start. Its descriptors, its directory and its
// environment are the command's. The error is that of the command's Start, or a *SettingError, with no process left
// behind. It may be called by any goroutine, on any thread.
func (s *Settings) Start(cmd *exec.Cmd) error {
	if s == nil {
		return cmd.Start()
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	if i := s.identity; i != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: i.uid, Gid: i.gid, Groups: i.groups}
	}
	return onThreadOfItsOwn(func() error { return s.start(cmd) })
}

// onThreadOfItsOwn runs do on a thread that ends with it, or that nobody else ever had anything of.
func onThreadOfItsOwn(do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: what is changed on it is nobody else's
		if unix.Gettid() != unix.Getpid() {
			done <- do()
			return
		}
		defer runtime.UnlockOSThread() // the first thread does not end with its goroutine: it waits for another
		done <- onThreadOfItsOwn(do)
	}()
	return <-done
}

// SettingError says which of the settings the kernel has refused.
type SettingError struct {
	Key string
	Err error
}

func (e *SettingError) Error() string { return e.Key + ": " + e.Err.Error() }
func (e *SettingError) Unwrap() error { return e.Err }

// start runs on a thread of its own.
func (s *Settings) start(cmd *exec.Cmd) error {
	var none unix.Sigset_t // what is blocked here the program would have blocked
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &none, nil); err != nil {
		return &SettingError{"process", err}
	}
	if s.umask >= 0 {
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return &SettingError{"process.umask", fmt.Errorf("a thread cannot have one of its own: %w", err)}
		}
		unix.Umask(s.umask)
	}
	cmd.SysProcAttr.Ptrace = s.held()
	if err := cmd.Start(); err != nil || !s.held() {
		return err
	}
	pid := cmd.Process.Pid
	err := s.prepare(pid)
	if err == nil {
		if err = unix.PtraceDetach(pid); err == nil {
			return nil
		}
		err = &SettingError{"process", fmt.Errorf("the process cannot be let go: %w", err)}
	}
	kill := unix.Kill(pid, unix.SIGKILL)
	_, wait := unix.Wait4(pid, nil, 0, nil) // our child, not reaped: nobody else can have its pid
	return errors.Join(err, kill, wait)
}

// prepare does to the child, which has executed its program and nothing of it, what is asked for.
func (s *Settings) prepare(pid int) error {
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &status, 0, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err == nil && !status.Stopped() {
			err = errors.New("it has ended")
		}
		if err != nil {
			return &SettingError{"process", fmt.Errorf("the process cannot be held: %w", err)}
		}
		break
	}
	for _, l := range s.limits {
		if err := unix.Prlimit(pid, l.resource, &unix.Rlimit{Cur: l.value, Max: l.value}, nil); err != nil {
			return &SettingError{"process.limits." + l.name, err}
		}
	}
	if n := s.policy.Nice; n != 0 {
		if err := unix.Setpriority(unix.PRIO_PROCESS, pid, n); err != nil {
			return &SettingError{"process.nice", err}
		}
	}
	if adj := s.policy.OOMScoreAdj; adj != 0 {
		if err := writeAll("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", strconv.Itoa(adj)); err != nil {
			return &SettingError{"process.oom_score_adj", err}
		}
	}
	return nil
}

func writeAll(path, text string) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	_, err = unix.Write(fd, []byte(text))
	return errors.Join(err, unix.Close(fd))
}

// The ways of access.
const (
	Enter   = unix.X_OK // of a directory
	Execute = unix.X_OK
	Read    = unix.R_OK
)

// Access returns nil if the user whom the settings name may use the file in that way, whatever its rights come from. It
// waits for the file system.
func (s *Settings) Access(path string, mode uint32) error {
	if s == nil || s.identity == nil {
		return unix.Faccessat(unix.AT_FDCWD, path, mode, unix.AT_EACCESS)
	}
	return onThreadOfItsOwn(func() error { return s.access(path, mode) })
}

func (s *Settings) access(path string, mode uint32) error {
	i := s.identity
	if err := become(i.uid, i.gid, i.groups); err != nil {
		return nil // it cannot be found out beforehand: the start tells
	}
	err := unix.Faccessat2(unix.AT_FDCWD, path, mode, unix.AT_EACCESS)
	if errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return err
}

// Refused returns the part of a path on the way to it that the user may not enter; empty: it may enter all of them.
func (s *Settings) Refused(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for n := range parts {
		dir := "/" + strings.Join(parts[:n], "/")
		if errors.Is(s.Access(dir, Enter), unix.EACCES) {
			return dir
		}
	}
	return ""
}
