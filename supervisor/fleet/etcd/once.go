package etcd

import (
	"context"

	"google.golang.org/grpc"
)

// attempt is the key of a context under which a stream is to be opened once: the value ends it.
type attempt struct{}

// oneAttempt returns a context in which the client renews a lease once. By itself it asks again as long as a server has
// no leader, without a pause.
func oneAttempt(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	return context.WithValue(ctx, attempt{}, cancel), cancel
}

// once ends the attempt with its first error, before the client looks whether there may be another one.
func once(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer,
	opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s, err := streamer(ctx, desc, cc, method, opts...)
	end, bounded := ctx.Value(attempt{}).(context.CancelFunc)
	if !bounded {
		return s, err
	}
	if err != nil {
		end()
		return nil, err
	}
	return &onceStream{s, end}, nil
}

type onceStream struct {
	grpc.ClientStream
	end context.CancelFunc
}

func (s *onceStream) SendMsg(m any) error { return s.ended(s.ClientStream.SendMsg(m)) }

func (s *onceStream) RecvMsg(m any) error { return s.ended(s.ClientStream.RecvMsg(m)) }

func (s *onceStream) ended(err error) error {
	if err != nil {
		s.end()
	}
	return err
}
