package cli

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"procman/cmd/procman/daemon"
	"procman/messages"
	"procman/supervisor/fleet/leash"
)

// guard is the hidden command `procman leash`, which the daemon of a fleet's host starts. It has no part in what the
// other commands have: it lives for as long as the host does, and should be small.
func guard(args []string, stderr io.Writer) int {
	flags := flag.NewFlagSet(leash.Command, flag.ContinueOnError)
	flags.SetOutput(stderr)
	dir := flags.String("state-dir", "", "the state directory whose fenced runs are ended at the deadline")
	lock := flags.Int("lock", -1, "the descriptor of the locked lock file; -1: it is taken")
	if err := flags.Parse(args); err != nil || *dir == "" || flags.NArg() > 0 {
		return exitUsage
	}
	o := leash.Options{Logger: slog.New(slog.NewJSONHandler(stderr, nil))}
	if *lock >= 0 {
		o.Lock = os.NewFile(uintptr(*lock), "lock")
	}
	l, err := leash.New(messages.StateDir(*dir), o)
	if err != nil {
		fmt.Fprintf(stderr, "procman: there is no leash for %s: %v\n", *dir, err)
		return exitFailed
	}
	// A hangup is nothing to it. TERM and INT it obeys when nobody is left to be guarded.
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	daemon.LetGoOfProgram()
	hurry()
	l.Guard(ctx)
	return 0
}

// hurry has the host run this process before others, if it may have that: it sleeps nearly always, and what it is late
// by on a busy host is taken from what is left until others start what runs here.
func hurry() {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return
	}
	for _, t := range threads {
		if id, err := strconv.Atoi(t.Name()); err == nil {
			_ = syscall.Setpriority(syscall.PRIO_PROCESS, id, -10) // without the right to it, it is as the others are
		}
	}
}
