package member

import "time"

// eachTime calls f for every time in the world that is set.
func eachTime(w *world, f func(*time.Duration)) {
	set := func(t *time.Duration) {
		if *t != 0 {
			f(t)
		}
	}
	record := func(r *Record) {
		if r.Lease != 0 {
			kill, deadline := r.KillAt-r.Renewed, r.Deadline-r.Renewed
			f(&r.Renewed)
			r.KillAt, r.Deadline = r.Renewed+kill, r.Renewed+deadline
		}
	}
	for h := range w.hosts {
		x := &w.hosts[h]
		for _, t := range []*time.Duration{&x.m.Since, &x.m.Renewed, &x.m.Answered, &x.m.Writing, &x.m.Sent,
			&x.m.LeashAt, &x.m.JoinAt, &x.m.EndBy} {
			set(t)
		}
		for n := range 2 {
			set(&x.out[n].t0)
			set(&w.leases[h][n].expires)
			record(&x.writes[n])
		}
		set(&x.in[0].t0)
		record(&x.disk)
	}
}

// eachID calls f for every lease of the host in the world, which is its incarnation as well.
func eachID(w *world, h int, f func(*int8)) {
	x := &w.hosts[h]
	through := func(l *Lease, inc *string) {
		id := int8(*l)
		f(&id)
		*l, *inc = Lease(id), incarnations[id]
	}
	for n := range 2 {
		f(&w.leases[h][n].id)
		f(&x.out[n].lease)
		through(&x.writes[n].Lease, &x.writes[n].Incarnation)
	}
	f(&x.in[0].lease)
	f(&w.keys[h])
	f(&x.run)
	f(&x.forking)
	through(&x.disk.Lease, &x.disk.Incarnation)
	through(&x.m.Lease, &x.m.Incarnation)
	if w.holder == int8(h+1) {
		f(&w.inc)
	}
}

func eachEpoch(w *world, f func(*int8)) {
	f(&w.epoch)
	for h := range w.hosts {
		x := &w.hosts[h]
		f(&x.epoch)
		f(&x.in[0].epoch)
		for n := range 2 {
			f(&x.out[n].epoch)
		}
	}
}

// renaming gives out names in the order of their first use. 0 stays.
func renaming() func(*int8) {
	names := [16]int8{}
	next := int8(1)
	return func(id *int8) {
		if *id == 0 {
			return
		}
		if names[*id] == 0 {
			names[*id] = next
			next++
		}
		*id = names[*id]
	}
}

// fold maps equal futures to equal values.
func fold(w *world) {
	eachTime(w, func(t *time.Duration) { *t = max(*t, longAgo) })
	for h := range w.hosts {
		x := &w.hosts[h]
		x.m.Sent = max(x.m.Sent, min(x.m.Sent, 1)*(present-sec))
		for n := range 2 {
			if p := &x.out[n]; p.kind == renew && p.t0 <= present-3*sec { // its answer counts for nothing
				p.t0 = longAgo
			}
			if l := &w.leases[h][n]; l.id != 0 {
				l.expires = max(l.expires, present)
			}
		}
		if p := &x.in[0]; p.kind == renew && p.t0 <= present-3*sec && !p.bad {
			*p = packet{}
		}
		x.m.Why, x.m.ArmedAt, x.m.Round = "", 0, 1
		if x.m.Leash || x.m.LeashAt < present {
			x.m.LeashAt = 0
		}
		if x.m.Phase != Out || x.m.JoinAt <= present {
			x.m.JoinAt = 0
		}
		if x.m.Phase != Joining && x.m.Step == ending {
			x.m.Since = 0
		}
		if x.hung = x.hung && x.writes[0] != (Record{}); !x.alive {
			x.in[0] = packet{}
		}
		sortPackets(&x.out)
		eachID(w, h, renaming())
	}
	eachEpoch(w, renaming())
}

func sortPackets(p *[2]packet) {
	if p[0].kind < p[1].kind || p[0].kind == p[1].kind && p[0].t0 < p[1].t0 {
		p[0], p[1] = p[1], p[0]
	}
}
