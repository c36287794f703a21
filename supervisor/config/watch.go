package config

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	pollBlind  = 2 * time.Second  // while some directory cannot be watched
	pollSafety = 30 * time.Second // else; it sees what no watch does: the rename of a directory further up, a network file system
)

// watcher says when one of some files may have changed. Apart from want, everything belongs to the goroutine of run.
type watcher struct {
	log     *slog.Logger
	fs      *fsnotify.Watcher // nil: there is none, only polling
	want    chan []string     // the files to watch from now on; the newest counts
	touched chan<- struct{}
	blind   time.Duration // see pollBlind

	files  []string
	places []string // see trail
	print  string   // of places
	blank  bool     // a directory is not watched
	warned bool
}

// run watches until ctx ends, and gives up what it holds.
func (w *watcher) run(ctx context.Context) {
	events, errs := make(<-chan fsnotify.Event), make(<-chan error)
	if w.fs != nil {
		events, errs = w.fs.Events, w.fs.Errors
		defer func() { _ = w.fs.Close() }() // fails never: the signature is for other systems
	}
	for {
		poll := time.NewTimer(w.interval())
		select {
		case <-ctx.Done():
			poll.Stop()
			return
		case w.files = <-w.want:
			w.look()
		case e := <-events:
			w.got(e)
		case err := <-errs:
			// Most likely an overflow of the queue: anything may have happened.
			w.log.Warn("watching the configuration", "error", err)
			w.look()
			signal(w.touched)
		case <-poll.C:
			w.look()
		}
		poll.Stop()
	}
}

func (w *watcher) interval() time.Duration {
	if w.blank {
		return w.blind
	}
	return pollSafety
}

func (w *watcher) got(e fsnotify.Event) {
	isPlace := slices.Contains(w.places, e.Name)
	isDir := slices.ContainsFunc(w.places, func(p string) bool { return filepath.Dir(p) == e.Name })
	if !isPlace && !isDir {
		return
	}
	if isDir && e.Has(fsnotify.Remove|fsnotify.Rename) {
		// What comes to this path later is another directory, and the watch would stay with the old one.
		w.unwatch(e.Name)
	}
	w.look()
	signal(w.touched)
}

// look finds out where the files are now, watches there, and says so if something changed since the last look: between
// a change and the watch on its directory nothing is told.
func (w *watcher) look() {
	w.places = nil
	for _, f := range w.files {
		w.places = append(w.places, trail(f)...)
	}
	w.follow()
	if print := fingerprint(w.places); print != w.print {
		if w.print != "" {
			signal(w.touched)
		}
		w.print = print
	}
}

// follow makes the watched directories those of the places.
func (w *watcher) follow() {
	w.blank = w.fs == nil
	if w.fs == nil {
		return
	}
	var dirs []string
	for _, p := range w.places {
		dirs = append(dirs, filepath.Dir(p))
	}
	for _, old := range w.fs.WatchList() {
		if !slices.Contains(dirs, old) {
			w.unwatch(old)
		}
	}
	for _, dir := range dirs {
		if err := w.fs.Add(dir); err != nil {
			w.blank = true
			w.warn(err)
		}
	}
}

func (w *watcher) unwatch(dir string) {
	// The only error is that it is not watched (any more).
	_ = w.fs.Remove(dir)
}

func (w *watcher) warn(err error) {
	if !w.warned {
		w.warned = true
		w.log.Warn("the configuration cannot be watched; looking at it again and again instead", "every", w.blind.String(), "error", err)
	}
}
