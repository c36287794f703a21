package messages

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"syscall"
)

// SignalName names a signal, with or without SIG before it: TERM, SIGUSR1, RTMIN+3.
type SignalName string

// SIGRTMIN is the first realtime signal that programs can use; the C library keeps those before it.
const SIGRTMIN = 34

// Number returns the signal; 0 if there is none of that name that somebody could mean to send.
func (n SignalName) Number() syscall.Signal {
	name := signalOf(string(n))
	if name == "RTMIN" {
		return SIGRTMIN
	}
	if after, is := strings.CutPrefix(name, "RTMIN+"); is {
		more, _ := strconv.Atoi(after) // signalOf has read it
		return syscall.Signal(SIGRTMIN + more)
	}
	for _, s := range sendable() {
		if s.name == name {
			return s.Signal
		}
	}
	return 0
}

type namedSignal struct {
	name string
	syscall.Signal
}

// sendable are those that every system has and that a program may wait for.
func sendable() [25]namedSignal {
	return [...]namedSignal{
		{"HUP", syscall.SIGHUP}, {"INT", syscall.SIGINT}, {"QUIT", syscall.SIGQUIT}, {"ABRT", syscall.SIGABRT},
		{"KILL", syscall.SIGKILL},
		{"USR1", syscall.SIGUSR1}, {"USR2", syscall.SIGUSR2}, {"PIPE", syscall.SIGPIPE}, {"ALRM", syscall.SIGALRM},
		{"TERM", syscall.SIGTERM},
		{"CHLD", syscall.SIGCHLD}, {"CONT", syscall.SIGCONT}, {"STOP", syscall.SIGSTOP}, {"TSTP", syscall.SIGTSTP},
		{"TTIN", syscall.SIGTTIN},
		{"TTOU", syscall.SIGTTOU}, {"URG", syscall.SIGURG}, {"VTALRM", syscall.SIGVTALRM}, {"PROF", syscall.SIGPROF},
		{"WINCH", syscall.SIGWINCH},
		{"IO", syscall.SIGIO}, {"SYS", syscall.SIGSYS}, {"TRAP", syscall.SIGTRAP}, {"XCPU", syscall.SIGXCPU},
		{"XFSZ", syscall.SIGXFSZ},
	}
}

// Plain returns the name without SIG before it.
func (n SignalName) Plain() string { return signalOf(string(n)) }

// halts reports whether the signal stops a process so that it can be continued.
func (n SignalName) halts() bool {
	switch n.Number() {
	case syscall.SIGSTOP, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU:
		return true
	}
	return false
}

// Asks is the signal by which a process is asked to end.
func (p StopPolicy) Asks() SignalName { return cmp.Or(p.Signal, "TERM") }

// Check returns why the signal is not sent to an instance on somebody's behalf; nil: it is. One that halts it is not:
// what is halted answers no probe, and would be taken for one that hangs, and replaced.
func (n SignalName) Check() error {
	switch {
	case n.Number() == 0:
		return fmt.Errorf("%.40q is no signal that can be sent; there are HUP, INT, QUIT, TERM, USR1, USR2, WINCH, "+
			"KILL, RTMIN+1 and others", string(n))
	case n.halts():
		return fmt.Errorf("%s would halt the instance, which then answers no probe and is replaced; `kill -%s PID` "+
			"does that to who has to be looked at",
			n.Plain(), n.Plain())
	}
	return nil
}

// endsWith are the limits of the signal by which a process is asked to end.
var endsWith = []Limit{{Complain: func(v any) string {
	switch n := SignalName(fmt.Sprint(v)); {
	case n.Number() == 0:
		return "it must be the name of a signal, such as TERM, INT, QUIT, HUP, USR1 or RTMIN+3"
	case n.halts(), n.Number() == syscall.SIGCONT:
		return "it asks no process to end; write the signal by which the program ends, such as TERM, INT or QUIT"
	}
	return ""
}, Schema: map[string]any{"pattern": `^(SIG)?(RTM(IN(\+[0-9]+)?|AX)|[A-Z]+[0-9]?)$`}}}
