package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"procman/cmd/procman/systemd"
	"procman/messages"
	"procman/supervisor"
	"procman/supervisor/api"
	"procman/supervisor/fleet/leash"
)

// errAbandoned says that the daemon was told to end so often that it does not even close its parts.
var errAbandoned = errors.New("told to end a third time, and gone without tidying up; what still runs is left running")

// endAs begins the end. A wish that comes while another waits to be read is the same wish, or too late.
func (d *daemon) endAs(mode api.Mode, by string) {
	command := map[api.Mode]string{api.ModeStop: "shutdown", api.ModeLeave: "detach"}[mode]
	d.tell(messages.Event{What: messages.OperatorActed, By: by, Command: command})
	select {
	case d.ends <- mode:
	default:
	}
}

// live keeps the daemon up until it is told to end, or fails.
func (d *daemon) live(signals <-chan os.Signal) error {
	stopping, leave := context.WithCancel(context.Background())
	defer leave()
	for {
		select {
		case <-d.supervisor.Done():
			d.end.Wait()
			return d.verdict()
		case err := <-d.served:
			if !d.ending {
				d.log.Error("the API has failed; supervision goes on without it", "error", err)
			}
		case mode := <-d.ends:
			if mode == api.ModeLeave {
				leave()
			}
			d.begin(stopping, mode)
		case next := <-d.upgrades:
			if d.ending {
				next.guard.dismiss()
				d.log.Warn("no upgrade: the manager is ending", "program", next.program)
				continue
			}
			d.successor = next
			d.log.Info("manager makes room for the binary on disk", "program", next.program)
			d.begin(stopping, api.ModeLeave)
		case s := <-signals:
			switch {
			case d.successor != nil:
				if !d.keep(s) {
					return errAbandoned
				}
			case s == syscall.SIGHUP:
				d.reload()
			default:
				if !d.toldToEnd(stopping, leave) {
					return errAbandoned
				}
			}
		}
	}
}

// maxTerms is how often the daemon is told to end until it does not even close its parts.
const maxTerms = 3

// toldToEnd ends the daemon as a signal wants it. It returns false when there is no more to be tried.
func (d *daemon) toldToEnd(stopping context.Context, leave func()) bool {
	switch d.terms++; d.terms {
	case 1:
		d.begin(stopping, api.Mode(d.provider.File().OnShutdown))
	case maxTerms:
		return false
	default:
		d.log.Warn("told to end a second time: what still runs is left running")
		leave()
		d.begin(stopping, api.ModeLeave)
	}
	return true
}

// keep keeps a signal for the successor: it came to a daemon that has let go of everything. It returns false when the
// successor is not waited for any more.
func (d *daemon) keep(s os.Signal) bool {
	if !slices.Contains(d.kept, s) {
		d.kept = append(d.kept, s)
	}
	if s != syscall.SIGHUP {
		d.terms++
	}
	return d.terms < maxTerms
}

// reload has the configuration read again. What is wrong with it is told by the supervisor. A wish that comes while
// another waits for its turn is the same wish.
func (d *daemon) reload() {
	select {
	case d.socketNow <- struct{}{}:
	default:
	}
	select {
	case d.reloads <- struct{}{}:
	default:
		return
	}
	over := d.notifier.Reloading()
	d.end.Go(func() {
		d.reloading.Lock()
		defer d.reloading.Unlock()
		<-d.reloads
		over(d.supervisor.Reload(supervisor.WithOperator(context.Background(), "signal HUP")))
	})
}

// begin begins the end, unless it has begun. A stop becomes a leave when stopping ends.
func (d *daemon) begin(stopping context.Context, mode api.Mode) {
	if d.ending {
		return
	}
	d.ending = true
	d.heap.ending()
	d.log.Info("manager stopping", "mode", string(mode))
	d.notifier.Ending(d.mode(mode), d.grace())
	d.end.Go(func() {
		d.farewell = "its instances run on"
		if mode == api.ModeLeave {
			if d.letGoOfFleet(); d.fleet != nil && d.successor == nil {
				if text := leash.Farewell(d.spawner.Dir()); text != "" {
					d.farewell += "; " + text
					d.log.Warn("the leash goes on", "what", text)
				}
			}
			_ = d.supervisor.Detach(context.Background()) // its error is that of Err
			return
		}
		left := d.leaveFleet(stopping)
		err := d.supervisor.Shutdown(stopping)
		left()
		if err != nil {
			d.farewell = "what had not ended of its instances runs on"
			d.log.Warn("the end came before every instance had ended", "error", err.Error())
			return
		}
		d.farewell = d.stoppedAll()
	})
}

// allStopped is what the end of a daemon says when nothing of its instances lives.
const allStopped = "every instance was stopped"

// stoppedAll says what became of the instances when all were stopped: who looks at the host finds no more than this
// names.
func (d *daemon) stoppedAll() string {
	left := map[messages.InstanceID]string{}
	remain, err := d.spawner.Remain()
	for id, members := range remain {
		left[id] = messages.Members(members)
	}
	all, _ := d.supervisor.Status(context.Background()) // it has no error: it is a snapshot
	for _, s := range all {
		if why := s.Left(); why != "" && left[s.ID] == "" && !strings.HasSuffix(why, messages.ByLeftovers) {
			left[s.ID] = why
		}
	}
	switch {
	case err != nil:
		d.log.Warn("what is left could not be looked for", "error", err.Error())
		return "every instance it knew was stopped; whether something is left could not be seen: " + err.Error()
	case len(left) == 0:
		return allStopped
	}
	const named = 10
	lines := []string{}
	for _, id := range slices.Sorted(maps.Keys(left)) {
		if len(lines) == named {
			lines = append(lines, fmt.Sprintf("and of %d more", len(left)-named))
			break
		}
		lines = append(lines, fmt.Sprintf("%s: %s", id, left[id]))
	}
	text := "its instances were stopped, but processes are left alone: " + strings.Join(lines, "; ")
	d.log.Warn("processes are left alone", "of", strings.Join(lines, "; "))
	return text
}

// mode is how the daemon ends in the eyes of its service manager: with a successor, not at all.
func (d *daemon) mode(mode api.Mode) api.Mode {
	if d.successor != nil {
		return systemd.ModeReplace
	}
	return mode
}

// graceMargin is how much longer than its grace an instance may take to end.
const graceMargin = 30 * time.Second

// grace is how long a stop of all instances may take.
func (d *daemon) grace() time.Duration {
	longest := time.Duration(0)
	for _, a := range d.provider.File().Instances {
		longest = max(longest, a.Stop.Grace)
	}
	return longest + graceMargin
}

// verdict returns why the end of the supervisor is a failure; nil if it was asked for and went well.
func (d *daemon) verdict() error {
	err := d.supervisor.Err()
	if err == nil && !d.ending {
		err = errors.New("it ended by itself")
	}
	if err == nil {
		return nil
	}
	d.log.Error("manager failed; instances run on, and the next manager adopts them", "error", err.Error())
	return fmt.Errorf("the supervisor has failed; instances run on, and the next daemon adopts them: %w", err)
}
