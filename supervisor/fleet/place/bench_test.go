package place

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

const (
	manyHosts     = 1000
	manyInstances = 1_000_000
)

// many returns the view of host-0: a thousand hosts and a million instances, assigned where they rank first or not at
// all.
func many(b *testing.B, assigned bool) *Fleet {
	b.Helper()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f := New("host-0", pace)
	for n := range manyHosts {
		f.SetMember(Member{Name: fmt.Sprint("host-", n), Incarnation: "1", Created: int64(n + 1)}, 0)
	}
	for n := range manyInstances {
		id := fmt.Sprint("application-", n)
		f.SetSpec(Spec{ID: id, Movable: true, Fenced: true}, 0)
		if assigned {
			f.SetAssignment(Assignment{id, fmt.Sprint("host-", n%manyHosts), "1", false, int64(n + 1)}, 0)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := float64(after.HeapAlloc-before.HeapAlloc) / manyInstances
	b.Cleanup(func() { b.ReportMetric(each, "B/instance") })
	return f
}

// A host is lost, and is back before anything was claimed.
func BenchmarkTheLossOfAHost(b *testing.B) {
	f := many(b, true)
	b.ReportAllocs()
	b.ResetTimer()
	for n := range b.N {
		name := fmt.Sprint("host-", 1+n%(manyHosts-1))
		f.RemoveMember(name, sec)
		claims := f.Decide(sec, up).Claims
		b.StopTimer()
		for _, c := range claims {
			f.Refused(c.ID)
		}
		f.SetMember(Member{Name: name, Incarnation: "1"}, sec)
		b.StartTimer()
	}
	runtime.KeepAlive(f)
}

// Half of the hosts are lost at once.
func BenchmarkTheLossOfFiveHundredHosts(b *testing.B) {
	f := many(b, true)
	b.ResetTimer()
	for range b.N {
		for n := range manyHosts / 2 {
			f.RemoveMember(fmt.Sprint("host-", 500+n), sec)
		}
		claims := f.Decide(sec, up).Claims
		b.StopTimer()
		for _, c := range claims {
			f.Refused(c.ID)
		}
		for n := range manyHosts / 2 {
			f.SetMember(Member{Name: fmt.Sprint("host-", 500+n), Incarnation: "1"}, sec)
		}
		b.StartTimer()
	}
	runtime.KeepAlive(f)
}

// Nothing is assigned yet. At the first turn a host looks for what it ranks first for, later for what it is next for.
func BenchmarkTheFirstDecision(b *testing.B) {
	f := many(b, false)
	for _, turn := range []int{0, 1, 10} {
		b.Run(fmt.Sprint("turn ", turn), func(b *testing.B) {
			for range b.N {
				claims := f.Decide(time.Duration(turn)*pace.Pause, up).Claims
				b.StopTimer()
				b.ReportMetric(float64(len(claims)), "claims")
				for _, c := range claims {
					f.Refused(c.ID)
				}
				b.StartTimer()
			}
		})
	}
	runtime.KeepAlive(f)
}

func BenchmarkNothingHasChanged(b *testing.B) {
	f := many(b, true)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		f.Decide(sec, up)
	}
}

func BenchmarkWhy(b *testing.B) {
	f := many(b, false)
	b.ResetTimer()
	for range b.N {
		f.Why("application-17", sec)
	}
}

func BenchmarkScore(b *testing.B) {
	x := uint64(1)
	for range b.N {
		x = score(x, 12345)
	}
	if x == 0 {
		b.Fail()
	}
}
