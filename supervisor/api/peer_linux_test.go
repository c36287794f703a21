package api

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

const nobody = 65534

func TestAnotherUserIsRefusedEvenIfTheSocketLetsHimIn(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	w := newWorld("web")
	socket, _, c := w.serve(t, nil)
	require.NoError(t, errors.Join(os.Chmod(filepath.Dir(socket), 0o755), os.Chmod(socket, 0o666)))

	conn, err := connectAs(nobody, socket)
	require.NoError(t, err)
	_, err = io.WriteString(conn, "POST /v1/shutdown HTTP/1.1\r\nHost: procman\r\n\r\n")
	require.NoError(t, err)
	text, err := io.ReadAll(conn)
	require.NoError(t, err, "he is disconnected")
	require.Contains(t, string(text), "HTTP/1.1 403 ")
	require.Contains(t, string(text), "user 65534 is not allowed")
	require.NoError(t, conn.Close())
	require.Empty(t, w.ended)
	require.NoError(t, c.Healthy(t.Context()))
}

// connectAs connects in a thread that belongs to the user, and ends the thread.
func connectAs(uid uintptr, socket string) (*os.File, error) {
	type result struct {
		fd  int
		err error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err == nil {
			// Not syscall.Setresuid, which changes every thread of the process.
			if _, _, no := syscall.RawSyscall(syscall.SYS_SETRESUID, uid, uid, uid); no != 0 {
				err = no
			} else {
				err = syscall.Connect(fd, &syscall.SockaddrUnix{Name: socket})
			}
		}
		done <- result{fd, err}
	}()
	r := <-done
	return os.NewFile(uintptr(r.fd), socket), r.err
}
