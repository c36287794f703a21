package member

import "time"

// Event is something that happened to the host's place in the fleet, or that somebody wishes.
type Event interface{ name() string }

// The events. Each request of an action is answered once, by a failure at the latest after Schedule.Suspect, but for
// Persist: a disk may never answer.
type (
	// Loaded says what a predecessor left: its record, zero if there is none or it cannot be read, and whether a fenced
	// run lives. One that lives under another incarnation than the record's makes the record worth nothing: then give
	// none.
	Loaded struct {
		Record    Record
		Survivors bool
	}
	// LeashUp says that a leash lives and holds its lock.
	LeashUp struct{}
	// LeashGone says that none does, or that it could not be started.
	LeashGone struct{ Why string }
	// Granted answers Grant. Incarnation is new, and unlike any other.
	Granted struct {
		T0          time.Duration
		Lease       Lease
		Incarnation string
		TTL         time.Duration
	}
	// GrantFailed answers Grant.
	GrantFailed struct {
		T0  time.Duration
		Why string
	}
	// Renewed answers Renew, with its T0. The TTL is the store's.
	Renewed struct {
		T0    time.Duration
		Lease Lease
		TTL   time.Duration
	}
	// RenewFailed says that a Renew has no answer; the lease may have been renewed or not.
	RenewFailed struct {
		Lease Lease
		Why   string
	}
	// LeaseLost says that the store has answered that there is no such lease.
	LeaseLost struct{ Lease Lease }
	// Persisted answers Persist: the record is durable, and no record written before can come after it.
	Persisted struct{ Record Record }
	// PersistFailed answers Persist: it is not known whether the record is on disk.
	PersistFailed struct {
		Record Record
		Why    string
	}
	// Registered answers Register: the key is there, ours, and the assignments have been read after that.
	Registered struct{ Lease Lease }
	// RegisterFailed answers Register: it is not known.
	RegisterFailed struct {
		Lease Lease
		Why   string
	}
	// NameTaken says that the host's key is there with another incarnation than that of the lease: as the answer to
	// Register, or because it was seen.
	NameTaken struct {
		Lease Lease
		By    string // the other incarnation, and where it answers, for a person
	}
	// Tick says that time has passed.
	Tick struct{}
	// Down says that no fenced run lives or is being started, since the End of that Round. Of an End of All it says
	// that of everything that may be released.
	Down struct{ Round int }
	// Leave is the wish that the host gives back what it has: of shutdown.
	Leave struct{}
	// Released answers Release; Why is empty if all was released.
	Released struct{ Why string }
	// Revoked answers Revoke; Why is empty if the lease is gone.
	Revoked struct{ Why string }
	// Detach is the wish that the daemon ends and leaves everything as it is: of detach and upgrade.
	Detach struct{}
)

func (Loaded) name() string         { return "Loaded" }
func (LeashUp) name() string        { return "LeashUp" }
func (LeashGone) name() string      { return "LeashGone" }
func (Granted) name() string        { return "Granted" }
func (GrantFailed) name() string    { return "GrantFailed" }
func (Renewed) name() string        { return "Renewed" }
func (RenewFailed) name() string    { return "RenewFailed" }
func (LeaseLost) name() string      { return "LeaseLost" }
func (Persisted) name() string      { return "Persisted" }
func (PersistFailed) name() string  { return "PersistFailed" }
func (Registered) name() string     { return "Registered" }
func (RegisterFailed) name() string { return "RegisterFailed" }
func (NameTaken) name() string      { return "NameTaken" }
func (Tick) name() string           { return "Tick" }
func (Down) name() string           { return "Down" }
func (Leave) name() string          { return "Leave" }
func (Released) name() string       { return "Released" }
func (Revoked) name() string        { return "Revoked" }
func (Detach) name() string         { return "Detach" }

// Action is something the shell has to do. Actions are carried out in their order; none waits for the end of another,
// but records are written in the order of their Persist.
type Action interface{ action() }

// The actions.
type (
	// StartLeash: start one; LeashUp or LeashGone.
	StartLeash struct{}
	// Grant: ask for a lease; Granted or GrantFailed. T0 is CLOCK_BOOTTIME before the request: that of the step.
	Grant struct{ T0, TTL time.Duration }
	// Renew: renew the lease once; Renewed, RenewFailed or LeaseLost. T0 as in Grant.
	Renew struct {
		T0    time.Duration
		Lease Lease
	}
	// Persist: write the record; Persisted or PersistFailed.
	Persist struct{ Record Record }
	// Register: make sure of the host's key with this incarnation, under the lease: create it, or find it. Then read
	// the assignments, linearizably. Registered, RegisterFailed, NameTaken or LeaseLost.
	Register struct {
		Lease       Lease
		Incarnation string
	}
	// Admit: fenced instances are on the list from now on. Whether one may be started is asked of MayStart.
	Admit struct{}
	// End: fenced instances, or all, are off the list, and what lives of them is ended: by its own grace, or so that it
	// has been sent KILL at By at the latest. Down, once none lives or is being started.
	End struct {
		Round int
		By    time.Duration // 0: no such time
		All   bool
	}
	// Release: give back every assignment of this incarnation that may move; Released.
	Release struct{}
	// Revoke: end the lease; Revoked.
	Revoke struct{ Lease Lease }
	// Say: tell what has happened.
	Say struct {
		What Notice
		Why  string
		At   time.Duration // of Suspected, Yielded and Detached: when the leash kills
	}
	// Arm: send a Tick at that time, and no other that was armed before.
	Arm struct{ At time.Duration }
	// Bug: an event came that cannot happen in this phase. Nothing was changed.
	Bug struct {
		Event string
		Phase Phase
	}
)

func (StartLeash) action() {}
func (Grant) action()      {}
func (Renew) action()      {}
func (Persist) action()    {}
func (Register) action()   {}
func (Admit) action()      {}
func (End) action()        {}
func (Release) action()    {}
func (Revoke) action()     {}
func (Say) action()        {}
func (Arm) action()        {}
func (Bug) action()        {}

// Notice is what can be said.
type Notice string

// The notices.
const (
	Joined     Notice = "joined"      // the host is a member
	Resumed    Notice = "resumed"     // the daemon goes on with the lease of its predecessor
	Suspected  Notice = "suspect"     // the store has not answered for a while
	Recovered  Notice = "recovered"   // it has again, and fenced instances may run
	Yielded    Notice = "yielding"    // fenced instances are ended
	AllFenced  Notice = "fenced"      // none lives any more
	Overdue    Notice = "overdue"     // one lives, and the lease may be over
	Lost       Notice = "lease lost"  // the store says so
	Hindered   Notice = "hindered"    // why the host is not a member, or will not be for long
	NotDurable Notice = "not durable" // a renewal does not count, because it could not be written
	Unguarded  Notice = "no leash"    // renewals do not count until there is one
	Left       Notice = "left"        // the host has left; Why says what others have to wait for, if for anything
	Detached   Notice = "detached"
)
