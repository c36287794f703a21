package output

import (
	"fmt"
	"log/slog"
	"time"

	"procman/messages"
)

const (
	defaultMaxSize = 16 << 20
	minMaxSize     = 64 << 10
	minMaxBacklog  = 64 << 20
)

// Options says how output is kept and forwarded. A zero field takes its default.
type Options struct {
	// MaxSize is about how many bytes of a file are kept; default 16 MiB, at least 64 KiB. A quarter more may be there
	// before the head is trimmed.
	MaxSize int64
	// Total is how many bytes all files of the state directory may keep together; default 0, any, and else at least
	// [MinTotal]. If there are more, the largest are trimmed at their heads, all to the same size, and whoever has less
	// loses nothing. What was not forwarded yet goes only where its file has more than its share of that alone, and a
	// record says so. See SetTotal.
	Total int64
	// MaxBacklog is how many bytes a file may be ahead of its follower. One that is further ahead loses all but its
	// newest MaxSize bytes, and a record says how much that cost. Default four times MaxSize, and no less than 64 MiB.
	// Of what was written while no follower lived, as much is forwarded as is kept.
	MaxBacklog int64
	// Forward says that new lines become records. Otherwise files are bounded only.
	Forward bool
	// Mask gives what hides the secrets of an instance, nil if it has none. It is asked again and again, and must be
	// quick. Lines are masked when they are forwarded and when they are read; the files stay as they were written. Nil:
	// nothing is masked.
	Mask func(messages.InstanceID) *messages.Masker
	// Moved is told, by the worker that has found it, that somebody moved or removed a file that a process writes to.
	// Nil: nobody is.
	Moved func(id messages.InstanceID, run, pid int, why string)
	// Logger receives the lines, and the complaints. Nil: they go nowhere.
	Logger *slog.Logger

	// Lend says that the handler of Logger keeps nothing of a record when Handle has returned, as slog's own do not.
	// Then the lines are lent to it: the memory of one is used again for the next. Otherwise each is a copy, and a
	// flood is one of garbage.
	Lend bool

	// Settled reports whether the records given to Logger so far have got to where they survive this process; it may
	// wait for that. While they have not, no checkpoint is saved, and so a later manager forwards them again. Nil: they
	// have.
	Settled func() bool

	// Of tests:
	step      func(name string) // called between the steps of trimming, where a test dies, and at each save
	patience  time.Duration     // how long a turn may take until another worker goes on
	saveEvery time.Duration     // how often checkpoints are written down
}

// kept returns how many bytes a file may have before it is trimmed.
func (o Options) kept() int64 { return o.MaxSize + o.MaxSize/4 }

func (o Options) reached(step string) {
	if o.step != nil {
		o.step(step)
	}
}

func (o Options) withDefaults() (Options, error) {
	if o.MaxSize == 0 {
		o.MaxSize = defaultMaxSize
	}
	if o.MaxSize < minMaxSize {
		return o, fmt.Errorf("the maximum size of an output file is %d bytes; it must be at least %d",
			o.MaxSize, minMaxSize)
	}
	if err := checkTotal(o.Total); err != nil {
		return o, err
	}
	if o.MaxBacklog == 0 {
		o.MaxBacklog = max(minMaxBacklog, 4*o.MaxSize)
	}
	if o.MaxBacklog < o.MaxSize {
		return o, fmt.Errorf("the maximum backlog of an output file is %d bytes; it must be at least its maximum "+
			"size, %d", o.MaxBacklog, o.MaxSize)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Settled == nil {
		o.Settled = func() bool { return true }
	}
	if o.patience == 0 {
		o.patience = turnPatience
	}
	if o.saveEvery == 0 {
		o.saveEvery = saveEvery
	}
	return o, nil
}
