package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
)

// oldest is the version that a server must have at least: one before may answer the renewal of a lease that it has
// revoked.
const oldest = "3.6.5"

// server is one endpoint, and the connection to it. Each has a client of its own: one that has several chooses by
// itself which server it asks, and asks one whose version nobody has looked at.
type server struct {
	url string

	mu  sync.Mutex
	now *connection // nil: the next call makes one
}

// connection is a client over one connection: it makes no second one, to a server that may be another by then.
type connection struct {
	*clientv3.Client
	trusted context.Context // ends when a call over it was not answered
	end     context.CancelFunc
	dialed  atomic.Bool
	good    atomic.Bool // the server's version is
}

// connection returns that of the server.
func (s *server) connection(o *Options, tokens *tokens) (*connection, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.now; c != nil && c.good.Load() && c.ActiveConnection().GetState() != connectivity.Ready {
		s.now = nil
		c.close()
	}
	if s.now == nil {
		c, err := o.connect(s.url, tokens)
		if err != nil {
			return nil, err
		}
		s.now = c
	}
	return s.now, nil
}

// connect returns a connection that the first call over it makes.
func (o *Options) connect(url string, tokens *tokens) (*connection, error) {
	var config *tls.Config
	if strings.HasPrefix(url, "https:") {
		var err error
		if config, err = o.tls(); err != nil {
			return nil, err
		}
	}
	c := &connection{}
	dialer := &net.Dialer{Timeout: 3 * time.Second}
	client, err := clientv3.New(clientv3.Config{
		Endpoints: []string{url}, TLS: config, Logger: zap.NewNop(),
		// A watch is silent while nothing happens, so somebody has to find out that its server is gone. Less than ten
		// seconds gRPC does not take.
		DialKeepAliveTime: 10 * time.Second, DialKeepAliveTimeout: 3 * time.Second,
		MaxUnaryRetries: 1, // what is sent again, and to whom, is decided here
		DialOptions: []grpc.DialOption{
			grpc.WithPerRPCCredentials(tokens), grpc.WithChainStreamInterceptor(once),
			grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
				if c.dialed.Swap(true) {
					return nil, errGone
				}
				return dialer.DialContext(ctx, "tcp", address)
			}),
		},
	})
	if err != nil {
		return nil, err
	}
	c.Client = client
	c.trusted, c.end = context.WithCancel(context.Background())
	return c, nil
}

var errGone = errors.New("the connection is gone")

// distrust gives the connection up. What is under way on it ends: it would not be answered any sooner than another
// call.
func (s *server) distrust(c *connection) {
	s.mu.Lock()
	if s.now == c {
		s.now = nil
	}
	s.mu.Unlock()
	c.close()
}

func (c *connection) close() {
	c.end()
	_ = c.Close() // it says that its own context has ended
}

// close ends the connection. No call may be under way.
func (s *server) close() {
	s.mu.Lock()
	c := s.now
	s.mu.Unlock()
	if c != nil {
		s.distrust(c)
	}
}

// verify asks the server for its version, unless that was done on this connection.
func (s *server) verify(ctx context.Context, c *connection) error {
	// The client's own Status asks over a connection that it makes for that.
	a, err := pb.NewMaintenanceClient(c.ActiveConnection()).Status(ctx, &pb.StatusRequest{})
	if err != nil {
		return err
	}
	if older(a.Version, oldest) {
		return &tooOldError{s.url, a.Version}
	}
	c.good.Store(true)
	return nil
}

// older reports whether version a is before b, or is none that can be read.
func older(a, b string) bool {
	parse := func(v string) (n [3]int, err error) {
		plain, pre, _ := strings.Cut(v, "-")
		parts := strings.Split(plain, ".")
		if len(parts) != 3 {
			return n, errors.New("no version")
		}
		for i, p := range parts {
			if n[i], err = strconv.Atoi(p); err != nil {
				return n, err
			}
		}
		if pre != "" {
			n[2]-- // a release candidate comes before its release
		}
		return n, nil
	}
	x, err := parse(a)
	y, _ := parse(b)
	if err != nil {
		return true
	}
	for i := range x {
		if x[i] != y[i] {
			return x[i] < y[i]
		}
	}
	return false
}
