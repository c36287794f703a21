package main

import (
	"slices"
	"sync"

	"procman/messages"
)

const (
	// oldSecrets is how many values of earlier lists are remembered of an instance: a process that was started with them
	// may live on, and what it wrote is kept.
	oldSecrets = 64
	// missedLists is for how many lists an instance may be missing before its values are forgotten: it is still ending.
	missedLists = 16
)

// secrets are the values that must not show in what instances say, by instance. The zero value is ready, and safe for
// concurrent use.
type secrets struct {
	mu sync.RWMutex
	of map[messages.InstanceID]*remembered
}

// remembered is what is hidden of one instance.
type remembered struct {
	values []string // the newest first
	masker *messages.Masker
	missed int
}

// learn takes the values of a list up.
func (s *secrets) learn(list []messages.AppInstance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = map[messages.InstanceID]*remembered{}
	}
	for _, r := range s.of {
		r.missed++
	}
	for _, app := range list {
		r := s.of[app.InstanceID]
		if r == nil {
			if len(app.Secrets) == 0 {
				continue
			}
			r = &remembered{}
			s.of[app.InstanceID] = r
		}
		r.missed = 0
		r.add(app.SecretValues())
	}
	for id, r := range s.of {
		if r.missed > missedLists {
			delete(s.of, id)
		}
	}
}

func (r *remembered) add(newest []string) {
	values := slices.Clone(newest)
	for _, v := range r.values {
		if !slices.Contains(newest, v) && len(values) < len(newest)+oldSecrets {
			values = append(values, v)
		}
	}
	if !slices.Equal(values, r.values) {
		r.values, r.masker = values, messages.NewMasker(values)
	}
}

// mask returns what hides the secrets of an instance; nil if there are none. It is quick.
func (s *secrets) mask(id messages.InstanceID) *messages.Masker {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if r := s.of[id]; r != nil {
		return r.masker
	}
	return nil
}
