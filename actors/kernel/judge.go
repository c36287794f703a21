package kernel

// Verdict says what a process is to a run.
type Verdict string

// The verdicts.
const (
	Leader   Verdict = "leader"   // the process of the run
	Belongs  Verdict = "belongs"  // to a run, this or an earlier one: it is ended with it or left, and never adopted
	Stranger Verdict = "stranger" // never adopted, never signalled
	Unclear  Verdict = "unclear"  // cannot tell: nothing is started in its place, nothing is signalled, and it is said
)

// Doubt says why a verdict is Unclear.
type Doubt string

// The doubts.
const (
	DoubtNone   Doubt = ""
	DoubtHidden Doubt = "hidden" // it has the pid on record and lives, but /proc does not show it
	DoubtStart  Doubt = "start"  // it has the pid on record, of which no start time is on record
	DoubtLock   Doubt = "lock"   // it holds the instance's lock, and shows nothing else
	// it shows the instance's tag and leads a session, but no record and no lock names it
	DoubtNoLock Doubt = "no lock"
	// a start was interrupted, and it writes to the instance's output, but shows another command line
	DoubtIntent Doubt = "intent"
	// it is proved, but the state directory it was started under has a live manager of its own
	DoubtManaged Doubt = "managed"
)

// Evidence is what is known of one live process (or zombie) in the matter of one instance's newest run.
type Evidence struct {
	Boot   string // of the host, now
	Record *Run   // the newest run on record; nil: none that can be read

	PID    int
	Stat   Stat
	Hidden bool // Stat could not be read, though the process lives
	Child  bool // it is a child of this process that nobody has reaped
	Shows  Tags // zero: it shows none, or they cannot be read
	Ours   bool // Shows names this instance and this state directory

	// Lock says that it holds the instance's lock at LockFD. Witness is what the file that it holds there says of the
	// run it was locked for; nil: nothing.
	Lock    bool
	Witness *Run
	Helper  bool // its run was about to be started, and by command line and output it is not what was to be started
	Kin     bool // it is in the session, group or descent of the run on record, see Circle
	Cgroup  bool // it is in the run's own cgroup
	// Manager is the live manager, other than this one, of the state directory it was started under; 0: none.
	Manager int
}

// Judge says what the process is.
func Judge(e Evidence) (Verdict, Doubt) {
	v, d := judge(e)
	if v == Leader && e.Manager != 0 {
		return Unclear, DoubtManaged // a copied state directory is no second owner
	}
	return v, d
}

func judge(e Evidence) (Verdict, Doubt) {
	r := e.Record
	if r == nil {
		r = &Run{Ended: true}
	}
	tag := e.Shows.Tag
	tagged := r.Tag != "" && tag == r.Tag
	// What procman starts leads a session, and a session leader can change neither that nor its group.
	if e.PID == r.PID && !r.Ended && (tagged || e.Hidden || e.Stat.Zombie() || e.Stat.Leads(e.PID)) {
		thisBoot := e.Boot == r.Boot
		switch {
		case tagged, thisBoot && e.Child && (e.Hidden || r.Start == 0 || e.Stat.Start == r.Start):
			return Leader, DoubtNone
		case thisBoot && e.Hidden:
			return Unclear, DoubtHidden
		case tag != "": // another's: perhaps of a newer run
		case thisBoot && e.Stat.Start == r.Start:
			return Leader, DoubtNone
		case thisBoot && r.Start == 0:
			return Unclear, DoubtStart
		}
	}
	w := e.Witness
	if w != nil && (w.Boot != e.Boot || tag != "" && w.Tag != tag) {
		w = nil // the lock was taken by another run than the process shows
	}
	switch {
	case tagged:
		return Belongs, DoubtNone
	case tag != "" && !e.Ours:
		return Stranger, DoubtNone // of another instance, or of another state directory
	case tag != "" && e.Shows.Run < r.Number:
		return Belongs, DoubtNone // to an earlier run, which is neither survivor nor rival
	case w != nil && w.Number < r.Number:
		return Belongs, DoubtNone
	case w != nil && (w.PID != e.PID || w.Start != e.Stat.Start || w.Tag == r.Tag):
		return Belongs, DoubtNone
	case w != nil:
		return Leader, DoubtNone
	case tag != "" && !e.Stat.Leads(e.PID):
		return Belongs, DoubtNone
	case tag != "" && e.Lock:
		return Leader, DoubtNone
	case tag != "" && e.Helper:
		return Belongs, DoubtNone
	case tag != "":
		return Unclear, DoubtNoLock
	case e.Kin, e.Cgroup:
		return Belongs, DoubtNone
	case e.Lock:
		return Unclear, DoubtLock
	case e.Hidden:
		return Unclear, DoubtHidden
	}
	return Stranger, DoubtNone
}
