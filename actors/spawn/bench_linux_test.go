package spawn

import (
	"errors"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/actors"
	"procman/messages"
)

const fleet = 500

// orphans starts a fleet whose manager is killed.
func orphans(b *testing.B, dir messages.StateDir) {
	o := order{Dir: dir}
	for n := range fleet {
		o.Launches = append(o.Launches, messages.Launch{App: sleeper(messages.InstanceID("i" + strconv.Itoa(n))),
			Run: 1})
	}
	predecessor(b, "manager", o).kill()
}

// BenchmarkSurvivors is how long a manager takes to find 500 processes after its predecessor's death.
func BenchmarkSurvivors(b *testing.B) {
	dir := stateDir(b)
	orphans(b, dir)
	for b.Loop() {
		s, err := Open(dir, Options{})
		require.NoError(b, err)
		list, err := s.Survivors(b.Context())
		require.NoError(b, err)
		require.Len(b, list, fleet)
		require.NoError(b, s.Close())
	}
}

// BenchmarkAdopt is how long it takes to find and adopt 500 processes.
func BenchmarkAdopt(b *testing.B) {
	dir := stateDir(b)
	orphans(b, dir)
	for b.Loop() {
		s, err := Open(dir, Options{})
		require.NoError(b, err)
		_, err = s.Survivors(b.Context())
		require.NoError(b, err)
		for n := range fleet {
			_, err := s.Adopt(b.Context(), messages.InstanceID("i"+strconv.Itoa(n)), actors.AnyRun)
			require.NoError(b, err)
		}
		require.NoError(b, s.Close())
	}
}

// BenchmarkAdoptFromRecords is the same without Survivors before.
func BenchmarkAdoptFromRecords(b *testing.B) {
	dir := stateDir(b)
	orphans(b, dir)
	for b.Loop() {
		s, err := Open(dir, Options{})
		require.NoError(b, err)
		for n := range fleet {
			_, err := s.Adopt(b.Context(), messages.InstanceID("i"+strconv.Itoa(n)), actors.AnyRun)
			require.NoError(b, err)
		}
		require.NoError(b, s.Close())
	}
}

func BenchmarkSpawnAndExit(b *testing.B) {
	s := opened(b, stateDir(b))
	app := messages.AppInstance{InstanceID: "a", Executable: "true"}
	for b.Loop() {
		require.Equal(b, "exited with code 0", spawned(b, s, app).Wait().String())
	}
}

// BenchmarkFiveHundredStarts is how long it takes to start 500 processes, as many at once as procman starts by itself,
// with what the root remembers of each; and how long as many syncs of a file take here, to compare with.
func BenchmarkFiveHundredStarts(b *testing.B) {
	for b.Loop() {
		s := opened(b, stateDir(b))
		var starts sync.WaitGroup
		slots := make(chan struct{}, 2*runtime.NumCPU())
		began := time.Now()
		for n := range fleet {
			id := messages.InstanceID("i" + strconv.Itoa(n))
			starts.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				if err := s.Remember(messages.Memory{ID: id, Run: 1, Phase: messages.Starting}); err != nil {
					b.Error(err)
				}
				if _, err := s.Spawn(b.Context(), messages.Launch{App: sleeper(id), Run: 1}); err != nil {
					b.Error(err)
				}
			})
		}
		starts.Wait()
		b.ReportMetric(fleet/time.Since(began).Seconds(), "starts/s")
		f, err := os.Create(b.TempDir() + "/f")
		require.NoError(b, err)
		began = time.Now()
		for range fleet {
			_, err := f.Write([]byte("a record\n"))
			require.NoError(b, errors.Join(err, f.Sync()))
		}
		b.ReportMetric(fleet/time.Since(began).Seconds(), "syncs/s")
		require.NoError(b, f.Close())
		killAll(b, s.dir)
	}
}

func BenchmarkRemember(b *testing.B) {
	for _, held := range []bool{false, true} {
		b.Run("held="+strconv.FormatBool(held), func(b *testing.B) {
			s := opened(b, stateDir(b))
			for b.Loop() {
				require.NoError(b, s.Remember(messages.Memory{ID: "a", Held: held}))
			}
		})
	}
}
