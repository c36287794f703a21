package systemd

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"procman/cmd/procman/words"
	"procman/messages"
	"procman/supervisor"
	"procman/supervisor/api"
)

// Notifier tells the service manager (systemd, by sd_notify) how the daemon is. A nil notifier has nobody to tell. Its
// methods never wait for the service manager.
type Notifier struct {
	send       func(state string) error
	supervisor *supervisor.Supervisor
	log        *slog.Logger
	watchdog   time.Duration // so often the service manager wants a sign of life; 0: never

	mu    sync.Mutex
	is    daemonState   // all but its status
	until time.Time     // when the longest grace of an instance is over, in a stop
	wake  chan struct{} // is has changed
	moved chan struct{} // an instance has, since the status was last made

	known     daemonState // what the service manager was told; run's own
	failed    string      // the newest error that was reported; run's own
	unobserve func()
	life      context.Context
	end       context.CancelFunc
	work      sync.WaitGroup
}

// errBehind says that a message waits. It will be delivered.
var errBehind = errors.New("the service manager is behind with its reading; it is told later")

// statusEvery bounds how often the status is told.
const statusEvery = time.Second

// extendEvery is how often a service manager that waits for the end is asked for patience.
const extendEvery = 10 * time.Second

// NewNotifier starts telling; nil if there is no service manager.
func NewNotifier(manager *Queue, s *supervisor.Supervisor, log *slog.Logger) *Notifier {
	if manager == nil {
		return nil
	}
	watchdog, err := sd.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("the service manager's watchdog is not served: what it wants is not understood", "error", err.Error())
	}
	return notify(manager.tell, watchdog, s, log)
}

func notify(send func(string) error, watchdog time.Duration, s *supervisor.Supervisor, log *slog.Logger) *Notifier {
	n := &Notifier{send: send, supervisor: s, log: log, watchdog: watchdog, wake: make(chan struct{}, 1),
		moved: make(chan struct{}, 1)}
	n.statusChanged()
	n.life, n.end = context.WithCancel(context.Background())
	n.unobserve = s.Observe(supervisor.Observer{
		Event: func(e messages.Event) {
			if e.What == messages.ConfigRejected {
				n.blame(words.Head(e.Why))
			}
		},
		Transition: func(messages.Transition) { n.statusChanged() },
		Reconciled: func(messages.Reconciled) { n.blame("") },
	})
	if why := s.Rejected(); why != "" {
		n.blame(words.Head(why)) // it was told before, and is not told again
	}
	n.work.Go(n.run)
	if watchdog > 0 {
		n.work.Go(n.heartbeat)
	}
	return n
}

// Close ends the telling, once what is to be told has been.
func (n *Notifier) Close() error {
	if n != nil {
		n.unobserve()
		n.end()
		n.work.Wait()
	}
	return nil
}

// Reloading says that the configuration is read again on a signal's behalf; over is to be called with what came of it.
func (n *Notifier) Reloading() (over func(error)) {
	if n == nil {
		return func(error) {}
	}
	n.change(func(is *daemonState) { is.begun++ })
	return func(err error) {
		n.change(func(is *daemonState) {
			is.over++
			switch {
			case err == nil:
				is.fault = ""
			case !errors.Is(err, supervisor.ErrStopped):
				is.fault = words.Head(err.Error())
			}
		})
	}
}

// Ending says that the end has begun. A stop may take as long as the longest grace.
func (n *Notifier) Ending(mode api.Mode, grace time.Duration) {
	if n == nil {
		return
	}
	n.change(func(is *daemonState) { is.end, n.until = mode, time.Now().Add(grace) })
}

func (n *Notifier) change(f func(*daemonState)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f(&n.is)
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// blame notes what is wrong with the configuration. It is told with the next status.
func (n *Notifier) blame(fault string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.is.fault = fault
	n.statusChanged()
}

// statusChanged says that the status may be another.
func (n *Notifier) statusChanged() {
	select {
	case n.moved <- struct{}{}:
	default:
	}
}

// run tells, until the end of its life, and then what is left to tell.
func (n *Notifier) run() {
	var status, patience <-chan time.Time // nil: there is nothing to tell, nothing to be patient about
	n.tellStatus()
	for listed := n.supervisor.Listed(); ; {
		moved := n.moved
		if status != nil {
			moved = nil // what has moved is told then
		}
		select {
		case <-listed:
			listed = nil
			n.change(func(is *daemonState) { is.listed = true })
		case <-n.wake:
			n.tell()
			if patience == nil && n.known.end == api.ModeStop {
				patience = time.After(extendEvery)
			}
		case <-moved:
			status = time.After(statusEvery)
		case <-status:
			status = nil
			n.tellStatus()
		case <-patience:
			patience = time.After(extendEvery)
			n.extend()
		case <-n.life.Done():
			n.tell()
			return
		}
	}
}

// look returns how things are now.
func (n *Notifier) look() (is daemonState, until time.Time, all []messages.Status) {
	all, _ = n.supervisor.Status(n.life) // it has no error: it is a snapshot
	n.mu.Lock()
	defer n.mu.Unlock()
	is, until = n.is, n.until
	is.status = is.line(all)
	return is, until, all
}

// tell tells of what has changed, but not of a mere status.
func (n *Notifier) tell() {
	is, _, _ := n.look()
	news := n.known.news(is, sd.SdNotifyMonotonicUsec())
	if len(news) == 0 {
		is.status = n.known.status
	}
	n.known = is
	for _, state := range news {
		n.say(state)
	}
}

func (n *Notifier) tellStatus() {
	is, _, _ := n.look()
	if is.status != n.known.status {
		n.known.status = is.status
		n.say("STATUS=" + is.status)
	}
}

// extend asks for patience while instances are being stopped, as long as one of them may still be within its grace.
func (n *Notifier) extend() {
	if is, until, all := n.look(); is.end == api.ModeStop && alive(all) > 0 && time.Now().Before(until) {
		n.say(extension)
	}
}

func (n *Notifier) say(state string) {
	text := ""
	if err := n.send(state); err != nil && !errors.Is(err, errBehind) {
		if text = err.Error(); text != n.failed {
			n.log.Warn("the service manager does not hear how the manager is", "error", text)
		}
	}
	n.failed = text
}

// heartbeat gives a sign of life twice as often as the service manager wants one, but only while the root actor
// answers: a manager that supervises nothing is to be replaced.
func (n *Notifier) heartbeat() {
	every := n.watchdog / 2
	next := time.NewTicker(every)
	defer next.Stop()
	for {
		ctx, cancel := context.WithTimeout(n.life, every)
		err := n.supervisor.Ping(ctx)
		cancel()
		switch {
		case err == nil:
			if err = n.send(sd.SdNotifyWatchdog); errors.Is(err, errBehind) {
				err = nil // it has the sign of life before it, in its queue
			}
		case errors.Is(err, supervisor.ErrStopped), n.life.Err() != nil:
			return
		}
		if err != nil {
			n.log.Warn("the service manager has no sign of life and will replace this manager", "error", err.Error(),
				"waited", every, "consequence", "instances run on, and the next manager adopts them")
		}
		select {
		case <-next.C:
		case <-n.life.Done():
			return
		}
	}
}
