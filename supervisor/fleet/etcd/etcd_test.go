package etcd

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"procman/supervisor/fleet/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a server that answers every request as it is told: with a message, or with a status.
type fake struct {
	url   string
	calls atomic.Int64 // beside those for the version
}

func serve(t *testing.T, version string, answer func(method string) (message, *status)) *fake {
	f := &fake{}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method := strings.TrimPrefix(r.URL.Path, "/etcdserverpb.")
		_, _ = io.Copy(io.Discard, r.Body)
		var m message
		var st *status
		if method == "Maintenance/Status" {
			m.bytes(2, version)
		} else {
			f.calls.Add(1)
			m, st = answer(method)
		}
		w.Header().Set("Content-Type", "application/grpc")
		if st == nil {
			head := make([]byte, 5)
			binary.BigEndian.PutUint32(head[1:], uint32(len(m)))
			_, _ = w.Write(append(head, m...))
			st = &status{}
		}
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", fmt.Sprint(st.code))
		w.Header().Set(http.TrailerPrefix+"Grpc-Message", st.message)
	}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	f.url = s.URL
	return f
}

func open(t *testing.T, servers ...string) *Store {
	s, err := Open(Options{Endpoints: servers})
	require.NoError(t, err)
	s.at = 0 // which is asked first is drawn otherwise
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func nothing(string) (message, *status) { return nil, nil }

func done(string) (message, *status) { return numberRequest(2, 1), nil }

func noLeader(string) (message, *status) {
	return nil, &status{codeUnavailable, "etcdserver: no leader"}
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestAServerThatIsTooOldIsRefusedWithWhatToDo(t *testing.T) {
	for _, version := range []string{"3.6.4", "3.5.30", "2.9.9", "3.6.5-rc.1", "", "unknown"} {
		f := serve(t, version, nothing)
		_, _, err := open(t, f.url).Get(within(t, time.Minute), "a")
		require.ErrorIs(t, err, store.ErrTooOld, version)
		require.ErrorContains(t, err, "upgrade every member of etcd to 3.6.5")
		require.Zero(t, f.calls.Load(), "it is asked for nothing")
	}
	for _, version := range []string{"3.6.5", "3.6.12", "3.7.0", "3.7.0-rc.1", "4.0.0", "3.10.0"} {
		_, _, err := open(t, serve(t, version, nothing).url).Get(within(t, time.Minute), "a")
		require.NoError(t, err, version)
	}
	_, err := open(t, serve(t, "3.5.0", nothing).url, serve(t, "3.7.0", done).url).Commit(within(t, time.Minute), store.Transaction{})
	require.NoError(t, err, "another one is not")
}

func TestATransactionIsSentToAnotherServerOnlyIfNobodyHasItYet(t *testing.T) {
	refused := "http://" + closedPort(t)
	good := serve(t, "3.7.0", done)
	leaderless := serve(t, "3.7.0", noLeader)
	out, err := open(t, refused, leaderless.url, good.url).Commit(within(t, time.Minute), store.Transaction{})
	require.NoError(t, err)
	require.True(t, out.Done)
	require.EqualValues(t, 1, leaderless.calls.Load())

	broken := serve(t, "3.7.0", func(string) (message, *status) {
		return nil, &status{codeUnavailable, "etcdserver: request timed out"}
	})
	good.calls.Store(0)
	_, err = open(t, broken.url, good.url).Commit(within(t, time.Minute), store.Transaction{})
	require.ErrorIs(t, err, store.ErrUnavailable)
	require.Zero(t, good.calls.Load())
	require.EqualValues(t, 1, broken.calls.Load())

	_, err = revision(t, open(t, broken.url, good.url))
	require.NoError(t, err, "a read is sent to another one")
	require.EqualValues(t, 1, good.calls.Load())
}

func revision(t *testing.T, s *Store) (store.Revision, error) {
	_, at, err := s.Get(within(t, time.Minute), "a")
	return at, err
}

func TestWhileThereIsNoLeaderACallWaitsInPausesUntilItsContextEnds(t *testing.T) {
	f := serve(t, "3.7.0", noLeader)
	_, err := open(t, f.url).KeepAlive(within(t, 300*time.Millisecond), 1)
	require.ErrorIs(t, err, store.ErrUnavailable)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "no leader")
	require.Less(t, f.calls.Load(), int64(15))
}

func TestWhatAServerSaysIsAnErrorOfTheStore(t *testing.T) {
	for _, c := range []struct {
		code int
		says string
		kind error
	}{
		{codeNotFound, "etcdserver: requested lease not found", store.ErrLeaseLost},
		{codeOutOfRange, "etcdserver: mvcc: required revision has been compacted", store.ErrCompacted},
		{codePermissionDenied, "etcdserver: permission denied", store.ErrRefused},
		{codeUnauthenticated, "etcdserver: invalid auth token", store.ErrRefused},
		{codeInvalidArgument, "etcdserver: user name is empty", store.ErrRefused},
		{codeInvalidArgument, "etcdserver: authentication failed, invalid user ID or password", store.ErrRefused},
		{codeInvalidArgument, "etcdserver: request is too large", store.ErrInvalid},
		{codeResourceExhausted, "etcdserver: mvcc: database space exceeded", store.ErrFull},
		{codeResourceExhausted, "etcdserver: too many requests", store.ErrUnavailable},
		{codeUnavailable, "etcdserver: request timed out", store.ErrUnavailable},
		{codeUnavailable, "etcdserver: leader changed", store.ErrUnavailable},
		{2, "whatever", store.ErrUnavailable},
		{15, "etcdserver: corrupt cluster", store.ErrUnavailable},
	} {
		f := serve(t, "3.7.0", func(string) (message, *status) { return nil, &status{c.code, c.says} })
		_, err := open(t, f.url).Commit(within(t, time.Minute), store.Transaction{})
		require.ErrorIs(t, err, c.kind, c.says)
		require.ErrorContains(t, err, c.says)
	}
}

func TestWhatIsNotEtcdIsToldFromIt(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler()) // HTTP/1
	defer s.Close()
	_, _, err := open(t, s.URL).Get(within(t, 300*time.Millisecond), "a")
	require.ErrorIs(t, err, store.ErrUnavailable)
	for name, garbage := range map[string]message{"no message": {0xff, 0xff, 0xff}, "cut": {0x0a, 0x7f, 1}} {
		f := serve(t, "3.7.0", func(string) (message, *status) { return garbage, nil })
		_, err := open(t, f.url).Commit(within(t, time.Minute), store.Transaction{})
		require.ErrorIs(t, err, store.ErrUnavailable, name)
		require.ErrorIs(t, err, errWire, name)
	}
}

func TestWhatCannotBeMeantIsRefusedBeforeAnybodyIsAsked(t *testing.T) {
	for name, o := range map[string]Options{
		"no endpoint":     {},
		"no scheme":       {Endpoints: []string{"10.0.0.1:2379"}},
		"a path":          {Endpoints: []string{"http://10.0.0.1:2379/x"}},
		"a user in it":    {Endpoints: []string{"http://u:p@10.0.0.1:2379"}},
		"not protected":   {Endpoints: []string{"http://10.0.0.1:2379"}, CAFile: "ca.pem"},
		"half a pair":     {Endpoints: []string{"https://10.0.0.1:2379"}, CertFile: "c.pem"},
		"half a user":     {Endpoints: []string{"https://10.0.0.1:2379"}, User: "u"},
		"another scheme":  {Endpoints: []string{"unix:///run/etcd"}},
		"one of them not": {Endpoints: []string{"http://10.0.0.1:2379", ""}},
	} {
		_, err := Open(o)
		require.ErrorIs(t, err, store.ErrInvalid, name)
	}
}

func TestARangeOfAPrefixEndsBehindIt(t *testing.T) {
	for prefix, end := range map[string]string{"a": "b", "a/": "a0", "a\xff": "b", "\xff\xff": "\x00"} {
		require.Equal(t, end, after(prefix))
	}
}

func FuzzNoAnswerPanics(f *testing.F) {
	var m, inner message
	inner.number(3, 7)
	m.inner(1, inner)
	m.inner(11, inner)
	f.Add([]byte(m))
	f.Fuzz(func(_ *testing.T, m []byte) {
		for _, decode := range []func([]byte) (answer, error){rangeAnswer, txnAnswer, leaseAnswer, textAnswer, watchAnswer, grantAnswer} {
			_, _ = decode(m)
		}
	})
}

// closedPort returns an address at which nobody listens.
func closedPort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}
