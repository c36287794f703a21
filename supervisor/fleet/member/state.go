package member

import "time"

// Phase is where a host stands with its fleet.
type Phase string

// The phases.
const (
	New      Phase = "new"      // what a predecessor left is not known yet
	Out      Phase = "out"      // no lease, and nothing fenced lives
	Joining  Phase = "joining"  // a lease is asked for, or not on disk yet, or the name not ours yet
	In       Phase = "in"       // fenced instances may run
	Suspect  Phase = "suspect"  // they may, but the store has not answered for a while
	Yielding Phase = "yielding" // fenced instances have left the list, and some may still live
	Fenced   Phase = "fenced"   // none lives; the lease may, and then the host comes back
	Leaving  Phase = "leaving"  // asked to leave: all ends, then all is released
	Gone     Phase = "gone"     // has left, or has detached
)

// Phases lists every phase, in the order of a host's life.
func Phases() []Phase {
	return []Phase{New, Out, Joining, In, Suspect, Yielding, Fenced, Leaving, Gone}
}

// Lease names a lease in the store. 0: none.
type Lease int64

// Record is what has to survive the daemon, for its successor and for the leash. All times are CLOCK_BOOTTIME: of
// another Boot they mean nothing.
type Record struct {
	Boot        string        `json:"boot"`
	Lease       Lease         `json:"lease"`
	Incarnation string        `json:"incarnation"`
	TTL         time.Duration `json:"ttl"`
	Grace       time.Duration `json:"grace"`
	Renewed     time.Duration `json:"renewed"`  // before the newest renewal that was answered was sent
	KillAt      time.Duration `json:"kill_at"`  // from then on the leash kills every fenced run
	Deadline    time.Duration `json:"deadline"` // from then on none may live
}

// Void reports whether the lease does not count any more, whatever the store says of it.
func (r Record) Void() bool { return r.Deadline <= r.Renewed }

// State is all that decides about a host's life in the fleet. Begin makes the first one. The shell changes nothing in
// it.
type State struct {
	Phase Phase
	Boot  string
	Next  Schedule // of the next lease
	Since time.Duration

	Lease       Lease // 0: none that counts
	Incarnation string
	Schedule    Schedule      // of the lease
	Renewed     time.Duration // before the newest renewal that was answered, and is on disk, was sent
	Answered    time.Duration // the same, on disk or not
	Writing     time.Duration // what is being written of that; 0: nothing
	Sent        time.Duration // when the newest was sent
	// the host's key was there, ours, and the assignments have been read since this daemon began
	Registered bool

	Leash   bool
	LeashAt time.Duration // when another is started
	JoinAt  time.Duration // Out: not before then

	Round   int           // of the newest End
	EndBy   time.Duration // when the last KILL is sent by it; 0: no such time
	Overdue bool          // something lives that should not, and that is said
	Step    step          // Leaving
	Why     string        // for a person: what keeps the host out, or will; empty: nothing
	ArmedAt time.Duration
}

// step is how far a host has got that leaves.
type step string

const (
	ending    step = ""
	voiding   step = "voiding" // the record is made void, so that no successor goes on with the lease
	releasing step = "releasing"
	revoking  step = "revoking"
)

// Begin returns the state of a host whose daemon has just begun. boot is the id of the host's boot, next the schedule
// of the configuration.
func Begin(boot string, next Schedule) State { return State{Phase: New, Boot: boot, Next: next} }

// Lists reports whether fenced instances are on the host's list: whether those that live may go on.
func (s State) Lists() bool { return s.Phase == In || s.Phase == Suspect }

// MayStart reports whether a fenced process may be forked now. It is to be asked right before the fork: see the
// leash, in the documentation of the package.
func (s State) MayStart(now time.Duration) bool {
	return s.Lists() && s.Registered && s.Leash && now < s.Renewed+s.Schedule.Yield
}

// Deadline returns when nothing fenced may live any more; 0 while there is no lease.
func (s State) Deadline() time.Duration {
	if s.Lease == 0 || s.Renewed == 0 {
		return 0
	}
	return s.Renewed + s.Schedule.Deadline
}

// KillAt returns when the leash kills what is fenced; 0 while there is no lease.
func (s State) KillAt() time.Duration {
	if s.Lease == 0 || s.Renewed == 0 {
		return 0
	}
	return s.Renewed + s.Schedule.Kill
}

func (s State) record(renewed time.Duration) Record {
	return Record{
		Boot: s.Boot, Lease: s.Lease, Incarnation: s.Incarnation, TTL: s.Schedule.TTL, Grace: s.Schedule.Grace,
		Renewed: renewed, KillAt: renewed + s.Schedule.Kill, Deadline: renewed + s.Schedule.Deadline,
	}
}

// void is the record of a lease that does not count any more.
func (s State) void() Record {
	r := s.record(s.Renewed)
	r.KillAt, r.Deadline = r.Renewed, r.Renewed
	return r
}

// resumes returns the schedule of the record's lease, and whether a daemon that begins now may go on with it.
func (r Record) resumes(boot string, now time.Duration) (Schedule, bool) {
	s, err := NewSchedule(r.TTL, r.Grace)
	return s, err == nil && r.Boot == boot && r.Lease != 0 && r.Incarnation != "" && !r.Void() &&
		r.Renewed > 0 && r.Renewed <= now && now < r.Renewed+s.Yield && r.Deadline < r.Renewed+r.TTL
}
