package config

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"

	"procman/actors/record"
)

const (
	pollBlind = 2 * time.Second // while some directory cannot be watched
	// while it lies where others than this host may change it, as on a network file system
	pollSafety = 30 * time.Second
	pollSure   = 10 * time.Minute // else; it sees what no watch does: a file system that is mounted over it
	// after an event: a thousand fragments that are written at once are looked at once
	lookSoon = 20 * time.Millisecond
)

// sights are what is to be watched: files, and directories for the fragments in them. Paths are absolute.
type sights struct{ files, dirs []string }

// watcher says when one of some files may have changed. Apart from want, everything belongs to the goroutine of run.
type watcher struct {
	log     *slog.Logger
	what    string            // is watched, for a person; empty: the configuration
	tells   bool              // it says so once it watches what is new: who wants it looked before
	fs      *fsnotify.Watcher // nil: there is none, only polling
	names   *record.Names     // nil: there is none
	want    chan sights       // what to watch from now on; the newest counts
	touched chan<- struct{}
	blind   time.Duration // see pollBlind

	sights sights
	places map[string]bool // see trail
	within map[string]bool // the directories of which every fragment is a place
	dirs   map[string]bool // those of all places: what is watched
	print  string          // of all of it
	blank  bool            // a directory is not watched
	sure   bool            // the kernel tells of all that can happen on the way to them, too
	due    time.Time       // when to look because of an event; zero: there was none
	told   bool            // it was signalled when it came: the pause that is waited for begins then
	warned bool
}

// run watches until ctx ends, and gives up what it holds.
func (w *watcher) run(ctx context.Context) {
	events, errs := make(<-chan fsnotify.Event), make(<-chan error)
	if w.fs != nil {
		events, errs = w.fs.Events, w.fs.Errors
		defer func() { _ = w.fs.Close() }() // fails never: the signature is for other systems
	}
	defer func() { _ = w.names.Close() }() // nothing is in it
	for {
		poll := time.NewTimer(w.interval())
		select {
		case <-ctx.Done():
			poll.Stop()
			return
		case w.sights = <-w.want:
			w.look()
			if w.tells {
				signal(w.touched)
			}
		case e := <-events:
			w.got(e)
		case <-w.names.Changed():
			if w.due.IsZero() {
				w.due = time.Now().Add(lookSoon)
			}
			w.told = false
		case err := <-errs:
			// Most likely an overflow of the queue: anything may have happened.
			w.log.Warn("watching "+w.name(), "error", err)
			w.look()
			signal(w.touched)
		case <-poll.C:
			w.look()
		}
		poll.Stop()
	}
}

func (w *watcher) interval() time.Duration {
	switch {
	case !w.due.IsZero():
		return max(0, time.Until(w.due))
	case w.blank:
		return w.blind
	case w.sure:
		return pollSure
	}
	return pollSafety
}

func (w *watcher) got(e fsnotify.Event) {
	isDir := w.dirs[e.Name]
	isFragment := w.within[filepath.Dir(e.Name)] && fragmentName(filepath.Base(e.Name))
	if !w.places[e.Name] && !isDir && !isFragment {
		return
	}
	if isDir && e.Has(fsnotify.Remove|fsnotify.Rename) {
		// What comes to this path later is another directory, and the watch would stay with the old one.
		w.unwatch(e.Name)
	}
	if w.due.IsZero() {
		w.due, w.told = time.Now().Add(lookSoon), true
	}
	signal(w.touched)
}

// look finds out where everything is now, watches there, and says so if something changed since the last look: between
// a change and the watch on its directory nothing is told. What an event has told is not said again.
func (w *watcher) look() {
	s := sight{}
	told := w.told
	w.due, w.told = time.Time{}, false
	w.places, w.within, w.dirs = map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, path := range slices.Concat(w.sights.files, w.sights.dirs) {
		for _, place := range s.trail(path) {
			w.places[place] = true
			w.dirs[filepath.Dir(place)] = true
		}
	}
	for _, dir := range w.sights.dirs {
		places := s.trail(dir)
		if end := places[len(places)-1]; s.isDir(end) {
			w.within[end], w.dirs[end] = true, true
		}
	}
	anew := w.follow()
	print := s.fingerprint(slices.Sorted(maps.Keys(w.places)), slices.Sorted(maps.Keys(w.within)))
	if print != w.print {
		if w.print != "" && (anew || !told) {
			signal(w.touched)
		}
		w.print = print
	}
}

// follow makes the watched directories those of the places, and reports whether not all of them were watched before.
func (w *watcher) follow() (anew bool) {
	w.blank = w.fs == nil
	if w.fs == nil {
		return true
	}
	watched := w.fs.WatchList()
	for _, old := range watched {
		if !w.dirs[old] {
			w.unwatch(old)
		}
	}
	for dir := range w.dirs {
		anew = anew || !slices.Contains(watched, dir)
		if err := w.fs.Add(dir); err != nil {
			w.blank = true
			w.warn(err)
		}
	}
	dirs := slices.Collect(maps.Keys(w.dirs))
	w.sure = w.names.Follow(dirs...) == nil && !slices.ContainsFunc(dirs,
		func(dir string) bool { return !record.Local(dir) })
	return anew || w.blank
}

func (w *watcher) unwatch(dir string) {
	// The only error is that it is not watched (any more).
	_ = w.fs.Remove(dir)
}

func (w *watcher) warn(err error) {
	if !w.warned {
		w.warned = true
		w.log.Warn(w.name()+" cannot be watched; looking at it again and again instead", "every", w.blind.String(),
			"error", err)
	}
}

func (w *watcher) name() string { return cmp.Or(w.what, "the configuration") }
