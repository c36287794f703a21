package daemon

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	onDisk "procman/actors/record"
	"procman/messages"
	"procman/supervisor"
	"procman/supervisor/config"
)

// renewPause is how long the files of an instance rest before it is restarted for a change of theirs.
const renewPause = time.Second

// tick is by how much the clock by which a file system dates its files may be late: what has changed right after a
// start is not to be taken for what was started.
const tick = 20 * time.Millisecond

// renewal restarts what says restart.on_change when a file of it has become another one. Until an instance says so it
// has no goroutine and watches nothing.
type renewal struct {
	log   *slog.Logger
	pause time.Duration
	with  chan renewed // has the supervisor, once there is one
	lists chan []*messages.AppInstance

	ctx     context.Context
	end     context.CancelFunc
	mu      sync.Mutex
	begun   bool
	running sync.WaitGroup

	marks map[string]onDisk.Mark // of run: what the paths were when they were looked at last
	known map[messages.InstanceID]string
}

// renewed is the supervisor.
type renewed interface {
	Listed() <-chan struct{}
	Lookup(messages.InstanceID) (messages.Status, bool)
	Renew(ctx context.Context, id messages.InstanceID, why string) error
}

func newRenewal(log *slog.Logger, pause time.Duration) *renewal {
	r := &renewal{log: log, pause: pause, with: make(chan renewed, 1), lists: make(chan []*messages.AppInstance, 1),
		marks: map[string]onDisk.Mark{}, known: map[messages.InstanceID]string{}}
	r.ctx, r.end = context.WithCancel(context.Background())
	return r
}

// Close ends it.
func (r *renewal) Close() error {
	r.mu.Lock()
	r.begun = true // nothing begins any more
	r.mu.Unlock()
	r.end()
	r.running.Wait()
	return nil
}

// list takes in what is to run.
func (r *renewal) list(all []*messages.AppInstance) {
	var some []*messages.AppInstance
	for _, app := range all {
		if app.Restart.OnChange != "" && !app.Disabled {
			some = append(some, app)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.begun && len(some) > 0 {
		r.begun = true
		r.running.Go(r.run)
	}
	if r.begun {
		select {
		case <-r.lists:
		default:
		}
		r.lists <- some
	}
}

func (r *renewal) run() {
	var s renewed
	select {
	case s = <-r.with:
	case <-r.ctx.Done():
		return
	}
	select {
	case <-s.Listed(): // what survived is known
	case <-r.ctx.Done():
		return
	}
	files, changed := make(chan []string), make(chan struct{}, 1)
	r.running.Go(func() { config.Follow(r.ctx, r.log, r.pause, files, changed) })
	var apps []*messages.AppInstance
	for {
		select {
		case <-r.ctx.Done():
			return
		case apps = <-r.lists:
			paths := map[string]bool{}
			for _, app := range apps {
				for _, path := range filesOf(app) {
					paths[path] = true
				}
			}
			select {
			case files <- slices.Sorted(maps.Keys(paths)):
			case <-r.ctx.Done():
				return
			}
		case <-changed:
		}
		r.look(s, apps)
	}
}

// filesOf returns the files of which a change restarts the instance, by what they are.
func filesOf(app *messages.AppInstance) map[string]string {
	files := supervisor.FilesOf(app)
	for word := range files {
		if !app.Restart.OnChange.Has(word) {
			delete(files, word)
		}
	}
	return files
}

// look restarts those that are older than their files.
func (r *renewal) look(s renewed, apps []*messages.AppInstance) {
	now, known := map[string]onDisk.Mark{}, map[messages.InstanceID]string{}
	for _, app := range apps {
		var news, paths []string
		files := filesOf(app)
		for _, word := range slices.Sorted(maps.Keys(files)) {
			path := files[word]
			mark, looked := now[path]
			if !looked {
				var there bool
				if mark, there = onDisk.MarkOf(path); !there { // it is being replaced, or removed: what runs runs on
					mark = r.marks[path]
				}
				now[path] = mark
			}
			paths = append(paths, path)
			if r.older(s, app.InstanceID, path, mark) {
				news = append(news, word)
			}
		}
		known[app.InstanceID] = strings.Join(paths, "\x00")
		if len(news) == 0 {
			continue
		}
		why := strings.Join(news, " and ") + " changed"
		var idle messages.ErrNotRunning
		var unknown messages.ErrUnknownInstance
		err := s.Renew(r.ctx, app.InstanceID, why)
		if err != nil && r.ctx.Err() == nil && !errors.As(err, &idle) && !errors.As(err, &unknown) {
			r.log.Warn("an instance is not restarted for a change of its files", "instance", string(app.InstanceID),
				"error", err.Error())
		}
	}
	r.marks, r.known = now, known
}

// older reports whether the process was started before the file became what it is. A path that is looked at for the
// first time counts only if its content was written since: a daemon that comes restarts nothing for a change of
// permissions.
func (r *renewal) older(s renewed, id messages.InstanceID, path string, mark onDisk.Mark) bool {
	was, seen := r.marks[path]
	if !slices.Contains(strings.Split(r.known[id], "\x00"), path) {
		seen = false
	}
	if seen && was.Same(mark) {
		return false
	}
	status, there := s.Lookup(id)
	if !there || status.PID == 0 || status.StartedAt == nil {
		return false
	}
	changed := mark.Changed.Add(tick)
	if !seen {
		changed = mark.Written
	}
	return changed.After(*status.StartedAt) && !changed.After(time.Now().Add(time.Minute))
}
