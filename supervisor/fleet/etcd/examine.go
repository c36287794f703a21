package etcd

import (
	"context"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"procman/supervisor/fleet/store"
)

// Examine returns what each of the servers says of itself, in the order of the endpoints. It asks all of them at once,
// and returns when all have answered or ctx ends.
func (s *Store) Examine(ctx context.Context) []store.Examined {
	list := make([]store.Examined, len(s.servers))
	var asked sync.WaitGroup
	for n, server := range s.servers {
		asked.Go(func() {
			x := &list[n]
			x.Server = server.url
			began := time.Now()
			if x.Version, x.Err = s.version(ctx, server); x.Err != nil {
				x.Advice, _ = kindOf(x.Err)
			}
			x.Took = time.Since(began)
		})
	}
	asked.Wait()
	return list
}

func (s *Store) version(ctx context.Context, server *server) (string, error) {
	ctx, leave, ok := s.enter(ctx)
	if !ok {
		return "", store.ErrClosed
	}
	defer leave()
	c, err := s.open(ctx, server)
	if err != nil {
		return "", err
	}
	a, err := pb.NewMaintenanceClient(c.ActiveConnection()).Status(ctx, &pb.StatusRequest{})
	if err = s.judge(ctx, server, c, err); err != nil {
		return "", err
	}
	return a.Version, nil
}
