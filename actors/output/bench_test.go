package output

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

// BenchmarkFollow is the way of a line from a file to slog's JSON handler.
func BenchmarkFollow(b *testing.B) {
	masks := map[string]func(messages.InstanceID) *messages.Masker{
		"":        nil,
		" nobody": func(messages.InstanceID) *messages.Masker { return nil },
		" masked": masking(Options{}).Mask,
	}
	for _, length := range []int{40, 200, 2000} {
		for name, mask := range masks {
			b.Run(fmt.Sprint(length, name), func(b *testing.B) { benchmarkFollow(b, length, mask) })
		}
	}
}

func benchmarkFollow(b *testing.B, length int, mask func(messages.InstanceID) *messages.Masker) {
	chunk := strings.Repeat(strings.Repeat("x", length-1)+"\n", (8<<20)/length)
	b.SetBytes(int64(len(chunk)))
	for b.Loop() {
		b.StopTimer()
		h := newHouse(b, b.TempDir(), Options{Forward: true, Mask: mask,
			Logger: slog.New(slog.NewJSONHandler(io.Discard, nil))})
		h.stdout(chunk)
		b.StartTimer()
		h.out.Follow(web, 1, 0).Stop()
		b.StopTimer()
		h.close()
		b.StartTimer()
	}
}

// BenchmarkIdle is what a second of a thousand followed instances costs that write nothing, and what they occupy.
func BenchmarkIdle(b *testing.B) {
	const instances = 1000
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	h := newHouse(b, b.TempDir(), Options{Forward: true})
	for i := range instances {
		id := messages.InstanceID(fmt.Sprint("i", i))
		require.NoError(b, os.MkdirAll(h.dir.Instance(id), 0o700))
		h.write(h.dir.Stdout(id), "hello\n")
		h.write(h.dir.Stderr(id), "")
		h.out.Follow(id, 1, os.Getpid())
	}
	h.rec.await(b, instances, 0)
	time.Sleep(2 * time.Second) // until every checkpoint is saved
	var after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&after)
	goroutines := runtime.NumGoroutine()
	start := cpu(b)
	seconds := 0
	for b.Loop() {
		time.Sleep(time.Second)
		seconds++
	}
	b.ReportMetric(float64((cpu(b)-start).Microseconds())/float64(seconds), "cpu-µs/s")
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/instances, "B/instance")
	b.ReportMetric(float64(goroutines), "goroutines")
}

func cpu(b *testing.B) time.Duration {
	var r syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &r))
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkReadLast is the last ten of many lines.
func BenchmarkReadLast(b *testing.B) {
	h := newHouse(b, b.TempDir(), Options{})
	h.stdout(strings.Repeat("a line of some forty bytes, or nearly so\n", 16<<20/41))
	for b.Loop() {
		n := 0
		for range h.out.Read(context.Background(), messages.OutputQuery{ID: web, Lines: 10}) {
			n++
		}
		require.Equal(b, 10, n)
	}
}

// BenchmarkSteady is what a second of a thousand followed instances costs that write a line each, one after the other.
func BenchmarkSteady(b *testing.B) {
	const instances = 1000
	h := newHouse(b, b.TempDir(), Options{Forward: true, Lend: true,
		Logger: slog.New(slog.NewJSONHandler(io.Discard, nil))})
	files := make([]*os.File, instances)
	for i := range files {
		id := messages.InstanceID(fmt.Sprint("i", i))
		require.NoError(b, os.MkdirAll(h.dir.Instance(id), 0o700))
		file, err := os.OpenFile(h.dir.Stdout(id), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		require.NoError(b, err)
		defer file.Close()
		files[i] = file
		h.write(h.dir.Stderr(id), "")
		h.out.Follow(id, 1, os.Getpid())
	}
	time.Sleep(2 * time.Second) // until every checkpoint is saved
	line := []byte(strings.Repeat("x", 99) + "\n")
	write := func() time.Duration {
		start := cpu(b)
		for round := range 20 {
			for i := range instances / 20 {
				_, err := files[20*i+round].Write(line)
				require.NoError(b, err)
				time.Sleep(time.Second / instances)
			}
		}
		return cpu(b) - start
	}
	var used time.Duration
	lines := 0
	for b.Loop() {
		used += write()
		lines += instances
	}
	b.ReportMetric(float64(used.Microseconds())/float64(lines), "cpu-µs/line")
	b.StopTimer()
	h.close()
	b.ReportMetric(float64(write().Microseconds())/instances, "cpu-µs/line-alone")
}

// BenchmarkRun is what the life of a run costs that writes one line: it begins, is followed, and ends.
func BenchmarkRun(b *testing.B) {
	const instances = 500
	root, err := os.MkdirTemp("/dev/shm", "output")
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, os.RemoveAll(root)) })
	h := newHouse(b, root, Options{Forward: true, Lend: true, Logger: slog.New(slog.NewJSONHandler(io.Discard, nil))})
	pid := gonePID(b)
	var begin, end time.Duration
	runs := 0
	for b.Loop() {
		runs++
		ids := make([]messages.InstanceID, instances)
		files := make([]*os.File, instances)
		followers := make([]interface{ Stop() }, instances)
		for i := range ids {
			ids[i] = messages.InstanceID(fmt.Sprintf("i%d-%d", runs, i))
		}
		start := cpu(b)
		for _, id := range ids {
			require.NoError(b, h.out.Begin(context.Background(), id))
		}
		begin += cpu(b) - start
		for i, id := range ids {
			require.NoError(b, os.MkdirAll(h.dir.Instance(id), 0o700))
			files[i], err = os.OpenFile(h.dir.Stdout(id), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
			require.NoError(b, err)
			h.write(h.dir.Stderr(id), "")
		}
		start = cpu(b)
		for i, id := range ids {
			followers[i] = h.out.Follow(id, 1, pid)
		}
		time.Sleep(50 * time.Millisecond)
		for _, f := range files {
			_, err := f.WriteString("listening\n")
			require.NoError(b, err)
		}
		time.Sleep(1500 * time.Millisecond) // until every checkpoint is saved
		begin += cpu(b) - start
		start = cpu(b)
		for _, f := range followers {
			f.Stop()
		}
		end += cpu(b) - start
		for _, f := range files {
			require.NoError(b, f.Close())
		}
	}
	b.ReportMetric(float64(begin.Microseconds())/float64(runs*instances), "cpu-µs/begin")
	b.ReportMetric(float64(end.Microseconds())/float64(runs*instances), "cpu-µs/end")
}
