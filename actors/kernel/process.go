package kernel

import (
	"bytes"
	"errors"
	"strconv"

	"procman/messages"
)

// The variables every process of an instance gets, beside PORT. They stay in the environment of what it starts.
const (
	EnvInstance = "PROCMAN_INSTANCE_ID"
	EnvRun      = "PROCMAN_RUN"       // the number of the run
	EnvTag      = "PROCMAN_RUN_TAG"   // 128 random bits of this run
	EnvSpec     = "PROCMAN_SPEC_HASH" // AppInstance.SpecHash
	EnvStateDir = "PROCMAN_STATE_DIR" // absolute, symlinks resolved
)

// The variables that only a run of a fleet gets, by messages.Launch.
const (
	EnvEpoch = "PROCMAN_EPOCH" // of the assignment under which it was started: who comes later has a greater one
	EnvFence = "PROCMAN_FENCE" // who ends it when the host's lease is over
)

// EnvCheck marks what runs for a health check, in place of those: it is no process of the instance.
const EnvCheck = "PROCMAN_CHECK"

// LockFD is the descriptor by which a process holds the lock of its instance.
const LockFD = 3

// Stat is what /proc/PID/stat says of a process.
type Stat struct {
	State   byte
	Parent  int
	Group   int
	Session int
	Threads int
	Start   uint64 // ticks since the host was started
	Thread  bool   // it is no process, but another thread of one
	Forked  bool   // it has executed no program since it was forked
	// it has no environment, not even an empty one: its program is being loaded, it is the kernel's, or that may not be
	// seen
	Bare   bool
	Status uint32 // how it ended, as wait tells it; meaningful while it is a zombie
	Name   string // at most 15 bytes of whatever the program calls itself
}

// Zombie reports whether the process has ended and waits to be reaped. Of one whose other threads live on only the
// first thread has: a pidfd tells.
func (s Stat) Zombie() bool { return s.State == 'Z' || s.State == 'X' }

// Leads reports whether the process began the session, as every process that procman starts does.
func (s Stat) Leads(pid int) bool { return s.Group == pid && s.Session == pid }

// forkedNoExec is PF_FORKNOEXEC of the kernel, which the flags of a process have since Linux 2.6.
const forkedNoExec = 0x40

var errStat = errors.New("not the form the kernel gives")

// ParseStat reads a line of the form "PID (NAME) STATE PARENT GROUP SESSION …". It allocates nothing but the name.
func ParseStat(line []byte) (Stat, error) {
	// The name may hold anything, parentheses and newlines too.
	from, to := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if from < 0 || to < from {
		return Stat{}, errStat
	}
	s := Stat{Name: string(line[from+1 : to])}
	rest := bytes.TrimSpace(line[to+1:])
	var err error
	number := func(field []byte) int64 {
		v, e := strconv.ParseInt(string(field), 10, 64)
		err = errors.Join(err, e)
		return v
	}
	n := 3 // as proc(5) counts
	for ; len(rest) > 0; n++ {
		var field []byte
		field, rest, _ = bytes.Cut(rest, []byte{' '})
		switch n {
		case 3:
			if len(field) != 1 {
				return Stat{}, errStat
			}
			s.State = field[0]
		case 4:
			s.Parent = int(number(field))
		case 5:
			s.Group = int(number(field))
		case 6:
			s.Session = int(number(field))
		case 9:
			s.Forked = number(field)&forkedNoExec != 0
		case 20:
			s.Threads = int(number(field))
		case 22:
			s.Start = uint64(number(field))
		case 38:
			s.Thread = number(field) < 0 // what its end sends to its parent: a thread has none
		case 51:
			s.Bare = len(field) == 1 && field[0] == '0' // where its environment ends
		case 52:
			s.Status = uint32(number(field))
		}
	}
	if n <= 52 {
		err = errors.Join(errStat, err)
	}
	return s, err
}

// Environ is the environment a process was started with, as the kernel shows it: a program may have written over it.
type Environ []byte

// Lookup returns the value of the first variable of that name.
func (e Environ) Lookup(name string) (string, bool) {
	for rest := []byte(e); len(rest) > 0; {
		var entry []byte
		entry, rest, _ = bytes.Cut(rest, []byte{0})
		if len(entry) > len(name) && entry[len(name)] == '=' && string(entry[:len(name)]) == name {
			return string(entry[len(name)+1:]), true
		}
	}
	return "", false
}

// Tags are the marks procman puts into the environment of its processes. The zero Tags are none.
type Tags struct {
	Dir, Tag, Spec string
	ID             messages.InstanceID
	Run, Port      int    // 0: not shown, or no number
	Check          string // of a health check
}

// Tags returns what the environment shows of them.
func (e Environ) Tags() Tags {
	text := func(name string) string { s, _ := e.Lookup(name); return s }
	number := func(name string) int {
		n, err := strconv.Atoi(text(name))
		if err != nil || n < 0 {
			return 0 // somebody else's variable, or one that was tampered with: it is not known
		}
		return n
	}
	return Tags{
		Dir: text(EnvStateDir), Tag: text(EnvTag), Spec: text(EnvSpec), ID: messages.InstanceID(text(EnvInstance)),
		Run: number(EnvRun), Port: number("PORT"), Check: text(EnvCheck),
	}
}

// Process is one line of the process table.
type Process struct {
	PID int
	Stat
	Tags // zero if they were not asked for, or are not shown
}
