package fleet

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// endless is a lease that does not end within a test: what moves does because its host has given it up.
const endless = 10 * time.Minute

// call calls procman on the host.
func (h *host) call(args ...string) string {
	h.w.t.Helper()
	out, err := ours.run(exec.Command(program(h.w.t, "procman"),
		append([]string{"-c", filepath.Join(h.dir, "procman.yaml")}, args...)...))
	require.NoError(h.w.t, err, out)
	return out
}

// drain has the host drained, or not any more.
func (h *host) drain(how string) {
	h.w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(h.w.t, h.ask(ctx, "POST", "/v1/fleet/hosts/"+h.name+"/"+how, nil, nil))
}

// gone waits until the daemon has ended by itself.
func (h *host) gone() {
	h.w.t.Helper()
	h.wanted = false
	h.w.until("the daemon has ended", func() bool { return !h.alive() })
	require.Equal(h.w.t, 0, h.daemon.status.ExitStatus())
}

// ended waits until none of them has lived for a while, and requires that they ended as they were told.
func (w *world) ended(lives []*life) {
	w.t.Helper()
	w.until("they have ended", func() bool {
		newest := w.read()
		for _, l := range lives {
			for _, of := range newest[l.ID] {
				if of.PID == l.PID && of.Host == l.Host && !of.Ended {
					return false
				}
			}
		}
		return true
	})
}

func TestWhatMayMoveStartsElsewhereAtOnceWhenItsHostIsDrainedOrShutDownAndADetachTouchesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{members: 1, ttl: endless})
	w.spread()

	h, movable, bound := w.hostWithBoth()
	since := now()
	h.drain("drain")
	w.figures("a host is drained", w.moved(since, movable))
	w.ended(append(movable, bound...))
	h.drain("undrain")
	w.allRun()

	h, movable, bound = w.hostWithBoth()
	since = now()
	h.call("shutdown")
	h.gone()
	w.figures("a host is shut down", w.moved(since, movable))
	w.ended(append(movable, bound...))
	w.until("the leash is gone", func() bool { return h.leashPID() == 0 })
	h.start()
	w.joined(h)
	w.allRun()

	h, movable, bound = w.hostWithBoth()
	all := append(movable, bound...)
	h.call("detach")
	h.gone()
	log, err := os.ReadFile(filepath.Join(h.dir, "log"))
	require.NoError(t, err)
	require.Regexp(t,
		`fenced: the leash ends what lives of them in [0-9]m[0-9.]+s, unless a daemon has renewed the lease of this host by then`, string(log))
	require.NotZero(t, h.leashPID())
	w.untouched(all)
	h.start()
	w.joined(h)
	w.untouched(all)
}

func TestOfAHostThatIsCutOffWhatIsFencedMovesAndWhatIsNotRunsOnAndElsewhereTooAndOnceAgainAfterwards(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{members: 1})
	for _, id := range []string{"n0", "n1", "n2", "n3", "n4", "n5"} {
		w.list[id], w.loose[id] = true, true
	}
	w.spread()
	var had, fenced, bound []*life
	cut := w.choose("a host has all three kinds", func(h *host) bool {
		had, fenced, bound = nil, nil, nil
		for _, l := range w.on(h) {
			switch {
			case w.loose[l.ID]:
				had = append(had, l)
			case w.list[l.ID]:
				fenced = append(fenced, l)
			default:
				bound = append(bound, l)
			}
		}
		return len(had) > 0 && len(fenced) > 0 && len(bound) > 0
	})
	since := now()
	cut.fault(fault{Up: true, Down: true})
	w.figures("what is not fenced is started elsewhere, too", w.moved(since, had))
	beats := func(l *life, since time.Duration) bool {
		for _, of := range w.read()[l.ID] {
			if of.PID == l.PID && of.Host == l.Host {
				return of.Last > since
			}
		}
		return false
	}
	for _, l := range had {
		since := now()
		w.until("it lives where it was", func() bool { return beats(l, since) })
	}
	w.figures("and what is", w.moved(since, fenced))
	w.untouched(bound)
	cut.fault(fault{})
	w.joined(cut)
	w.ended(had)
	w.allRun()
	w.until("each runs once", func() bool {
		for _, of := range w.read() {
			alive := 0
			for _, l := range of {
				if now()-l.Last < time.Second {
					alive++
				}
			}
			if alive != 1 {
				return false
			}
		}
		return true
	})
}
