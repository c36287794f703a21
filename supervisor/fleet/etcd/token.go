package etcd

import (
	"context"
	"errors"
	"sync/atomic"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// tokens is what a user is known by once its password was shown. The client is told of no user: it would authenticate
// anew for each stream, and a renewal of a lease is one.
type tokens struct{ now atomic.Pointer[string] }

func (t *tokens) get() string {
	if now := t.now.Load(); now != nil {
		return *now
	}
	return ""
}

func (t *tokens) set(token string) { t.now.Store(&token) }

// GetRequestMetadata is for gRPC: what goes with each call.
func (t *tokens) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	token := t.get()
	if token == "" {
		return nil, nil
	}
	return map[string]string{rpctypes.TokenFieldNameGRPC: token}, nil
}

// RequireTransportSecurity is for gRPC: whether that may go over a connection that is not protected is up to who names
// the endpoints.
func (t *tokens) RequireTransportSecurity() bool { return false }

// authenticate gets a token. It is empty if etcd asks nobody who he is.
func (s *Store) authenticate(ctx context.Context, c *connection) error {
	password, err := s.o.password()
	if err != nil {
		return &passwordError{err}
	}
	a, err := c.Authenticate(ctx, s.o.User, password)
	if errors.Is(err, rpctypes.ErrAuthNotEnabled) {
		return nil
	}
	if err == nil {
		s.tokens.set(a.Token)
	}
	return err
}

// passwordError says that nobody was asked, since the password is not known.
type passwordError struct{ error }

func (e *passwordError) Unwrap() error { return e.error }
