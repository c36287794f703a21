package leash

import (
	"context"
	"log/slog"
	"os"
	"time"

	"procman/messages"
)

// Clock is CLOCK_BOOTTIME.
type Clock interface {
	Now() int64 // nanoseconds
	// Wait returns at that time, or when ctx ends. The time in which the host sleeps counts.
	Wait(ctx context.Context, until int64)
}

// Options are what a leash may be told.
type Options struct {
	Logger *slog.Logger // nil: nothing is logged
	Clock  Clock        // nil: the host's
	Lock   *os.File     // the locked lock file, which was handed over; nil: it is taken
}

const (
	// unarmed is how often a leash that knows no deadline looks whether there is one.
	unarmed = time.Second
	// watchful is how often it looks for what is started although the deadline has passed.
	watchful = 200 * time.Millisecond
	// diskPatience is how long it waits for the disk before it goes by what it knows.
	diskPatience = 100 * time.Millisecond
	// tagPatience is how long it waits for one process to show its environment.
	tagPatience = time.Second
)

// Leash guards the fenced runs of one state directory.
type Leash struct {
	dir   messages.StateDir
	clock Clock
	log   *slog.Logger
	lock  *os.File
	ender *ender

	known   Deadline // the last one that could be read
	said    string   // what was said last of why nothing is in force
	leaving bool
}

// Guard guards until ctx ends and nobody is left to be guarded.
func (l *Leash) Guard(ctx context.Context) {
	defer l.lock.Close()
	wake := ctx
	ctx = context.WithoutCancel(ctx) // who has to be ended is, whoever tells the leash to go
	for {
		if wake.Err() != nil {
			l.leaving, wake = true, ctx
		}
		why := l.inForce()
		if why == nil {
			if l.leaving && l.ender.alive(ctx) == 0 {
				return
			}
			l.say("")
			l.ender.clean = false
			until := l.known.EndAt()
			if early := until - int64(l.known.End/4); l.clock.Now() < early {
				until = early // so that at the end nothing depends on how fast a busy host reads a file
			} else {
				l.ender.refresh(ctx, time.Second)
			}
			if l.leaving {
				until = min(until, l.clock.Now()+int64(unarmed))
			}
			l.clock.Wait(wake, until)
			continue
		}
		if l.end(ctx, why) {
			continue
		}
		if l.leaving {
			return
		}
		pause := unarmed
		if l.ender.marks() > 0 {
			pause = watchful
		}
		l.clock.Wait(wake, l.clock.Now()+int64(pause))
	}
}

// inForce returns nil if a deadline is in force, and else why none is.
func (l *Leash) inForce() error {
	left := time.Duration(l.known.EndAt() - l.clock.Now())
	d, err := l.ender.read(max(diskPatience, min(left, time.Second)))
	if err == errSlow {
		d, err = l.known, nil
	}
	if err != nil {
		return err
	}
	l.known = d
	return d.Check(l.ender.boot, l.clock.Now())
}

// say says once why nothing is in force.
func (l *Leash) say(why string) {
	if l.said == why {
		return
	}
	if l.said = why; why != "" {
		l.log.Info("no deadline is in force", "why", why)
	}
}

// end ends whatever is fenced, until nobody of it lives or a deadline is in force. It reports whether anybody lived.
func (l *Leash) end(ctx context.Context, why error) (any bool) {
	l.say(why.Error())
	began := l.clock.Now()
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		left, stop := l.ender.round(ctx, why.Error(), func() bool { return l.inForce() == nil })
		if stop {
			return true
		}
		if len(left) == 0 {
			if any {
				l.log.Info("nobody of the fenced runs lives", "after", time.Duration(l.clock.Now()-began).String())
			}
			return any
		}
		any = true
		if pause >= 500*time.Millisecond {
			l.log.Error("fenced processes were sent KILL and live; it is sent again until they do not", "processes", messages.Members(left),
				"for", time.Duration(l.clock.Now()-began).String(), "advice", "one in state D waits for a device or a file system; only that ends it")
		}
		l.clock.Wait(ctx, l.clock.Now()+int64(pause))
	}
}
