package run

import (
	"hash/fnv"
	"time"

	"procman/messages"
)

// Schedule is when the steady probes of one instance are due: in a slot of its own in every interval, which follows
// from its id alone. Slots are shared: as many probes as are due together wake the manager once, and each slot holds a
// fair share of all.
type Schedule struct {
	Every time.Duration
	Share float64 // of the interval, at which its slot is; at least 0 and less than 1
}

const (
	// finest is the width of the narrowest slots. The others are that times a power of two, so that all begin together,
	// whatever the intervals.
	finest = time.Second / 128
	// slots is how many of them an interval has at the least, if they can be that narrow.
	slots = 20
	// proveAgain is how long it may be relied upon that a listener was proved to be the instance's.
	proveAgain = time.Minute
)

func scheduleOf(id messages.InstanceID, every time.Duration) Schedule {
	return Schedule{Every: every, Share: share(id)}
}

// share spreads instances over an interval.
func share(id messages.InstanceID) float64 {
	h := fnv.New32a()
	h.Write([]byte(id))
	return float64(h.Sum32()%1000) / 1000
}

// First returns the first time that is due after now. Epoch is the same for all instances of a manager.
func (s Schedule) First(epoch, now time.Time) time.Time { return s.after(epoch, now) }

// Next returns when the next probe is due after one that was over now: in the same slot of the next interval, or of a
// later one, so that half an interval at the least is between the two.
func (s Schedule) Next(epoch, now time.Time) time.Time {
	_, period := s.slots()
	return s.after(epoch, now.Add(period/2))
}

// Missed reports whether a probe that was due is not to be made now, because the manager stood still meanwhile: with it
// were those of all other instances, and they would all come at once.
func (s Schedule) Missed(due, now time.Time) bool { return now.Sub(due) > late }

// Proves reports whether a probe that is made now has to prove whose the listener is, if that was proved then. The zero
// time is never.
func (s Schedule) Proves(then, now time.Time) bool {
	return then.IsZero() || now.Sub(then) > proveAgain-s.Every
}

// slots returns the width of a slot, and the time after which its turn comes again: the interval, less a part of a
// slot.
func (s Schedule) slots() (width, period time.Duration) {
	width = finest
	for 2*width*slots <= s.Every {
		width *= 2
	}
	return width, max(s.Every-s.Every%width, width)
}

func (s Schedule) after(epoch, t time.Time) time.Time {
	width, period := s.slots()
	slot := time.Duration(s.Share*float64(period/width)) * width
	past := t.Sub(epoch) - slot
	turn := past / period
	if past%period < 0 { // the division rounds towards zero
		turn--
	}
	return epoch.Add(slot + (turn+1)*period)
}
