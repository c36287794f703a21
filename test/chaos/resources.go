package chaos

import "time"

// Usage is what a daemon uses of its host.
type Usage struct {
	Descriptors int
	Threads     int
	Goroutines  int
	Resident    int64 // bytes
}

// Allowance is how much more than before a daemon may use when all is quiet again. Threads and memory of a Go program
// come and go with its scheduler and its collector; descriptors do not.
type Allowance struct {
	Descriptors int
	Threads     int
	Goroutines  int
	Resident    int64
}

// Settled is I8: with the same instances, and all quiet, the daemon uses no more than it did before.
func Settled(before, after Usage, more Allowance) (v violations) {
	if after.Descriptors > before.Descriptors+more.Descriptors {
		v.add("I8", "the daemon has %d descriptors, before it had %d", after.Descriptors, before.Descriptors)
	}
	if after.Threads > before.Threads+more.Threads {
		v.add("I8", "the daemon has %d threads, before it had %d", after.Threads, before.Threads)
	}
	if after.Goroutines > before.Goroutines+more.Goroutines {
		v.add("I8", "the daemon has %d goroutines, before it had %d", after.Goroutines, before.Goroutines)
	}
	if after.Resident > before.Resident+more.Resident {
		v.add("I8", "the daemon has %d KiB in memory, before it had %d", after.Resident>>10, before.Resident>>10)
	}
	return v
}

// Zombie is a child of the daemon that was seen as a zombie.
type Zombie struct {
	Process
	Last int64         // when it was seen last; CLOCK_MONOTONIC
	Age  time.Duration // for how long it was one, at the least
}

// See counts a look at a zombie. Where the looks themselves are late, nobody had a processor: that does not count in
// full.
func (z Zombie) See(now int64) Zombie {
	z.Age += min(time.Duration(now-z.Last), 50*time.Millisecond)
	z.Last = now
	return z
}

// NoZombies is I10: no child of the daemon stays a zombie for longer than a second.
func NoZombies(zombies []Zombie) (v violations) {
	for _, z := range zombies {
		if z.Age > time.Second {
			v.add("I10", "child %d of the daemon has been a zombie for %v", z.PID, z.Age)
		}
	}
	return v
}
