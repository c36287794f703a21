package spawn

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"procman/actors/kernel"
)

// storeName is what the handle of a run is called in the store: 64 bits of its tag in 11 characters. All names are
// handed to the next manager in one variable, of which the kernel takes 128 KiB: with more it could not be started at
// all.
func storeName(tag string) string {
	bits, err := hex.DecodeString(tag)
	if err != nil || len(bits) < 8 {
		return tag // none of ours: it is as long as it is
	}
	return base64.RawURLEncoding.EncodeToString(bits[:8])
}

// kept returns the handle that an earlier manager stored of the run with that tag: no other process can ever be meant
// by it, and it tells the exit status also when init has reaped the process. It is nil if there is none.
func (s *Spawner) kept(tag string) (*kernel.Pidfd, error) {
	s.mu.Lock()
	name := storeName(tag)
	f := s.stored[name]
	delete(s.stored, name)
	s.mu.Unlock()
	if f == nil {
		return nil, nil
	}
	defer f.Close()
	fd, err := kernel.DupPidfd(f)
	if err != nil {
		return nil, fmt.Errorf("the handle of run %s: %w", tag, err)
	}
	return fd, nil
}

// put stores the handle of the process, for a later manager.
func (p *process) put() {
	if p.home.store == nil {
		return
	}
	err := p.fd.Do(func(fd int) error { return p.home.store.Put(storeName(p.tag), uintptr(fd)) })
	if err != nil {
		p.home.log.Warn("a process handle could not be stored", "instance", string(p.id), "pid", p.pid, "error", err,
			"consequence", "if the process ends while no manager lives, its exit status is unknown")
	}
}

// remove takes the handle of a process that has ended out of the store.
func (p *process) remove() {
	if p.home.store == nil {
		return
	}
	if err := p.home.store.Remove(storeName(p.tag)); err != nil {
		p.home.log.Warn("a stored process handle could not be removed", "instance", string(p.id), "pid", p.pid,
			"error", err)
	}
}

// tidy removes from the store what no process of ours has: of each that has ended since its handle was stored, and of
// what is on no record. Dead handles would gather there, until the next manager has not enough descriptors to be
// started with. Every process that lives must be known.
func (s *Spawner) tidy() {
	s.mu.Lock()
	given := s.given
	s.given = nil
	known := slices.Collect(maps.Values(s.table))
	s.mu.Unlock()
	live := map[string]bool{}
	for _, i := range known {
		if p := i.live(); p != nil {
			live[storeName(p.tag)] = true
		}
	}
	for _, name := range given {
		if live[name] {
			continue
		}
		s.mu.Lock()
		f := s.stored[name]
		delete(s.stored, name)
		s.mu.Unlock()
		if f != nil {
			_ = f.Close() // the store has its own
		}
		if s.store == nil {
			continue
		}
		if err := s.store.Remove(name); err != nil {
			s.log.Warn("a process handle that nobody needs could not be removed", "name", name, "error", err)
		}
	}
}
