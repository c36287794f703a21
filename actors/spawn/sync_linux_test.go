package spawn

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"procman/messages"
)

// withoutSync makes every wait for a disk fail in this process and in what it starts: EIO.
func withoutSync() error {
	const number = 0 // where the filter finds the number of the system call
	program := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: number}}
	calls := []uint32{unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_SYNC, unix.SYS_SYNCFS, unix.SYS_MSYNC}
	for n, call := range calls {
		program = append(program, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K,
			K: call, Jt: uint8(len(calls) - n)})
	}
	program = append(program, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EIO)})
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&filter)))
	if errno != 0 {
		return errno
	}
	return nil
}

// spawnWithoutSync starts and ends processes and remembers what a start needs, where every wait for a disk fails.
func spawnWithoutSync() error {
	if err := withoutSync(); err != nil {
		return err
	}
	s, err := Open(messages.StateDir(os.Getenv("DIR")), Options{})
	if err != nil {
		return err
	}
	defer s.Close()
	for n := range 20 {
		id := messages.InstanceID("i" + strconv.Itoa(n))
		app := messages.AppInstance{InstanceID: id, Executable: "true"}
		if err := s.Remember(messages.Memory{ID: id, Run: 1, Phase: messages.Starting}); err != nil {
			return err
		}
		p, err := s.Spawn(context.Background(), messages.Launch{App: app, Run: 1})
		if err != nil {
			return err
		}
		if e := p.Wait(); e.Code != 0 {
			return fmt.Errorf("it ended otherwise: %+v", e)
		}
		if err := s.Remember(messages.Memory{ID: id, Run: 1, Phase: messages.Backoff}); err != nil {
			return err
		}
	}
	fmt.Println("started")
	if err := s.Remember(messages.Memory{ID: "i0", Held: true}); !errors.Is(err, unix.EIO) {
		return fmt.Errorf("a hold must be on disk, and it is said that it is not: %w", err)
	}
	return nil
}

// FAULTS 95: no start, no end and nothing that is remembered of them waits for a disk; only an operator's hold does.
func TestNoStartWaitsForADiskToSync(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	s := opened(t, dir)
	app := player(t, "without sync")
	app.Env["DIR"] = t.TempDir()
	e := spawned(t, s, app).Wait()
	text, err := os.ReadFile(dir.Stderr("a"))
	require.NoError(t, err)
	require.Equal(t, "exited with code 0", e.String(), string(text))
	require.Equal(t, "started\n", output(t, s))
}
