package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"procman/supervisor/fleet/etcd"
	"procman/supervisor/fleet/store"
)

func start(t *testing.T, c Config) *Cluster {
	t.Helper()
	c.Dir = t.TempDir()
	cluster, err := Start(c)
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	return cluster
}

// reference returns the client of the etcd project.
func reference(t *testing.T, endpoints ...string) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop()})
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

type world struct {
	servers   []string
	prefix    string
	reference *clientv3.Client
	links     map[store.Store][]*link
}

// Client returns a client whose connections can be cut.
func (w *world) Client(t *testing.T) store.Store {
	t.Helper()
	o := etcd.Options{Prefix: w.prefix, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
	var links []*link
	for _, s := range w.servers {
		l := newLink(t, s)
		links = append(links, l)
		o.Endpoints = append(o.Endpoints, l.url)
	}
	c, err := etcd.Open(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	w.links[c] = links
	return c
}

func (w *world) Compact(t *testing.T, before store.Revision) {
	t.Helper()
	_, err := w.reference.Compact(t.Context(), int64(before))
	require.NoError(t, err)
}

func (w *world) Cut(_ *testing.T, c store.Store)  { w.set(c, true, true) }
func (w *world) Deaf(_ *testing.T, c store.Store) { w.set(c, false, true) }
func (w *world) Heal(_ *testing.T, c store.Store) { w.set(c, false, false) }

func (w *world) set(c store.Store, there, back bool) {
	for _, l := range w.links[c] {
		l.set(there, back)
	}
}

// link is a way to a server that can be cut, each direction for itself. What is under way then arrives when it is
// healed, as over a network.
type link struct {
	url    string
	server string
	listen net.Listener
	all    sync.WaitGroup

	mu          sync.Mutex
	changed     sync.Cond
	there, back bool // it is cut
	closed      bool
	open        []net.Conn
}

func newLink(t *testing.T, server string) *link {
	u, err := url.Parse(server)
	require.NoError(t, err)
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &link{server: u.Host, listen: listen, url: fmt.Sprintf("%s://%s", u.Scheme, listen.Addr())}
	l.changed.L = &l.mu
	l.all.Go(l.accept)
	t.Cleanup(func() {
		l.mu.Lock()
		l.closed = true
		for _, c := range l.open {
			_ = c.Close()
		}
		l.mu.Unlock()
		l.changed.Broadcast()
		_ = listen.Close()
		l.all.Wait()
	})
	return l
}

func (l *link) set(there, back bool) {
	l.mu.Lock()
	l.there, l.back = there, back
	l.mu.Unlock()
	l.changed.Broadcast()
}

func (l *link) accept() {
	for {
		near, err := l.listen.Accept()
		if err != nil {
			return
		}
		far, err := (&net.Dialer{Timeout: time.Second}).DialContext(context.Background(), "tcp", l.server)
		if err != nil {
			_ = near.Close()
			continue
		}
		l.mu.Lock()
		l.open = append(l.open, near, far)
		l.mu.Unlock()
		l.all.Go(func() { l.carry(near, far, &l.there) })
		l.all.Go(func() { l.carry(far, near, &l.back) })
	}
}

func (l *link) carry(from, to net.Conn, cut *bool) {
	defer from.Close()
	defer to.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		l.mu.Lock()
		for *cut && !l.closed {
			l.changed.Wait()
		}
		l.mu.Unlock()
		if _, werr := to.Write(buffer[:n]); err != nil || werr != nil {
			return
		}
	}
}
