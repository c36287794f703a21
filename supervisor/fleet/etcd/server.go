package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// oldest is the version that a server must have at least: one before may answer the renewal of a lease that it has revoked.
const oldest = "3.6.5"

// server is one endpoint, and the connection to it.
type server struct {
	url string

	mu  sync.Mutex
	now *connection // nil: the next call makes one
}

// connection is what calls to a server go over.
type connection struct {
	*http.Transport
	trusted context.Context // ends when a call over it was not answered
	end     context.CancelFunc
	good    atomic.Bool // the server's version is
}

// connection returns that of the server. tls returns what it is made with, if it has to be.
func (s *server) connection(tls func() (*tls.Config, error)) (*connection, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now == nil {
		config, err := tls()
		if err != nil {
			return nil, err
		}
		c := &connection{Transport: newTransport(config)}
		c.trusted, c.end = context.WithCancel(context.Background())
		s.now = c
	}
	return s.now, nil
}

// distrust gives the connection up. Calls that are under way on it go on, but for watches: these might wait for long.
func (s *server) distrust(c *connection) {
	s.mu.Lock()
	if s.now == c {
		s.now = nil
	}
	s.mu.Unlock()
	c.end()
	c.CloseIdleConnections()
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

func newTransport(config *tls.Config) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	dialer := &net.Dialer{Timeout: 3 * time.Second}
	return &http.Transport{
		Proxy: nil, DialContext: dialer.DialContext, TLSClientConfig: config, TLSHandshakeTimeout: 3 * time.Second,
		Protocols: protocols, DisableCompression: true, IdleConnTimeout: 90 * time.Second,
		// A watch is silent while nothing happens, so somebody has to find out that its server is gone. etcd takes pings
		// every five seconds, and no more often.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 6 * time.Second, PingTimeout: 3 * time.Second, WriteByteTimeout: 3 * time.Second},
	}
}

// verify asks the server for its version, unless that was done on this connection.
func (s *server) verify(ctx context.Context, c *connection, token string) error {
	call, err := call(ctx, c, s.url, "Maintenance/Status", token, nil, false)
	if err != nil {
		return err
	}
	defer call.close()
	m, err := call.one()
	if err != nil {
		return err
	}
	a, err := textAnswer(m)
	if err != nil {
		return err
	}
	if older(a.version, oldest) {
		return &tooOldError{s.url, a.version}
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
