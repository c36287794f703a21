package daemon

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// execute puts a program in the place of this one. What was heard by then is told to it. It returns only if that
// fails; then it is heard again.
//
// A program that begins has no handlers. To block the signals for it would not do: Go unblocks those that end a program
// before it has handlers, and what waited would end it. HUP, which Go lets be ignored, is ignored over the exec: the
// program reads the configuration anew in any case. TERM and INT end the process until then: for that an upgrade has a
// guard.
func execute(program string, args, env []string, e signals) error {
	hangup := ignore(syscall.SIGHUP)
	heard := e.shut()
	// A TERM that came in between is on its way to end this process.
	err := syscall.Exec(program, args, append(env, passed(heard)...))
	hangup()
	e.open()
	e.hear(heard)
	return err
}

// sigaction is the kernel's, in words: the handler comes first, and the rest is zero for a signal that is ignored.
type sigaction [8]uintptr

const sigIgnore = 1

// ignore has the kernel ignore a signal until the function it returns is called. Package os/signal would have it end
// the process for an instant in between.
func ignore(s syscall.Signal) (restore func()) {
	set := func(to, was *sigaction) {
		// The only error is that there is no such signal.
		_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(to)),
			uintptr(unsafe.Pointer(was)), 8, 0, 0)
	}
	var was sigaction
	set(&sigaction{sigIgnore}, &was)
	return func() { set(&was, &sigaction{}) }
}
