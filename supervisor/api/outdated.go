package api

import (
	"context"
	"strings"
	"sync"
	"time"

	"procman/actors/record"
	"procman/messages"
	"procman/supervisor"
)

const (
	// outdatedPatience is how long the files of instances are waited for before nothing is said of them.
	outdatedPatience = time.Second
	// agesFor is how long is remembered when a file has changed: whoever asks again and again looks no more often than
	// that.
	agesFor = time.Second
)

// fileWords are those of the files that a process is made of, in the order in which they are said.
var fileWords = [...]string{messages.ExecutableFile, messages.WasmFile}

// fileName is what an instance calls a file. Instances that call it the same mean the same.
type fileName struct{ dir, name string }

// filesOf are the names of the files of an instance, in the order of fileWords; empty ones are none. It is asked of
// each instance at each status, and so asks no file system.
func filesOf(app *messages.AppInstance) (names [len(fileWords)]fileName) {
	names[0].name = app.Executable
	if app.HasModule() {
		names[1] = fileName{app.WorkDir, app.WasmPath}
	}
	return names
}

// fileAges remembers when files changed last.
type fileAges struct {
	mu      sync.Mutex
	since   time.Time
	changed map[fileName]time.Time
}

// unknown returns one instance for each file of which nothing is remembered.
func (f *fileAges) unknown(now time.Time, apps []*messages.AppInstance) map[fileName]*messages.AppInstance {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Sub(f.since) >= agesFor || f.changed == nil {
		f.since, f.changed = now, map[fileName]time.Time{}
	}
	var of map[fileName]*messages.AppInstance
	for _, app := range apps {
		if app == nil {
			continue
		}
		for _, name := range filesOf(app) {
			if _, known := f.changed[name]; known || name.name == "" {
				continue
			}
			if of == nil {
				of = map[fileName]*messages.AppInstance{}
			}
			of[name] = app
		}
	}
	return of
}

// lookAt looks at files.
func lookAt(of map[fileName]*messages.AppInstance) map[fileName]time.Time {
	changed := make(map[fileName]time.Time, len(of))
	for name, app := range of {
		paths := supervisor.FilesOf(app)
		for n, its := range filesOf(app) {
			if its == name {
				mark, _ := record.MarkOf(paths[fileWords[n]]) // one that is not there is not newer
				changed[name] = mark.Changed
			}
		}
	}
	return changed
}

// outdated says of each status which files of the instance are newer than its process. It is found out when somebody
// asks, at most once a second for each file, and not said where a file system does not answer.
func (s *Server) outdated(ctx context.Context, all []messages.Status) {
	apps := make([]*messages.AppInstance, len(all))
	for n := range all {
		if all[n].PID != 0 && all[n].StartedAt != nil {
			apps[n] = s.options.Supervisor.App(all[n].ID)
		}
	}
	if of := s.ages.unknown(time.Now(), apps); of != nil {
		if s.disk.Stalled(outdatedPatience) != nil {
			return // nobody else waits for it
		}
		found := make(chan map[fileName]time.Time, 1) // it may be left
		left, err := s.disk.Do(ctx, outdatedPatience, func() error {
			found <- lookAt(of)
			return nil
		}, nil)
		if left || err != nil {
			return
		}
		s.ages.learn(<-found)
	}
	s.ages.mu.Lock()
	defer s.ages.mu.Unlock()
	for n, app := range apps {
		if app == nil {
			continue
		}
		var words []string
		for w, name := range filesOf(app) {
			if s.ages.changed[name].After(*all[n].StartedAt) {
				words = append(words, fileWords[w])
			}
		}
		all[n].Outdated = messages.WordList(strings.Join(words, " "))
	}
}

func (f *fileAges) learn(found map[fileName]time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, at := range found {
		f.changed[name] = at
	}
}
