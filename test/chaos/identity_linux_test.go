package chaos

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// record is a record on disk. The seal is made again here as procman makes it: a record that was tampered with would be
// refused for its seal, and these tests are about what a good one leads to.
type record struct {
	Schema   int             `json:"schema"`
	Checksum string          `json:"checksum"`
	Body     json.RawMessage `json:"body"`
}

// editRecord changes fields of a record.
func (w *world) editRecord(id, kind string, change map[string]any) {
	w.Helper()
	path := filepath.Join(w.state, "instances", id, kind+".json")
	text, err := os.ReadFile(path)
	require.NoError(w, err)
	var r record
	require.NoError(w, json.Unmarshal(text, &r))
	require.Equal(w, seal(kind, r), r.Checksum, "this test does not know how records are sealed")
	body := string(r.Body)
	for key, value := range change {
		// In place: the order of the fields is part of what is sealed.
		i := strings.Index(body, strconv.Quote(key)+":") + len(strconv.Quote(key)) + 1
		end := i + strings.IndexAny(body[i:], ",}")
		v, err := json.Marshal(value)
		require.NoError(w, err)
		body = body[:i] + string(v) + body[end:]
	}
	r.Body = json.RawMessage(body)
	r.Checksum = seal(kind, r)
	text, err = json.Marshal(r)
	require.NoError(w, err)
	w.replace(path, append(text, '\n'))
}

func seal(kind string, r record) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %s", kind, r.Schema, r.Body))
	return hex.EncodeToString(sum[:16])
}

// TestAfterARebootEveryRecordIsVoid: the pid on record, and even the start time, are those of a stranger.
func TestAfterARebootEveryRecordIsVoid(t *testing.T) { // 12, 13
	t.Parallel()
	w := one(t, app{}, Control{})
	p := w.daemon.process("a")
	w.daemon.kill()
	require.True(t, signalProcess(p, unix.SIGKILL))
	w.gone(p)
	stranger := w.bystander(w.ports[1]-1, filepath.Join(w.dir, "by.db"))
	w.editRecord("a", "run", map[string]any{"boot_id": "00000000-0000-4000-8000-000000000000", "pid": stranger.PID,
		"start_ticks": stranger.Start})
	w.editRecord("a", "memory", map[string]any{"boot_id": "00000000-0000-4000-8000-000000000000"})
	w.start().up()
	out := w.converge(nil)
	w.judge(out)
	s, _ := w.daemon.shown("a")
	require.False(t, s.Adopted)
	require.NotEqual(t, stranger.PID, s.PID)
	require.Len(t, Of(w.lives(), "a"), 2)
}

// TestAPidThatWasReusedIsAStranger: same boot, same pid, the executable even; only the start time tells, or the tag.
func TestAPidThatWasReusedIsAStranger(t *testing.T) { // 11, 12
	t.Parallel()
	for name, change := range map[string]func(stranger Process) map[string]any{
		"another start time": func(p Process) map[string]any { return map[string]any{"pid": p.PID} },
		"the very process": func(p Process) map[string]any {
			return map[string]any{"pid": p.PID,
				"start_ticks": p.Start}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := one(t, app{}, Control{})
			p := w.daemon.process("a")
			w.daemon.kill()
			require.True(t, signalProcess(p, unix.SIGKILL))
			w.gone(p)
			stranger := w.bystander(w.ports[1]-1, filepath.Join(w.dir, "a.db")) // on its database, too
			w.editRecord("a", "run", change(stranger))
			w.start().up()
			w.judge(w.converge(nil))
			w.daemon.mustDo("stop", "a")
			w.judge(w.converge(map[string]bool{"a": true}))
		})
	}
}

// TestTheRecordOfAnotherStateDirectoryIsNoClaim: somebody copied a state directory.
func TestTheRecordOfAnotherStateDirectoryIsNoClaim(t *testing.T) { // 12
	t.Parallel()
	w := one(t, app{}, Control{})
	theirs := w.daemon.process("a")
	copied := newWorld(t)
	copied.declare(app{id: "a"}, Control{})
	copied.write()
	require.NoError(t, os.CopyFS(copied.state, os.DirFS(w.state)))
	copied.start().up()
	copied.judge(copied.converge(nil))
	require.NotEqual(t, theirs, copied.daemon.process("a"))
	copied.daemon.mustDo("restart", "a")
	copied.eventually(5*time.Second, "a second run", func() bool { return len(Of(copied.lives(), "a")) == 2 })
	copied.daemon.mustDo("stop", "a")
	copied.judge(copied.converge(map[string]bool{"a": true}))
	w.judge(w.converge(nil))
	l, _ := w.life(theirs)
	require.Zero(t, l.Terms)
	require.Zero(t, l.Ended)
}

// TestAServicehostStartedByHandIsNeitherAdoptedNorSignalled: on the same database, in the port range, before and after
// a death of the manager.
func TestAServicehostStartedByHandIsNeitherAdoptedNorSignalled(t *testing.T) { // 39
	t.Parallel()
	w := newWorld(t)
	db := filepath.Join(w.dir, "a.db")
	for port := w.ports[0]; port < w.ports[0]+3; port++ { // the ports that are given out first
		w.bystander(port, db)
	}
	w.declare(app{id: "a", db: db}, Control{})
	w.write()
	w.start().up()
	w.judge(w.converge(nil))
	w.again()
	w.judge(w.converge(nil))
	w.daemon.mustDo("restart", "a")
	w.eventually(5*time.Second, "a second run", func() bool { return len(Of(w.lives(), "a")) == 2 })
	w.daemon.mustDo("stop", "a")
	w.judge(w.converge(map[string]bool{"a": true}))
}

// TestAZombieIsDeadThoughNobodyReapsIt: under an init that reaps nobody, kill(pid, 0) says that a dead process lives.
func TestAZombieIsDeadThoughNobodyReapsIt(t *testing.T) { // 14
	t.Parallel()
	w := newWorld(t)
	w.declare(app{id: "a"}, Control{})
	w.write()
	self, err := os.Executable()
	require.NoError(t, err)
	lazy := exec.Command(self, w.program, "run", "-c", w.config)
	stdin, err := lazy.StdinPipe()
	require.NoError(t, err)
	lazy.Env = append(os.Environ(), envHelper+"=lazy")
	stdout, err := lazy.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, ours.start(lazy))
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = ours.wait(lazy)
	})
	var first int
	_, err = fmt.Fscan(stdout, &first)
	require.NoError(t, err)
	st, err := readStat(first)
	require.NoError(t, err)
	manager := Process{first, st.Start}
	t.Cleanup(func() { signalProcess(manager, unix.SIGKILL) })
	// Under load it may listen before its manager has put it on record; one that dies unrecorded and unseen is never
	// known of.
	record := filepath.Join(w.state, "instances", "a", "run.json")
	w.eventually(5*time.Second, "a lives, and is on record", func() bool {
		l, _ := w.newest("a")
		_, err := os.Stat(record)
		return l.Listening > 0 && err == nil
	})
	p, _ := w.newest("a")

	// The daemon dies, and its child falls to the lazy one; then the child dies, and stays a zombie.
	require.True(t, signalProcess(manager, unix.SIGKILL))
	w.eventually(5*time.Second, "the child is the lazy one's", func() bool {
		now, err := readStat(p.PID)
		return err == nil && now.Parent == lazy.Process.Pid
	})
	w.cue(p.Process, "a", Control{Cue: &End{Code: 7}})
	w.eventually(5*time.Second, "the child is a zombie",
		func() bool { now, err := readStat(p.PID); return err == nil && now.State == 'Z' })
	w.control("a", Control{})
	w.start().up()
	s := w.daemon.healthy("a")
	require.NotEqual(t, p.PID, s.PID)
	now, err := readStat(p.PID)
	require.NoError(t, err)
	require.EqualValues(t, 'Z', now.State, "it is a zombie all the time")
	require.Equal(t, &lastExit{Code: 7, Known: true, Reason: "exit", At: s.LastExit.At}, s.LastExit,
		"a zombie tells how it ended")

	// And one that is adopted alive, and dies then.
	second := w.daemon.process("a")
	w.control("a", Control{Cue: &End{Signal: int(unix.SIGSEGV)}})
	signalProcess(second, unix.SIGUSR1)
	s = w.daemon.await("a", "restarted", func(s shown) bool { return s.LastExit != nil && s.LastExit.Signal == "SEGV" })
	w.control("a", Control{})
	w.daemon.healthy("a")
}

func TestOfTwoManagersStartedAtOnceOneWinsAndTheOtherTouchesNothing(t *testing.T) { // 15
	t.Parallel()
	contests := fromEnv("PROCMAN_CHAOS_CONTESTS", 6)
	slots := make(chan struct{}, 5)
	var mu sync.Mutex
	var slowest time.Duration
	for n := range contests {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			t.Parallel()
			slots <- struct{}{}
			defer func() { <-slots }()
			w := newWorld(t)
			w.declare(app{id: "a"}, Control{Rate: 20})
			w.declare(app{id: "b"}, Control{})
			w.write()
			if n%2 == 0 { // with processes to be adopted
				w.start().up()
				w.converge(nil)
				w.daemon.kill()
			}
			before := w.processes()
			one, two := w.another(), w.another()
			began := time.Now()
			winner, loser := one, two
			select {
			case <-one.ended:
				winner, loser = two, one
			case <-two.ended:
			case <-time.After(time.Minute):
				t.Fatal("both live")
			}
			mu.Lock()
			slowest = max(slowest, time.Since(began))
			mu.Unlock()
			require.Equal(t, 75, loser.wait(time.Second), "%s", loser.log())
			require.Contains(t, loser.log(), strconv.Itoa(winner.pid()), "it should say who has it")
			w.daemon = winner
			w.judge(w.up().converge(nil))
			require.Empty(t, Undisturbed(before, nil, w.lives()))
			require.NotContains(t, loser.log(), "instance started")
			require.NotContains(t, loser.log(), "instance adopted")
			require.Len(t, w.managed(), 2)
		})
	}
	t.Cleanup(func() { t.Logf("the loser was gone after %v at the most", slowest) })
}

func (w *world) up() *world {
	w.Helper()
	w.daemon.up()
	return w
}
