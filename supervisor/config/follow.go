package config

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"procman/actors/record"
)

// Follow says on changed that one of some files may be another one by now, a pause after it has begun to change, and
// after mostly ten such pauses in any case. Which files, files says, the newest word; paths are absolute. Directories
// are watched, and whatever a path leads through. It returns when ctx ends.
func Follow(ctx context.Context, log *slog.Logger, pause time.Duration, files <-chan []string,
	changed chan<- struct{}) {
	touched := make(chan struct{}, 1)
	w := &watcher{log: log, what: "the files of instances", tells: true, want: make(chan sights, 1), touched: touched,
		blind: pollBlind}
	var err error
	if w.fs, err = fsnotify.NewWatcher(); err != nil {
		w.fs = nil
		w.warn(err)
	}
	w.names, _ = record.NewNames() // nil: it is looked at again and again
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { w.run(ctx) })
	running.Go(func() {
		debounce(ctx, touched, changed, pace{quiet: pause, most: 10 * pause, writing: func() bool { return false }})
	})
	for {
		select {
		case <-ctx.Done():
			return
		case list := <-files:
			select {
			case <-w.want:
			default:
			}
			w.want <- sights{files: list}
		}
	}
}
