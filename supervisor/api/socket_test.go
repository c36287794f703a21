package api

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheSocketIsForItsOwnerOnly(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	l, err := Listen(path)
	require.NoError(t, err)
	there, err := os.Lstat(path)
	require.NoError(t, err)
	require.Equal(t, os.ModeSocket|0o600, there.Mode())
	require.NoError(t, l.Close())
	require.NoFileExists(t, path)
	require.NoFileExists(t, path+beside)
}

func TestTheSocketOfADeadDaemonIsReplaced(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	dead.SetUnlinkOnClose(false)
	require.NoError(t, dead.Close())
	require.FileExists(t, path)

	l, err := Listen(path)
	require.NoError(t, err)
	conn, err := net.Dial("unix", path)
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	require.NoError(t, l.Close())
}

func TestTheSocketOfALiveDaemonIsNotTaken(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	l, err := Listen(path)
	require.NoError(t, err)
	_, err = Listen(path)
	require.ErrorIs(t, err, ErrSocketInUse)
	conn, err := net.Dial("unix", path)
	require.NoError(t, err, "the live one is not disturbed")
	require.NoError(t, errors.Join(conn.Close(), l.Close()))
}

func TestWhatIsNoSocketIsNotRemoved(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	require.NoError(t, os.WriteFile(path, []byte("precious"), 0o600))
	_, err := Listen(path)
	require.ErrorContains(t, err, "not a socket")
	require.FileExists(t, path)
}

func TestAClosedListenerLeavesTheSocketOfItsSuccessorAlone(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	first, err := Listen(path)
	require.NoError(t, err)
	require.NoError(t, os.Remove(path))
	second, err := Listen(path)
	require.NoError(t, err)
	require.NoError(t, first.Close())
	require.FileExists(t, path)
	require.NoError(t, second.Close())
}

func TestAPathThatIsTooLongIsRefusedWithAdvice(t *testing.T) {
	_, err := Listen(filepath.Join(shortDir(t), strings.Repeat("x", 100)))
	require.ErrorContains(t, err, "shorter path")
	_, err = Listen(filepath.Join(shortDir(t), "no", "such", "directory"))
	require.ErrorContains(t, err, "cannot be made")
}

func TestOnlyTheOwnUserAndRootAreAnswered(t *testing.T) {
	for _, c := range []struct {
		peer   peer
		daemon int
		answer bool
	}{
		{peer{uid: 1000}, 1000, true},
		{peer{uid: 0}, 1000, true},
		{peer{uid: 1001}, 1000, false},
		{peer{uid: 1000}, 0, false},
		{peer{err: errors.New("no credentials")}, 0, false},
	} {
		may, why := roleOf(c.peer, c.daemon, nil)
		require.Equal(t, c.answer, may == operator, "%+v", c)
		require.Equal(t, c.answer, why == nil)
		require.NotEqual(t, reader, may)
	}
}

func TestAStrangerGetsA403AndIsDisconnected(t *testing.T) {
	for name, ctx := range map[string]context.Context{
		"another user": context.WithValue(t.Context(), peerKey{}, peer{uid: uint32(os.Geteuid()) + 1}),
		"nobody knows": t.Context(),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld("web")
			s, err := New(w.options())
			require.NoError(t, err)
			out := httptest.NewRecorder()
			s.http.Handler.ServeHTTP(out, httptest.NewRequestWithContext(ctx, "POST", "/v1/shutdown", nil))
			require.Equal(t, http.StatusForbidden, out.Code)
			require.Equal(t, "close", out.Header().Get("Connection"))
			require.Contains(t, out.Body.String(), `"code":"forbidden"`)
			require.Empty(t, w.ended)
		})
	}
}

func TestTheKernelIsAskedWhoCalls(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	l, err := Listen(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	client, err := net.Dial("unix", path)
	require.NoError(t, err)
	conn, err := l.Accept()
	require.NoError(t, err)
	require.Equal(t, peer{uid: uint32(os.Geteuid())}, peerOf(conn, false))
	require.NoError(t, errors.Join(client.Close(), conn.Close()))

	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, tcp.Close()) }()
	client, err = net.Dial("tcp", tcp.Addr().String())
	require.NoError(t, err)
	require.Error(t, peerOf(client, false).err, "over the network nobody is known")
	require.NoError(t, client.Close())
}

func TestThereAreOnlySoManyConnections(t *testing.T) {
	w := newWorld("web")
	socket, _, c := w.serve(t, func(o *Options) { o.Connections = 2 })
	var idlers []net.Conn
	for range 2 {
		conn, err := net.Dial("unix", socket)
		require.NoError(t, err)
		_, err = io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: procman\r\n\r\n")
		require.NoError(t, err)
		one := make([]byte, 1)
		_, err = io.ReadFull(conn, one)
		require.NoError(t, err)
		idlers = append(idlers, conn)
	}
	answered := make(chan error, 1)
	go func() { answered <- c.Healthy(t.Context()) }()
	select {
	case err := <-answered:
		require.Fail(t, "a third connection was accepted", "%v", err)
	case <-time.After(50 * time.Millisecond):
		// the absence itself is proven by what follows: it is answered after a place is free
	}
	require.NoError(t, idlers[0].Close())
	select {
	case err := <-answered:
		require.NoError(t, err)
	case <-time.After(time.Minute):
		require.Fail(t, "a free place is not given to who waits")
	}
	require.NoError(t, idlers[1].Close())
}

func TestAServerEndsWhileItWaitsForAPlace(t *testing.T) {
	w := newWorld("web")
	socket, _, _ := w.serve(t, func(o *Options) { o.Connections = 1 })
	conn, err := net.Dial("unix", socket)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() }) // before that of serve, which must not wait for it
}

func TestAHeaderThatIsTooLargeIsRefused(t *testing.T) {
	w := newWorld("web")
	_, _, c := w.serve(t, nil)
	request, err := http.NewRequest("GET", "http://procman/healthz", nil)
	require.NoError(t, err)
	request.Header.Set("X", strings.Repeat("x", 4*maxHeader))
	response, err := c.http.Do(request)
	require.NoError(t, err)
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, response.StatusCode)
	require.NoError(t, response.Body.Close())
	require.NoError(t, c.Healthy(t.Context()))
}

func TestWhoIsInTheGroupMayReadOnTheSocketAndChangesNothing(t *testing.T) {
	group := 4711
	w := newWorld("web")
	o := w.options()
	o.ReadGroup, o.Fleet = &group, newFleetWorld()
	s, err := New(o)
	require.NoError(t, err)
	ask := func(p peer, method, path string) *httptest.ResponseRecorder {
		p.uid = uint32(os.Geteuid()) + 1
		out := httptest.NewRecorder()
		s.http.Handler.ServeHTTP(out, httptest.NewRequestWithContext(context.WithValue(t.Context(), peerKey{}, p),
			method, path, nil))
		return out
	}
	in, out := peer{groups: []uint32{1, 4711}}, peer{groups: []uint32{1, 4712}}
	require.Equal(t, http.StatusForbidden, ask(out, "GET", "/v1/instances").Code)
	require.Equal(t, http.StatusForbidden, ask(peer{groups: in.groups, err: errors.New("unknown")},
		"GET", "/v1/instances").Code)
	reads, changes := 0, 0
	for _, r := range s.routes() {
		path := strings.NewReplacer("{id}", "web", "{host}", "h1").Replace(r.path)
		if r.method == "GET" {
			if path != "/v1/events" && path != "/metrics" && path != "/readyz" {
				require.Equal(t, http.StatusOK, ask(in, r.method, path).Code, path)
				reads++
			}
			continue
		}
		answer := ask(in, r.method, path)
		require.Equal(t, http.StatusForbidden, answer.Code, path)
		require.Contains(t, answer.Body.String(), "as one of the group api.read_group, and change nothing")
		changes++
	}
	require.Greater(t, reads, 5)
	require.Greater(t, changes, 6)
	require.Empty(t, w.said())
	require.Empty(t, w.ended)

	for range cap(s.readers) {
		s.readers <- struct{}{}
	}
	require.Equal(t, http.StatusServiceUnavailable, ask(in, "GET", "/v1/instances").Code,
		"there is room for so many of them, and for others beside")
}

func TestASocketForAGroupIsForThatGroup(t *testing.T) {
	group := os.Getegid()
	path := filepath.Join(shortDir(t), "s")
	l, err := ListenFor(path, &group)
	require.NoError(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o660), info.Mode().Perm())
	client, err := net.Dial("unix", path)
	require.NoError(t, err)
	conn, err := l.Accept()
	require.NoError(t, err)
	p := peerOf(conn, true)
	require.NoError(t, p.err)
	require.Contains(t, p.groups, uint32(group))
	more, err := os.Getgroups()
	require.NoError(t, err)
	for _, g := range more {
		require.Contains(t, p.groups, uint32(g))
	}
	require.NoError(t, errors.Join(client.Close(), conn.Close(), l.Close()))
}
