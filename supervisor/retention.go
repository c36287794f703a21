package supervisor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"procman/messages"
)

// Archive keeps what instances leave that are known no more: what they wrote. Its methods are called one at a time, and
// may take as long as a disk does.
type Archive interface {
	// Archived returns those of which nothing else is left, with the time, by the wall clock, since when nothing of it
	// has changed. Those that known names need not be looked at.
	Archived(known func(messages.InstanceID) bool) (map[messages.InstanceID]time.Time, error)
	// Discard removes what is left of instances, and returns why something still is of those of which that is so. With
	// a *messages.KeptError nothing was removed: it is not all that is left.
	Discard(ctx context.Context, ids []messages.InstanceID) map[messages.InstanceID]error
}

// How often the archive is looked at, and how long this manager must have known of what it removes: the wall clock, by
// which the rest is counted, may jump, and the list that an instance is missing from may be a wrong one.
const (
	looksPerKeep = 8
	longestLook  = 10 * time.Minute
	shortestLook = time.Second
	knownFor     = time.Hour
)

// batch is of how many instances what is left is removed at a time: for each batch the host is looked at once, and one
// that comes into the list again meanwhile waits for no more than that.
const batch = 100

// pruning is a call of Prune.
type pruning struct {
	ctx   context.Context
	by    string
	reply chan<- pruned
}

type pruned struct {
	list []messages.Pruned
	err  error
}

// Prune removes at once what is left of every instance that is known no more, whatever Config.Keep says, and returns
// what became of each, by their ids. It is not done before the first list is in force.
func (s *Supervisor) Prune(ctx context.Context) ([]messages.Pruned, error) {
	if s.config.Archive == nil {
		return nil, nil
	}
	reply := make(chan pruned, 1)
	select {
	case s.prune <- pruning{ctx, Operator(ctx), reply}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.done:
		return nil, ErrStopped
	}
	select {
	case p := <-reply:
		return p.list, p.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.done:
		return nil, ErrStopped
	}
}

// retain removes what is left of instances that are known no more, once that has been kept for long enough. It is a
// goroutine of its own: it may wait for a disk, and nobody waits for it.
func (s *Supervisor) retain() {
	select {
	case <-s.listed: // before that it is not known which are known
	case <-s.life.Done():
		return
	}
	seen := map[messages.InstanceID]time.Time{} // since when it is known here that nothing else is left
	look := time.NewTimer(0)
	defer look.Stop()
	for {
		select {
		case <-s.life.Done():
			return
		case p := <-s.prune:
			list, err := s.sweep(p.ctx, p.by, func(messages.InstanceID, time.Time) bool { return true })
			p.reply <- pruned{list, err}
		case <-look.C:
			keep := s.config.Keep()
			now := time.Now()
			here := map[messages.InstanceID]time.Time{}
			_, err := s.sweep(s.life, messages.ByManager, func(id messages.InstanceID, since time.Time) bool {
				if here[id] = now; !seen[id].IsZero() {
					here[id] = seen[id]
				}
				return keep > 0 && now.Sub(since) >= keep && now.Sub(here[id]) >= min(keep, knownFor)
			})
			seen = here
			if err != nil && s.life.Err() == nil {
				s.config.Logger.Warn("what instances that are known no more have left cannot be removed; it is tried "+
					"again", "error", err)
			}
			look.Reset(min(max(keep/looksPerKeep, shortestLook), longestLook))
		}
	}
}

// sweep removes what is left of those instances that are due.
func (s *Supervisor) sweep(ctx context.Context, by string,
	due func(messages.InstanceID, time.Time) bool) ([]messages.Pruned, error) {
	known := func(id messages.InstanceID) bool { return s.entries.see(id) != nil }
	archived, err := s.config.Archive.Archived(known)
	errs := []error{err}
	list := []messages.Pruned{}
	passed := func(id messages.InstanceID) bool { return known(id) || !due(id, archived[id]) }
	for ids := range slices.Chunk(slices.DeleteFunc(slices.Sorted(maps.Keys(archived)), passed), batch) {
		ids = slices.DeleteFunc(ids, known) // it may have come back by now
		failed := s.config.Archive.Discard(ctx, ids)
		for _, id := range ids {
			var kept *messages.KeptError
			switch err := failed[id]; {
			case err == nil:
				list = append(list, messages.Pruned{ID: id})
				s.tell(messages.Event{At: time.Now(), What: messages.OutputRemoved, ID: id, By: by,
					Why: fmt.Sprintf("it is known no more, and nothing of it has changed since %s",
						archived[id].UTC().Format(time.RFC3339))})
			case errors.As(err, &kept):
				list = append(list, messages.Pruned{ID: id, Kept: kept.Why})
			default:
				errs = append(errs, fmt.Errorf("%s: %w", id, err))
			}
		}
	}
	return list, errors.Join(errs...)
}
