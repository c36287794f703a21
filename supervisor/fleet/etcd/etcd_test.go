package etcd

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"procman/supervisor/fleet/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a server that answers every request as it is told: with a message, or with a status.
type fake struct {
	url   string
	calls atomic.Int64 // beside those for the version
	conns atomic.Int64
}

func serve(t *testing.T, version string, answer func(method string) (proto.Message, *status)) *fake {
	f := &fake{}
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		method, _ := grpc.MethodFromServerStream(stream)
		if err := stream.RecvMsg(&emptypb.Empty{}); err != nil { // what is asked is of no interest here
			return err
		}
		if method == "/etcdserverpb.Maintenance/Status" {
			f.conns.Add(1)
			return stream.SendMsg(&pb.StatusResponse{Version: version})
		}
		f.calls.Add(1)
		m, st := answer(strings.TrimPrefix(method, "/etcdserverpb."))
		if st != nil {
			return grpcstatus.Error(st.code, st.message)
		}
		return stream.SendMsg(m)
	}))
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.Serve(listen) }()
	t.Cleanup(func() { s.Stop(); <-ended })
	f.url = "http://" + listen.Addr().String()
	return f
}

func open(t *testing.T, servers ...string) *Store {
	s, err := Open(Options{Endpoints: servers})
	require.NoError(t, err)
	s.at = 0 // which is asked first is drawn otherwise
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func nothing(string) (proto.Message, *status) {
	return &pb.RangeResponse{Header: &pb.ResponseHeader{}}, nil
}

func done(method string) (proto.Message, *status) {
	if method == "KV/Range" {
		return nothing(method)
	}
	return &pb.TxnResponse{Header: &pb.ResponseHeader{}, Succeeded: true}, nil
}

func noLeader(string) (proto.Message, *status) {
	return nil, &status{codes.Unavailable, "etcdserver: no leader"}
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
	_, err := open(t, serve(t, "3.5.0", nothing).url, serve(t, "3.7.0", done).url).Commit(within(t, time.Minute),
		store.Transaction{})
	require.NoError(t, err, "another one is not")
}

func TestEveryServerIsExaminedAndSaysWhyItCannotBeUsed(t *testing.T) {
	good, old, refused := serve(t, "3.7.0", done), serve(t, "3.5.1", done), "http://"+closedPort(t)
	got := open(t, good.url, old.url, refused).Examine(within(t, time.Minute))
	require.Len(t, got, 3)
	require.Equal(t, good.url, got[0].Server)
	require.Equal(t, "3.7.0", got[0].Version)
	require.NoError(t, got[0].Err)
	require.ErrorContains(t, got[1].Err, "3.5.1, and 3.6.5 is needed")
	require.Contains(t, got[1].Advice, "upgrade")
	require.Error(t, got[2].Err)
	require.Equal(t, refused, got[2].Server)
}

func TestATransactionIsSentToAnotherServerOnlyIfNobodyHasItYet(t *testing.T) {
	refused := "http://" + closedPort(t)
	good := serve(t, "3.7.0", done)
	leaderless := serve(t, "3.7.0", noLeader)
	out, err := open(t, refused, leaderless.url, good.url).Commit(within(t, time.Minute), store.Transaction{})
	require.NoError(t, err)
	require.True(t, out.Done)
	require.EqualValues(t, 1, leaderless.calls.Load())

	broken := serve(t, "3.7.0", func(string) (proto.Message, *status) {
		return nil, &status{codes.Unavailable, "etcdserver: request timed out"}
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
		code codes.Code
		says string
		kind error
	}{
		{codes.NotFound, "etcdserver: requested lease not found", store.ErrLeaseLost},
		{codes.OutOfRange, "etcdserver: mvcc: required revision has been compacted", store.ErrCompacted},
		{codes.PermissionDenied, "etcdserver: permission denied", store.ErrRefused},
		{codes.Unauthenticated, "etcdserver: invalid auth token", store.ErrRefused},
		{codes.InvalidArgument, "etcdserver: user name is empty", store.ErrRefused},
		{codes.InvalidArgument, "etcdserver: authentication failed, invalid user ID or password", store.ErrRefused},
		{codes.InvalidArgument, "etcdserver: request is too large", store.ErrInvalid},
		{codes.ResourceExhausted, "etcdserver: mvcc: database space exceeded", store.ErrFull},
		{codes.ResourceExhausted, "etcdserver: too many requests", store.ErrUnavailable},
		{codes.Unavailable, "etcdserver: request timed out", store.ErrUnavailable},
		{codes.Unavailable, "etcdserver: leader changed", store.ErrUnavailable},
		{2, "whatever", store.ErrUnavailable},
		{15, "etcdserver: corrupt cluster", store.ErrUnavailable},
	} {
		f := serve(t, "3.7.0", func(string) (proto.Message, *status) { return nil, &status{c.code, c.says} })
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
	f := serve(t, "3.7.0", func(string) (proto.Message, *status) {
		return &wrapperspb.BytesValue{Value: []byte{0xff, 0xff, 0xff}}, nil
	})
	_, err = open(t, f.url).Commit(within(t, time.Minute), store.Transaction{})
	require.ErrorIs(t, err, store.ErrUnavailable)
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

func TestALeaseIsRenewedOnceForEachCallAndOverOneConnection(t *testing.T) {
	f := serve(t, "3.7.0", func(string) (proto.Message, *status) {
		return &pb.LeaseKeepAliveResponse{Header: &pb.ResponseHeader{}, ID: 1, TTL: 9}, nil
	})
	s := open(t, f.url)
	for n := range 3 {
		ttl, err := s.KeepAlive(within(t, time.Minute), 1)
		require.NoError(t, err)
		require.Equal(t, 9*time.Second, ttl)
		require.EqualValues(t, n+1, f.calls.Load())
	}
	require.EqualValues(t, 1, f.conns.Load(), "it is asked for its version once for each connection")
	gone := serve(t, "3.7.0", func(string) (proto.Message, *status) {
		return &pb.LeaseKeepAliveResponse{Header: &pb.ResponseHeader{}, ID: 1}, nil
	})
	_, err := open(t, gone.url).KeepAlive(within(t, time.Minute), 1)
	require.ErrorIs(t, err, store.ErrLeaseLost)
}

func TestAServerThatTakesEverythingAndAnswersNothingHoldsNobodyUpForLong(t *testing.T) {
	hole, err := net.Listen("tcp", "127.0.0.1:0") // the kernel connects, and nobody accepts
	require.NoError(t, err)
	defer hole.Close()
	s := open(t, "http://"+hole.Addr().String(), serve(t, "3.7.0", done).url)
	_, err = revision(t, s)
	require.NoError(t, err, "another one is asked")
	s = open(t, "http://"+hole.Addr().String())
	for range 2 {
		_, err = s.Commit(within(t, 200*time.Millisecond), store.Transaction{})
		require.ErrorIs(t, err, store.ErrUnavailable)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
}

func TestAConnectionThatEndedIsMadeAnewAndItsServerIsAskedForItsVersion(t *testing.T) {
	f := serve(t, "3.7.0", done)
	s := open(t, f.url)
	_, err := revision(t, s)
	require.NoError(t, err)
	s.servers[0].now.ActiveConnection().Close()
	_, err = s.Commit(within(t, time.Minute), store.Transaction{})
	require.NoError(t, err)
	require.EqualValues(t, 2, f.conns.Load())
}

// closedPort returns an address at which nobody listens.
func closedPort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}
