package leash

import (
	"context"
	"log/slog"
	"os"
	"time"

	"procman/messages"
	"procman/supervisor/fleet/member"
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
	// alert is how often a leash looks at what is in force: a lease that is over before its deadline moves that
	// forward.
	alert = time.Second
	// watchful is how often it looks for what is started although the deadline has passed.
	watchful = 200 * time.Millisecond
	// sweep is how often it looks at every process for that, once no start is under way and nobody is left: at least.
	sweep = 10 * time.Second
	// loads is how often those are asked again that are executing a program, a millisecond apart, until a look is over.
	loads = 20
	// diskPatience is how long it waits for the disk before it goes by what it knows.
	diskPatience = 100 * time.Millisecond
	// startPatience is how long it waits for the starts that are under way, where the lease does not say how long it
	// may.
	startPatience = time.Second
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

	known   member.Record // the last one that could be read
	said    string        // what was said last of why nothing is in force
	leaving bool
	shut    bool // no start is under way that may have begun when a deadline was in force
}

// Guard guards until ctx ends, or the state directory is gone, and nobody is left to be guarded.
func (l *Leash) Guard(ctx context.Context) {
	defer l.lock.Close()
	defer l.ender.close()
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
			now, until := l.clock.Now(), int64(l.known.KillAt)
			if now >= until-int64(l.known.KillAt-l.known.Renewed)/4 {
				// so that at the end nothing depends on how fast a busy host reads a file
				l.ender.refresh(ctx, time.Second)
			}
			until = min(until, now+int64(alert))
			l.clock.Wait(wake, until)
			continue
		}
		if l.end(ctx, why) {
			continue
		}
		if l.leaving {
			return
		}
		if !l.ender.loading && !l.ender.found(l.lock) {
			l.log.Info("the state directory is gone, and nobody of the fenced runs lives: nobody can find this " +
				"leash, and it ends")
			return
		}
		pause := alert
		if l.ender.marks() > 0 {
			pause = watchful
		}
		l.clock.Wait(wake, l.clock.Now()+int64(pause))
	}
}

// inForce returns nil if a deadline is in force, and else why none is.
func (l *Leash) inForce() error {
	left := l.known.KillAt - time.Duration(l.clock.Now())
	d, err := l.ender.read(max(diskPatience, min(left, time.Second)))
	if err == errSlow {
		d, err = l.known, nil
	}
	if err != nil {
		return err
	}
	if d != l.known { // one that has come and gone unseen, while we were stopped, has allowed starts, too
		l.known, l.shut = d, false
	}
	return Check(d, l.ender.boot, l.clock.Now())
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

// end ends whatever is fenced, until nobody of it lives, nor is being started, or a deadline is in force. It reports
// whether anybody lived.
func (l *Leash) end(ctx context.Context, why error) (any bool) {
	l.say(why.Error())
	began := l.clock.Now()
	patience := startPatience
	if why == ErrPassed {
		patience = (l.known.KillAt+l.known.Deadline)/2 - time.Duration(began)
	}
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		shut := l.shut // before the round: what was started until then, it finds
		left, stop := l.ender.round(ctx, why.Error(), shut, func() bool { return l.inForce() == nil })
		if stop {
			return true
		}
		if !l.shut {
			waited := time.Duration(l.clock.Now() - began)
			if l.shut = l.ender.shut(waited >= patience); !l.shut {
				pause = min(pause, max(patience-waited, 5*time.Millisecond), watchful)
			}
		}
		if len(left) == 0 && shut {
			if any {
				l.log.Info("nobody of the fenced runs lives", "after", time.Duration(l.clock.Now()-began).String())
			}
			return any
		}
		if len(left) == 0 {
			if !l.shut {
				l.clock.Wait(ctx, l.clock.Now()+int64(pause))
			}
			continue
		}
		any = true
		if pause >= 500*time.Millisecond {
			l.log.Error("fenced processes were sent KILL and live; it is sent again until they do not", "processes",
				messages.Members(left),
				"for", time.Duration(l.clock.Now()-began).String(), "advice",
				"one in state D waits for a device or a file system; only that ends it")
		}
		l.clock.Wait(ctx, l.clock.Now()+int64(pause))
	}
}
