package member

import (
	"fmt"
	"time"
)

// What the parts of a schedule need at least, whatever the TTL.
const (
	// leastRenew keeps a fleet from asking its store more often than is any use: a lease is counted in seconds.
	leastRenew = 500 * time.Millisecond
	// settling is what the root needs beyond the grace: to hear of it, and for a process that was sent KILL to be gone.
	settling = time.Second
	// leastMargin is what the leash needs, in front of the end of the lease: to be woken, to kill and to see them gone.
	leastMargin = 500 * time.Millisecond
	// renewals is how many fall due before fenced runs are ended for the want of an answer.
	renewals = 3
)

// Schedule is what happens how long after the newest renewal that was answered was sent, but for Renew, which is the
// pace of renewals. Renew < Suspect < Yield < Kill < Deadline < TTL.
type Schedule struct {
	TTL, Grace time.Duration
	Renew      time.Duration
	Suspect    time.Duration // it is said
	Yield      time.Duration // fenced instances leave the list
	Kill       time.Duration // the leash kills what is fenced and lives
	Deadline   time.Duration // nothing fenced may live any more; the store's clock may go 1 % faster than ours
}

// NewSchedule derives a schedule from a lease's TTL and the grace that fenced instances get in a partition. An error
// says which key of the configuration to change, and to what.
func NewSchedule(ttl, grace time.Duration) (Schedule, error) {
	s := Schedule{TTL: ttl, Grace: grace}
	switch {
	case ttl <= 0:
		return s, fmt.Errorf("fleet.ttl is %v: it must be at least %v", ttl, least(max(grace, 0)))
	case ttl%time.Second != 0:
		return s, fmt.Errorf("fleet.ttl is %v: a lease is counted in whole seconds, say %v",
			ttl, ttl.Truncate(time.Second)+time.Second)
	case grace < 0:
		return s, fmt.Errorf("fleet.grace is %v: it cannot be negative; 0s is KILL at once", grace)
	}
	s.Deadline = ttl - ttl/100
	s.Kill = ttl - max(leastMargin, ttl/20)
	s.Yield = s.Kill - settling - grace
	s.Renew = s.Yield / renewals
	s.Suspect = s.Yield - s.Renew
	if s.Renew < leastRenew {
		return s, fmt.Errorf("fleet.ttl %v leaves no time to renew the lease beside fleet.grace %v: "+
			"set fleet.ttl to %v or more%s", ttl, grace, least(grace), orLess(ttl))
	}
	return s, nil
}

// least is the shortest TTL that fits the grace.
func least(grace time.Duration) time.Duration {
	for ttl := grace.Truncate(time.Second) + time.Second; ; ttl += time.Second {
		if ttl-max(leastMargin, ttl/20)-settling-grace >= renewals*leastRenew {
			return ttl
		}
	}
}

// orLess names the grace that fits the TTL, if there is one.
func orLess(ttl time.Duration) string {
	most := ttl - max(leastMargin, ttl/20) - settling - renewals*leastRenew
	if most < 0 {
		return ""
	}
	return fmt.Sprintf(", or fleet.grace to %v or less", most)
}
