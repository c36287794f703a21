package daemon

import (
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// told are the signals that mean something to the daemon. QUIT is not among them: it is Go's own stack dump, and ends
// the daemon without touching a process.
func told() []os.Signal { return []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} }

// signals are what the daemon is told by signals, and has not taken yet, over all its lives in this process.
type signals chan os.Signal

func newSignals() signals { return make(signals, 16) }

func (e signals) open() { signal.Notify(e, told()...) }

// shut returns what was heard, and not taken yet, before they were; each once.
func (e signals) shut() (heard []os.Signal) {
	signal.Stop(e)
	for {
		select {
		case s := <-e:
			if !slices.Contains(heard, s) {
				heard = append(heard, s)
			}
		default:
			return heard
		}
	}
}

// signalsVariable tells a program that replaces the daemon's which signals it has still to hear.
const signalsVariable = "PROCMAN_SIGNALS"

// passed is what a program is told of signals for it, in its environment.
func passed(heard []os.Signal) []string {
	if len(heard) == 0 {
		return nil
	}
	numbers := make([]string, len(heard))
	for n, s := range heard {
		numbers[n] = strconv.Itoa(int(s.(syscall.Signal)))
	}
	return []string{signalsVariable + "=" + strings.Join(numbers, ",")}
}

// inherit hears what was passed to this program. No child may see the variable.
func (e signals) inherit(env func(string) string) {
	text := env(signalsVariable)
	_ = os.Unsetenv(signalsVariable) // fails for names that are none
	for number := range strings.SplitSeq(text, ",") {
		if n, err := strconv.Atoi(number); err == nil && slices.Contains(told(), os.Signal(syscall.Signal(n))) {
			e.hear([]os.Signal{syscall.Signal(n)})
		}
	}
}

// hear has signals heard that were kept. What finds no room waits already.
func (e signals) hear(kept []os.Signal) {
	for _, s := range kept {
		select {
		case e <- s:
		default:
		}
	}
}

// hearOnce has a signal heard that may have been heard already.
func (e signals) hearOnce(s os.Signal) {
	heard := []os.Signal{s}
	for len(e) > 0 {
		if s := <-e; !slices.Contains(heard, s) {
			heard = append(heard, s)
		}
	}
	e.hear(heard)
}

// keepFromIgnored catches what the daemon was started with ignored, and PIPE: a write to a stderr whose reader is gone
// fails then and does not end the daemon. All of it is caught and not ignored, because what is ignored stays ignored in
// every process we start. XFSZ, by which a limit of the size of files would end the daemon, makes such a write fail
// likewise.
func keepFromIgnored() (release func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, append(ignored(), syscall.SIGPIPE, syscall.SIGXFSZ)...)
	return func() { signal.Stop(c) }
}
