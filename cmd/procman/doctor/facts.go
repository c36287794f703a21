package doctor

import (
	"io/fs"

	"procman/messages"
)

// Facts are what Examine judges. A nil pointer, and a Trial that was not made, mean: not known. Unlimited is a number.
type Facts struct {
	Config  Config
	Wants   Wants
	Daemon  Daemon
	Files   Files
	Tasks   Tasks
	Inotify Inotify
	Ports   Ports
	Kernel  Kernel
	Cgroups Cgroups
	Dir     Dir
	Socket  Socket
	Unit    Unit
	Init    Init
	OOM     *int64 // the daemon's oom_score_adj
	Core    *int64 // the size of a core dump, in bytes
	Foreign []Foreign
	Fleet   *Fleet // nil: the host is of none
}

// Unlimited is the value of a limit that is none.
const Unlimited = int64(1<<63 - 1)

// Config is the configuration that was found.
type Config struct {
	Path string // empty: none
	Err  error  // why it cannot be used
	Kept string // when the one came into force that a daemon runs by if this one cannot be used; empty: there is none
}

// Wants is what is to run.
type Wants struct {
	Instances   int
	First, Last int   // of the ports
	Hold        bool  // a leased port stays bound
	Output      int64 // bytes that are kept per instance and stream
	Total       int64 // bytes that are kept of all of them; 0: no limit
	// Bounded are the instances that need a controller of cgroups, by its name.
	Bounded map[string][]string
}

// Daemon is the process that answers, or does not.
type Daemon struct {
	Answers  bool
	Err      error // why it does not answer
	Owner    int   // the process that has the state directory, though it does not answer; 0: none
	PID      int
	StateDir string
	Other    string // the configuration by which it runs, if it is another than Config
	Visible  bool   // the process that answers is the one with this pid here
}

// Trial is something that was tried.
type Trial struct {
	Made bool
	Err  error // nil: it works
}

// Works reports whether it was tried and worked.
func (t Trial) Works() bool { return t.Made && t.Err == nil }

// Fails reports whether it was tried and did not work.
func (t Trial) Fails() bool { return t.Made && t.Err != nil }

// Files is how many files the daemon may have open.
type Files struct {
	Limit *int64
	Used  *int64
	Err   error
}

// Tasks is how many processes and threads there may be. Each limit is for a different set of them.
type Tasks struct {
	Each   *int64 // threads of an instance, measured; nil: none runs
	Limits []Limit
	Err    error
}

// Limit is a limit with its name and the remedy for it.
type Limit struct {
	Name  string
	Value int64
	Raise string
}

// Inotify is what one user may watch.
type Inotify struct {
	Instances, Watches *int64
	Err                error
}

// Span is a range of ports, both ends included.
type Span struct{ First, Last int }

// Ports is what the host does with ports.
type Ports struct {
	Outgoing     *Span  // given to outgoing connections
	Reserved     []Span // but never these
	Unprivileged *int64 // from here on anybody may listen
	Privileged   bool   // the daemon may listen below that, too
	Err          error
}

// Kernel is what the kernel can do.
type Kernel struct {
	Release      string
	Pidfd        Trial
	GroupSignals Trial // of a process group through a pidfd
	ExitStatus   Trial // of a process that somebody else has reaped
}

// Cgroups is what the daemon may make cgroups in.
type Cgroups struct {
	Absent      error  // why in none; nil and an empty Base: not known
	Base        string // a path
	Controllers []string
	Refuses     map[string]string // why a controller cannot be used, by its name
}

// Dir is the state directory and the file system it is on.
type Dir struct {
	Path   string
	Exists bool
	Looked string // the directory that was looked at: Path, or the nearest one above it that exists
	Mode   fs.FileMode
	Owner  int
	User   int // who looked
	Err    error

	Type        int64 // of the file system, by its magic number
	ReadOnly    bool
	Write       Trial
	Flock       Trial
	Collapse    Trial
	Punch       Trial
	FreeBytes   *int64
	FreeFiles   *int64 // nil also where files are not counted
	OutputBytes int64  // that kept output occupies
}

// Socket is where the daemon answers.
type Socket struct {
	Path string
	Mode *fs.FileMode // nil: there is no such file
}

// Unit is the unit of the service manager in which the daemon is.
type Unit struct {
	Cgroup     string
	Name       string            // empty: it is in none
	User       bool              // of the user's service manager
	Own        bool              // it is this process's, because no daemon answers
	Properties map[string]string // empty: it is no service, or the service manager was not asked
	Err        error
}

// Init is what a daemon that dies leaves its children to.
type Init struct {
	PID        int    // of the daemon in its own pid namespace; 0: not known
	Comm       string // the name of pid 1; empty: not known
	ReaperPID  int    // the parent of an adopted instance; 0: there is none
	ReaperComm string
	Err        error
}

// Foreign is a live process of a wanted instance that was started under another state directory.
type Foreign struct {
	ID, Dir string
	PID     int
	Manager int    // the pid of the daemon that has Dir; 0: none
	Socket  string // where that daemon answers; empty: that is not known
}

// Options say what to look at.
type Options struct {
	Config   Config
	Wants    Wants
	Daemon   Daemon // Visible is found out
	StateDir messages.StateDir
	Socket   string
	Children []int    // pids of instances that live
	Adopted  []int    // those of them that an earlier daemon has started
	Brief    []string // a command that ends at once, for a trial; nil: the trial is not made
	Foreign  []Foreign
	Fleet    *Fleet
	Cgroups  func(pid int) Cgroups // of the daemon with that pid; nil: they are not looked at
}
