package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// ofDatabase is where Debian has what is not for everybody's PATH.
func ofDatabase(t testing.TB, name string) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if len(found) > 0 {
		return found[len(found)-1]
	}
	return installed(t, name)
}

// PostgreSQL refuses to run as root. It has processes of its own, and its stop is a signal of its own.
func TestPostgreSQLRunsAsItsOwnUserIsAskedByItsOwnProgramAndGoesOnWithoutADaemon(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root may run a process as another user")
	}
	postgres, initdb, ready := ofDatabase(t, "postgres"), ofDatabase(t, "initdb"), ofDatabase(t, "pg_isready")
	owner, err := user.Lookup("postgres")
	if err != nil {
		t.Skip("there is no user postgres here")
	}
	uid, err := strconv.Atoi(owner.Uid)
	require.NoError(t, err)
	gid, err := strconv.Atoi(owner.Gid)
	require.NoError(t, err)
	w := newWorld(t)
	data, err := os.MkdirTemp("", "postgres") // t.TempDir lies in one that is root's alone
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(data)) })
	require.NoError(t, os.Chown(data, uid, gid))
	made := exec.Command(initdb, "-D", data, "-A", "trust", "-U", "postgres", "--no-sync")
	made.Dir, made.SysProcAttr = data, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid),
		Gid: uint32(gid)}}
	out, err := ours.output(made)
	require.NoError(t, err, "%s", out)
	w.replace(w.config, []byte(strings.NewReplacer("STATE", w.state, "SOCKET", w.socket, "PORTS",
		fmt.Sprintf("%d-%d", w.ports[0], w.ports[1]),
		"DATA", data, "POSTGRES", postgres, "READY", ready).Replace(database)))

	d := w.start().up()
	pid := d.healthy("db").PID
	info, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
	require.NoError(t, err)
	require.EqualValues(t, uid, info.Sys().(*syscall.Stat_t).Uid)
	workers := childrenOf(t, pid)
	require.NotEmpty(t, workers)

	d.kill()
	d = w.start().up()
	s := d.healthy("db")
	require.Equal(t, pid, s.PID)
	require.True(t, s.Adopted)
	port := strconv.Itoa(s.Port)
	answer, err := ours.output(exec.Command(ofDatabase(t, "psql"), "-h", "127.0.0.1", "-p", port, "-U", "postgres",
		"-Atc", "select 6*7"))
	require.NoError(t, err, "%s", answer)
	require.Equal(t, "42\n", string(answer))

	// One that hangs is found out by its program, and replaced.
	for _, p := range append(workers, pid) {
		_ = syscall.Kill(p, syscall.SIGSTOP) // a worker may have ended
	}
	w.eventually(time.Minute, "another takes its place", func() bool { return syscall.Kill(pid, 0) != nil })
	next := d.healthy("db").PID
	require.NotEqual(t, pid, next)

	d.kill()
	d = w.start().up()
	require.Equal(t, next, d.healthy("db").PID)
	workers = childrenOf(t, next)
	said, code := w.cli("shutdown")
	require.Zero(t, code, said)
	for _, p := range append(workers, next) {
		w.eventually(time.Minute, "nothing of it is left", func() bool { return syscall.Kill(p, 0) == unix.ESRCH })
	}
	log, err := os.ReadFile(filepath.Join(w.state, "instances", "db", "stderr.log"))
	require.NoError(t, err)
	require.Contains(t, string(log), "received fast shutdown request",
		"stop.signal is INT, by which it ends at once and whole")
	w.eventually(10*time.Second, "no check is left", func() bool { return len(checksOf(w.state)) == 0 })
}

// childrenOf returns the processes that a process has started.
func childrenOf(t testing.TB, pid int) (pids []int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	require.NoError(t, err)
	for _, word := range strings.Fields(string(text)) {
		n, err := strconv.Atoi(word)
		require.NoError(t, err)
		pids = append(pids, n)
	}
	return pids
}

const database = `state_dir: STATE
socket: SOCKET
ports: {range: PORTS}
start: {deadline: 60s}
restart: {initial: 100ms}
health: {interval: 500ms, timeout: 5s, failures: 2, kind: command, command: [READY, -q, -t, "3", -h, 127.0.0.1, -p, "{port}"]}
stop: {grace: 30s, signal: INT}
instances:
  - id: db
    executable: POSTGRES
    args: [-D, DATA, -p, "{port}", -h, 127.0.0.1, -c, "unix_socket_directories="]
    work_dir: DATA
    process: {user: postgres}
`
