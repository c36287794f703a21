package plan

import (
	"time"

	"procman/messages"
)

// restore takes up what a predecessor left.
func restore(m *move, e Event) {
	mem, found := e.(Survivor).Memory, e.(Survivor).Found
	counted := found == nil || found.Run < mem.Run || found.Run == mem.Run && mem.Exited
	m.restored = true
	m.Run, m.Starts, m.Spec, m.LastExit = mem.Run, mem.Starts, mem.Spec, mem.LastExit
	m.Attempts, m.counted, m.Rule = mem.Attempts, mem.Counted, mem.Rule
	m.left = mem.Stop
	if found != nil && found.Run > mem.Run {
		m.Run, m.Spec, m.counted = found.Run, found.SpecHash, false
		mem.StopAs, mem.HealthySince = "", time.Time{}
	}
	if found != nil && found.Run == m.Run && !m.counted {
		m.Starts, m.counted = m.Starts+1, true
	}
	if found != nil && found.Alive && (found.Unclear == "" || !counted) && !(counted && found.Outlived) {
		// or they were left by policy
		m.survive(mem, *found)
		return
	}
	switch {
	case mem.Rebooted:
		// Nothing lives over a reboot, and nothing is owed either: what is wanted starts afresh.
		m.Attempts, m.restored = 0, false
	case !counted && mem.StopAs != "":
		m.Phase, m.StopAs, m.Reason, m.HealthySince = messages.Stopping, mem.StopAs, mem.Reason, mem.HealthySince
		m.conclude(messages.Exited{Exit: found.Exit}, mem.StopAs)
		m.finish()
	case !counted:
		m.Phase, m.HealthySince = messages.Starting, mem.HealthySince
		exited(m, Exited{Exit: found.Exit})
	default:
		switch mem.Phase {
		case messages.Backoff, messages.Starting, messages.Running, messages.Stopping:
			// In the last three it died between the decision and the deed: there is no run to count.
			if mem.StopAs != "" {
				m.restored = false
				return
			}
			m.to(messages.Backoff, mem.Reason)
			m.DueAt = mem.DueAt
			if m.DueAt.After(m.now) {
				m.act(Arm{At: m.DueAt})
			}
		case messages.Failed, messages.Stopped:
			m.to(mem.Phase, mem.Reason)
			m.restored = mem.Phase == messages.Failed || mem.Reason != ""
		}
	}
}

// survive adopts a live run, and goes on stopping it if that had begun.
func (m *move) survive(mem messages.Memory, found messages.Survivor) {
	m.Run, m.PID, m.Port, m.StartedAt, m.Spec = found.Run, found.PID, found.Port, found.StartedAt, found.SpecHash
	m.Adopted = true
	if mem.Run == found.Run {
		m.HealthySince = mem.HealthySince // what is remembered of one run is never said of another
	}
	m.adopt()
	if found.Unclear != "" {
		m.PID, m.Port, m.StartedAt = 0, 0, time.Time{}
		m.Doubt, m.Reason = found.Unclear, "waits: "+found.Unclear
	}
	if mem.StopAs != "" && mem.Run == found.Run {
		m.resumeStop(mem.StopAs, mem.Reason, mem.KillAt)
	}
}
