package main

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// BenchmarkTheLeast is what stands between the limit and a manager in Go that does what procman promises of each start
// and each stop, but decides nothing: no list, no actors, no gate, no proof of who listens, no search for who is left.
// Each step does what those above it do, too:
//
//	exec      os/exec in a session of its own, with two new files for its output; a goroutine waits for it
//	cgroup    a cgroup of its own, in which it is forked; removed at its end
//	intent    a locked file that it inherits, with what is about to be started
//	record    what was started, renamed into place; and how it ended
//	output    both files watched, the first line forwarded into a log, and a record of how far that is; again at its end
//	probe     a connection, a request and its answer
//	told      three lines in the log, and one in a file of events; one and one at its end
//	memory    a record of what the next manager has to remember of it; again at its end
func BenchmarkTheLeast(b *testing.B) {
	cc := compiler()
	if cc == "" {
		b.Skip("no C compiler")
	}
	payload := filepath.Join(b.TempDir(), "payload")
	require.NoError(b, compile(context.Background(), cc, "payload.c", payload))
	steps := []string{"exec", "cgroup", "intent", "record", "output", "probe", "told", "memory"}
	for i, name := range steps {
		b.Run(name, func(b *testing.B) {
			var start, startUsed, stop, stopUsed time.Duration
			for b.Loop() {
				l := newLeast(b, payload, i+1)
				took, used := l.start(b)
				start, startUsed = start+took, startUsed+used
				took, used = l.stop(b)
				stop, stopUsed = stop+took, stopUsed+used
				l.close(b)
			}
			for unit, all := range map[string]time.Duration{"start": start, "cpu/start": startUsed, "stop": stop,
				"cpu/stop": stopUsed} {
				b.ReportMetric(float64(all.Microseconds())/float64(b.N*leastMany), "µs-"+unit)
			}
		})
	}
}

const leastMany = 1000

type least struct {
	payload, dir, group string
	steps               int
	board               *board
	port, watch         int
	out, events         *os.File
	log                 *slog.Logger
	commands            [leastMany]*exec.Cmd
	probing, running    sync.WaitGroup
}

func newLeast(b *testing.B, payload string, steps int) *least {
	dir, err := os.MkdirTemp("/dev/shm", "least")
	require.NoError(b, err)
	l := &least{payload: payload, dir: dir, steps: steps}
	l.board, err = newBoard(filepath.Join(dir, "board"), leastMany)
	require.NoError(b, err)
	l.port, err = free(20000, 32000, leastMany)
	require.NoError(b, err)
	l.watch, err = unix.InotifyInit1(unix.IN_CLOEXEC)
	require.NoError(b, err)
	l.events, err = os.Create(filepath.Join(dir, "events"))
	require.NoError(b, err)
	l.out, err = os.Create(filepath.Join(dir, "log"))
	require.NoError(b, err)
	l.log = slog.New(slog.NewJSONHandler(l.out, nil))
	for _, root := range []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup"} {
		l.group = filepath.Join(root, filepath.Base(dir))
		if err = os.Mkdir(l.group, 0o755); err == nil {
			return l
		}
	}
	b.Skip("no cgroup can be made: ", err)
	return nil
}

func (l *least) start(b *testing.B) (wall, used time.Duration) {
	before, began := ownTime(b), now()
	for i := range leastMany {
		if l.does("probe") {
			l.probing.Go(func() { l.probe(b, i) })
		}
		l.one(b, i)
	}
	l.probing.Wait()
	require.NoError(b, until(b.Context(), "they do not listen", time.Millisecond, func() (bool, error) {
		_, all := l.board.listening(0, leastMany)
		return all, nil
	}))
	last, _ := l.board.listening(0, leastMany)
	return time.Duration(last - began), ownTime(b) - before
}

func (l *least) does(step string) bool {
	n := map[string]int{"cgroup": 2, "intent": 3, "record": 4, "output": 5, "probe": 6, "told": 7, "memory": 8}
	return l.steps >= n[step]
}

type leastRecord struct {
	Schema, Number, PID, Port int
	Instance, Tag, Executable string
	Args                      []string
	Started                   time.Time
}

func (l *least) one(b *testing.B, i int) {
	id := fmt.Sprintf("app-%05d", i)
	home := filepath.Join(l.dir, id)
	require.NoError(b, os.Mkdir(home, 0o700))
	made := func(name string, flag int) *os.File {
		f, err := os.OpenFile(filepath.Join(home, name), flag|os.O_CREATE|os.O_EXCL, 0o600)
		require.NoError(b, err)
		return f
	}
	c := exec.Command(l.payload, "-port", fmt.Sprint(l.port+i), "-board", l.board.path, "-slot", id)
	c.Env = []string{"PORT=" + fmt.Sprint(l.port+i)}
	out, errs := made("stdout.log", os.O_WRONLY|os.O_APPEND), made("stderr.log", os.O_WRONLY|os.O_APPEND)
	c.Stdout, c.Stderr, c.SysProcAttr = out, errs, &syscall.SysProcAttr{Setsid: true}
	open := []*os.File{out, errs}
	if l.does("cgroup") {
		require.NoError(b, os.Mkdir(filepath.Join(l.group, id), 0o755))
		group, err := os.Open(filepath.Join(l.group, id))
		require.NoError(b, err)
		c.SysProcAttr.UseCgroupFD, c.SysProcAttr.CgroupFD = true, int(group.Fd())
		open = append(open, group)
	}
	record := leastRecord{Schema: 1, Number: 1, Port: l.port + i, Instance: id, Tag: "0123456789abcdef",
		Executable: l.payload, Args: c.Args,
		Started: time.Now()}
	if l.does("intent") {
		lock := made("lock", os.O_RDWR)
		require.NoError(b, unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB))
		_, err := lock.WriteAt(sealed(b, record), 0)
		require.NoError(b, err)
		c.ExtraFiles, open = []*os.File{lock}, append(open, lock)
	}
	require.NoError(b, c.Start())
	l.commands[i] = c
	for _, f := range open {
		require.NoError(b, f.Close())
	}
	record.PID = c.Process.Pid
	if l.does("record") {
		write(b, home, "run.json", record)
	}
	if l.does("output") {
		for _, f := range []*os.File{out, errs} {
			_, err := unix.InotifyAddWatch(l.watch, f.Name(), unix.IN_MODIFY|unix.IN_ONESHOT)
			require.NoError(b, err)
		}
		text, err := os.ReadFile(out.Name())
		require.NoError(b, err)
		l.log.Info(string(text), "instance", id, "stream", "stdout", "run", 1)
		write(b, home, "output.json", record)
	}
	if l.does("told") {
		for _, what := range []string{"instance starting", "instance started", "instance ready"} {
			l.log.Info(what, "instance", id, "run", 1, "pid", record.PID, "port", record.Port)
		}
		_, err := l.events.Write(sealed(b, record))
		require.NoError(b, err)
	}
	if l.does("memory") {
		write(b, home, "memory.json", record)
	}
	l.running.Go(func() {
		_ = c.Wait() // how it ended is of no interest
		l.ended(b, home, record)
	})
}

func (l *least) ended(b *testing.B, home string, record leastRecord) {
	if l.does("cgroup") {
		assert.NoError(b, unix.Rmdir(filepath.Join(l.group, record.Instance)))
	}
	for step, name := range map[string]string{"record": "run.json", "output": "output.json", "memory": "memory.json"} {
		if l.does(step) {
			write(b, home, name, record)
		}
	}
	if l.does("told") {
		l.log.Info("instance exited", "instance", record.Instance, "run", 1, "pid", record.PID)
		_, err := l.events.Write(sealed(b, record))
		assert.NoError(b, err)
	}
}

// write replaces a record.
func write(b *testing.B, home, name string, record leastRecord) {
	path := filepath.Join(home, name)
	assert.NoError(b, os.WriteFile(path+".tmp", sealed(b, record), 0o600))
	assert.NoError(b, os.Rename(path+".tmp", path))
}

// sealed is the record with its checksum, as a line.
func sealed(b *testing.B, r leastRecord) []byte {
	text, err := json.Marshal(r)
	assert.NoError(b, err)
	return fmt.Appendf(nil, `{"checksum":"%08x","record":%s}`+"\n", crc32.ChecksumIEEE(text), text)
}

// probe asks the payload once, as soon as it listens.
func (l *least) probe(b *testing.B, i int) {
	for l.board.slots[i].listening.Load() == 0 {
		time.Sleep(5 * time.Millisecond)
	}
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", l.port+i))
	if !assert.NoError(b, err) {
		return
	}
	defer c.Close()
	answer := make([]byte, 512)
	_, err = c.Write([]byte("GET /api/status HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"))
	if err == nil {
		_, err = c.Read(answer)
	}
	assert.NoError(b, err)
}

func (l *least) stop(b *testing.B) (wall, used time.Duration) {
	before, began := ownTime(b), now()
	for _, c := range l.commands {
		require.NoError(b, c.Process.Signal(unix.SIGTERM))
	}
	l.running.Wait()
	return time.Duration(now() - began), ownTime(b) - before
}

func (l *least) close(b *testing.B) {
	require.NoError(b, unix.Rmdir(l.group))
	require.NoError(b, l.board.close())
	require.NoError(b, unix.Close(l.watch))
	require.NoError(b, l.out.Close())
	require.NoError(b, l.events.Close())
	require.NoError(b, os.RemoveAll(l.dir))
}

// ownTime is the processor time of this process.
func ownTime(b *testing.B) time.Duration {
	used, err := cpu(os.Getpid())
	require.NoError(b, err)
	return time.Duration(used * 1e9)
}
