package spawn

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"procman/messages"
)

// each has the function called on the thread of each forker.
func (all forkers) each(t *testing.T, what func() error) {
	for range manyForkers {
		f := <-all
		require.NoError(t, f.do(what))
		all <- f
	}
}

// forkersFiles returns what the threads that fork have open.
func forkersFiles(t *testing.T, s *Spawner) (files []string) {
	var threads []int
	s.forkers.each(t, func() error {
		threads = append(threads, unix.Gettid())
		return nil
	})
	require.Len(t, threads, manyForkers)
	for _, thread := range threads {
		files = append(files, threadsFiles(t, thread)...)
	}
	return files
}

func threadsFiles(t *testing.T, thread int) (files []string) {
	dir := fmt.Sprintf("/proc/self/task/%d/fd", thread)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		what, err := os.Readlink(filepath.Join(dir, e.Name()))
		require.NoError(t, err)
		files = append(files, what)
	}
	return files
}

func TestAForkCopiesNoDescriptorOfTheManagersInstances(t *testing.T) {
	s := opened(t, stateDir(t))
	for i := range 20 {
		p := spawned(t, s, sleeper(messages.InstanceID(fmt.Sprint("i", i))))
		defer func() { require.NoError(t, p.Signal(syscall.SIGKILL, messages.LeftoversEnd)) }()
	}
	files := forkersFiles(t, s)
	require.Contains(t, files, "anon_inode:[eventpoll]", "what the runtime waits with")
	for _, file := range files {
		require.False(t, strings.Contains(file, "pidfd") || strings.HasPrefix(file, string(s.dir)),
			"%s: of an instance, or of its own", file)
	}
}

func TestTheThreadThatForksMayCollectGarbageAndTellOthersOfWork(t *testing.T) {
	s := opened(t, stateDir(t))
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	var waiting sync.WaitGroup
	waiting.Go(func() {
		_, _ = r.Read(make([]byte, 1)) // by what the runtime waits with
	})
	s.forkers.each(t, func() error {
		for range 20 {
			runtime.GC()
		}
		return nil
	})
	_, err = w.Write([]byte{0})
	require.NoError(t, err)
	waiting.Wait()
	require.NoError(t, w.Close())
}

func TestWhereAThreadCannotHaveATableOfItsOwnAProcessHasTheSameFiles(t *testing.T) {
	s := opened(t, stateDir(t))
	private := s.forkers
	defer func() { s.forkers = private }()
	shared := &forker{orders: make(chan func()), log: s.log, send: -1, take: -1}
	onThreadOfItsOwn(s.work.Go, shared.run)
	require.NoError(t, shared.open())
	s.forkers = make(forkers, 1)
	s.forkers <- shared
	require.Equal(t, "exited with code 0", spawned(t, s, player(t, "descriptors")).Wait().String())
	require.Equal(t, fmt.Sprintf("0 /dev/null\n1 %s\n2 %s\n3 %s\n", s.dir.Stdout("a"), s.dir.Stderr("a"),
		s.dir.InstanceLock("a")), output(t, s))
	require.NoError(t, shared.close())
}

// A start of a small program, by the number of descriptors that the manager has open.
func BenchmarkAForkBesideDescriptors(b *testing.B) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	require.NoError(b, err)
	defer null.Close()
	for _, many := range []int{0, 2000, 18000} {
		for _, table := range []string{"own", "shared"} {
			b.Run(fmt.Sprintf("%d/%s", many, table), func(b *testing.B) {
				var work sync.WaitGroup
				defer work.Wait()
				f, err := newForker(work.Go, slog.New(slog.DiscardHandler))
				require.NoError(b, err)
				defer func() { require.NoError(b, f.close()) }()
				for range many {
					fd, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
					require.NoError(b, err)
					defer unix.Close(fd)
				}
				for b.Loop() {
					cmd, pid, fd := &exec.Cmd{Path: "/bin/true", SysProcAttr: &syscall.SysProcAttr{Setsid: true}},
						0, int(null.Fd())
					if table == "own" {
						pid, err = f.fork(cmd, nil, fd, fd, fd)
						require.NoError(b, err)
					} else {
						require.NoError(b, cmd.Start())
						pid = cmd.Process.Pid
						require.NoError(b, cmd.Process.Release())
					}
					_, err = unix.Wait4(pid, nil, 0, nil)
					require.NoError(b, err)
				}
			})
		}
	}
}
