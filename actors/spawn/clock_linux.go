package spawn

import (
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// clock relates times of this process to CLOCK_MONOTONIC, which all processes of one boot share and nobody sets. It is
// one reading; a record is written or read with one.
type clock struct {
	now  time.Time
	mono int64 // nanoseconds
}

func readClock() clock {
	return clock{now: time.Now(), mono: readNanos(unix.CLOCK_MONOTONIC)}
}

// readNanos returns what the clock shows. The clocks asked for here exist on every Linux: there is no error to handle.
func readNanos(id int32) int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(id, &ts)
	return ts.Nano()
}

// nanos returns t as CLOCK_MONOTONIC; nil for the zero time.
func (c clock) nanos(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	// Sub saturates at both ends, so the sum may overflow there.
	d, n := int64(t.Sub(c.now)), int64(0)
	switch {
	case d > 0 && c.mono > math.MaxInt64-d:
		n = math.MaxInt64
	default:
		n = c.mono + d
	}
	return &n
}

// time is the inverse of nanos.
func (c clock) time(nanos *int64) time.Time {
	if nanos == nil {
		return time.Time{}
	}
	if c.mono > 0 && *nanos < math.MinInt64+c.mono {
		return c.now.Add(math.MinInt64)
	}
	return c.now.Add(time.Duration(*nanos - c.mono))
}

// ticksPerSecond is USER_HZ: the unit of start times in /proc/PID/stat, the same on every architecture Go runs on.
const ticksPerSecond = 100

// sinceBoot returns the time that is so many ticks after the host was started.
func sinceBoot(ticks uint64) time.Time {
	ago := readNanos(unix.CLOCK_BOOTTIME) - int64(ticks)*(int64(time.Second)/ticksPerSecond)
	return time.Now().Add(-time.Duration(ago))
}
