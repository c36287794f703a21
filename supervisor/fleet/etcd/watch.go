package etcd

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"

	"procman/supervisor/fleet/store"
)

// watch is one that goes on over several connections.
type watch struct {
	store  *Store
	prefix string
	after  store.Revision
	tell   func(store.Changes)
}

// follow tells what one server says, until it says no more.
func (w *watch) follow(ctx context.Context, server *server) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// A server that is cut off may take the request and never begin.
	late := time.AfterFunc(3*w.store.o.Patience, func() { cancel(context.DeadlineExceeded) })
	defer late.Stop()
	c, err := w.store.open(ctx, server)
	if err != nil {
		return err
	}
	// While nothing happens a watch is as silent as a dead one. Other calls find out sooner.
	defer context.AfterFunc(c.trusted, func() { cancel(errDistrusted) })()
	// The client's own watcher goes on by itself, and on the server that it has.
	stream, err := pb.NewWatchClient(c.ActiveConnection()).Watch(clientv3.WithRequireLeader(ctx))
	if err == nil {
		from, to := w.store.bounds(w.prefix)
		err = stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{
			CreateRequest: &pb.WatchCreateRequest{
				Key: []byte(from), RangeEnd: []byte(to), StartRevision: int64(w.after) + 1, ProgressNotify: true}}})
		if errors.Is(err, io.EOF) {
			err = nil // why the stream has ended is said by receiving
		}
	}
	for err == nil {
		var m *pb.WatchResponse
		if m, err = stream.Recv(); err == nil {
			late.Stop()
			err = w.take(m)
		}
	}
	err = w.store.judge(ctx, server, c, err)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return err
}

var errDistrusted = errors.New("the server did not answer another call")

// take tells what the message says.
func (w *watch) take(m *pb.WatchResponse) error {
	switch {
	case m.CompactRevision != 0:
		return &status{codes.OutOfRange, "etcdserver: mvcc: required revision has been compacted"}
	case m.Canceled:
		return cancellation(m.CancelReason)
	case m.Created:
		return nil // what it says of the revision is true of the server, and not of what was told
	}
	c := store.Changes{Revision: store.Revision(m.GetHeader().GetRevision())}
	for _, e := range m.Events {
		c.Events = append(c.Events, store.Event{Entry: w.store.entry(e.Kv), Deleted: e.Type == mvccpb.Event_DELETE})
		c.Revision = store.Revision(e.Kv.ModRevision)
	}
	if c.Revision > w.after {
		w.after = c.Revision
		w.tell(c)
	}
	return nil
}

// cancellation is why a server ended a watch, which it says in words.
func cancellation(reason string) error {
	for text, code := range map[string]codes.Code{
		"permission denied": codes.PermissionDenied, "invalid auth token": codes.Unauthenticated,
		"user name is empty": codes.InvalidArgument, "revision of auth store is old": codes.InvalidArgument,
	} {
		if strings.Contains(reason, text) {
			return &status{code, reason}
		}
	}
	return &status{codes.Unavailable, "the server ended the watch: " + reason}
}
