package api

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"procman/actors/record"
	"procman/messages"
	"procman/supervisor"
)

// outdatedPatience is how long the files of instances are waited for before nothing is said of them.
const outdatedPatience = time.Second

// outdated says of each status which files of the instance are newer than its process. It is found out when somebody asks, and
// not said where a file system does not answer.
func (s *Server) outdated(ctx context.Context, all []messages.Status) {
	apps := make([]*messages.AppInstance, len(all))
	for n := range all {
		if all[n].PID != 0 && all[n].StartedAt != nil {
			apps[n] = s.options.Supervisor.App(all[n].ID)
		}
	}
	if s.disk.Stalled(outdatedPatience) != nil {
		return // nobody else waits for it
	}
	found := make([]messages.WordList, len(all)) // of its own: it may be left
	since := make([]time.Time, len(all))
	for n := range all {
		if apps[n] != nil {
			since[n] = *all[n].StartedAt
		}
	}
	left, err := s.disk.Do(ctx, outdatedPatience, func() error {
		changed := map[string]time.Time{}
		for n, app := range apps {
			if app == nil {
				continue
			}
			files := supervisor.FilesOf(app)
			var words []string
			for _, word := range slices.Sorted(maps.Keys(files)) {
				at, looked := changed[files[word]]
				if !looked {
					mark, _ := record.MarkOf(files[word]) // one that is not there is not newer
					at = mark.Changed
					changed[files[word]] = at
				}
				if at.After(since[n]) {
					words = append(words, word)
				}
			}
			found[n] = messages.WordList(strings.Join(words, " "))
		}
		return nil
	}, nil)
	if left || err != nil {
		return
	}
	for n := range all {
		all[n].Outdated = found[n]
	}
}
