package spawn

import (
	"procman/actors/kernel"
	"procman/messages"
)

// Records returns what tells the newest run of an instance on record in the state directory, by its record or else by
// its lock; nil: none of this boot of the host that can be read. It changes nothing and takes no lock.
func Records(dir messages.StateDir) (newest func(messages.InstanceID) *kernel.Run, boot string, err error) {
	s, err := onlooker(dir)
	if err != nil {
		return nil, "", err
	}
	return func(id messages.InstanceID) *kernel.Run {
		r, _ := s.readRun(id) // what cannot be read is told by the processes
		if r == nil || r.Boot != s.boot {
			return nil
		}
		return runOf(r)
	}, s.boot, nil
}
