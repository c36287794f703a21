package spawn

import (
	"cmp"
	"os"
	"slices"
	"time"

	"procman/messages"
)

// Remain looks at the host and returns what lives of runs that this Spawner does not watch any more, by instance: what
// was left by policy, and what holds the lock of an instance that has no process. It does not name those of runs that
// go on, nor those whose instance is in doubt.
func (s *Spawner) Remain() (map[messages.InstanceID][]messages.Member, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	if err := s.readings.after(time.Now()); err != nil {
		return nil, err
	}
	s.mu.Lock()
	known := make([]*instance, 0, len(s.table))
	for _, i := range s.table {
		known = append(known, i)
	}
	s.mu.Unlock()
	passed := map[messages.InstanceID]bool{}
	found := map[messages.InstanceID]map[int]messages.Member{}
	add := func(id messages.InstanceID, pid int) {
		x, err := s.proc.Stat(pid)
		if err != nil || passed[id] || pid == os.Getpid() || x.Zombie() && !s.proc.Threads(pid) {
			return
		}
		if found[id] == nil {
			found[id] = map[int]messages.Member{}
		}
		found[id][pid] = messages.Member{PID: pid, Name: x.Name}
	}
	for _, i := range known {
		p := i.process()
		if i.doubts() != nil || p != nil && !p.ended() {
			passed[i.id] = true
			continue
		}
		if p != nil {
			for _, x := range p.others() {
				add(i.id, x.PID)
			}
		}
		if !s.unlocked(i.id) {
			for _, pid := range s.proc.Holders(s.dir.InstanceLock(i.id)) {
				add(i.id, pid)
			}
		}
	}
	for _, id := range s.cgroups.AllLeft() {
		for _, c := range s.cgroups.Left(id) {
			for _, x := range s.leftIn(id, c).others() {
				add(id, x.PID)
			}
		}
	}
	ours := s.oursByName()
	for pid, x := range s.census.tagged() {
		if x.Tag != "" && x.ID.Validate() == nil && ours(x.Dir) {
			add(x.ID, pid)
		}
	}
	remain := make(map[messages.InstanceID][]messages.Member, len(found))
	for id, members := range found {
		for _, m := range members {
			remain[id] = append(remain[id], m)
		}
		slices.SortFunc(remain[id], func(a, b messages.Member) int { return cmp.Compare(a.PID, b.PID) })
	}
	return remain, nil
}
