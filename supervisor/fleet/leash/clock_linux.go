package leash

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// HostClock is the host's CLOCK_BOOTTIME, which goes on while the host sleeps.
func HostClock() Clock { return bootClock{} }

// bootClock is the host's.
type bootClock struct{}

// Now returns CLOCK_BOOTTIME.
func Now() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) // every Linux has it
	return ts.Nano()
}

func (bootClock) Now() int64 { return Now() }

// Wait sleeps on a timer of the kernel: Go's timers stand still while the host sleeps.
func (c bootClock) Wait(ctx context.Context, until int64) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err == nil {
		timer := os.NewFile(uintptr(fd), "timer")
		defer timer.Close()
		err = unix.TimerfdSettime(fd, unix.TFD_TIMER_ABSTIME,
			&unix.ItimerSpec{Value: unix.NsecToTimespec(max(1, until))}, nil)
		if err == nil {
			defer context.AfterFunc(ctx, func() { _ = timer.SetReadDeadline(time.Unix(1, 0)) })()
			if _, err = timer.Read(make([]byte, 8)); err == nil || ctx.Err() != nil {
				return
			}
		}
	}
	// Without descriptors it looks often instead.
	for until > c.Now() && ctx.Err() == nil {
		time.Sleep(min(100*time.Millisecond, time.Duration(until-c.Now())))
	}
}
