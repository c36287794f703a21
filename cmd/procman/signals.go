package main

import (
	"os"
	"os/signal"
	"syscall"
)

// catch returns the signals that mean something to the daemon. QUIT is not among them: it is Go's own stack dump, and
// ends the daemon without touching a process.
func catch() (signals <-chan os.Signal, release func()) {
	c := make(chan os.Signal, 8)
	signal.Notify(c, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	return c, func() { signal.Stop(c) }
}

// keepFromPipe makes a write to a stderr whose reader is gone fail instead of ending the daemon. PIPE is caught and not
// ignored, because what is ignored stays ignored in every process we start.
func keepFromPipe() (release func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGPIPE)
	return func() { signal.Stop(c) }
}
