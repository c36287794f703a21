package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"

	"procman/supervisor"
)

// peer is who is at the other end of a connection.
type peer struct {
	uid    uint32
	groups []uint32 // all that it is in, if they are asked for
	err    error    // it could not be learned
}

// role is what a caller may do.
type role int

const (
	stranger role = iota // nothing
	reader               // ask for whatever changes nothing
	operator             // everything
)

// roleOf returns what the peer may do at a daemon of the user, with those in the group as readers if there is one, and
// why no more.
func roleOf(p peer, daemon int, group *int) (role, error) {
	switch {
	case p.err != nil:
		return stranger, fmt.Errorf("who is calling could not be learned: %w", p.err)
	case p.uid == 0, int(p.uid) == daemon:
		return operator, nil
	case group != nil && slices.Contains(p.groups, uint32(*group)):
		return reader, fmt.Errorf("user %d may read here, as one of the group api.read_group, and change nothing; "+
			"user %d and root may", p.uid, daemon)
	}
	return stranger, fmt.Errorf("user %d is not allowed to speak to this daemon; it answers user %d and root",
		p.uid, daemon)
}

type peerKey struct{}

// withPeer asks the kernel once per connection.
func (s *Server) withPeer(ctx context.Context, conn net.Conn) context.Context {
	if p, is := conn.(*limitedConn); is {
		conn = p.Conn
	}
	return context.WithValue(ctx, peerKey{}, peerOf(conn, s.options.ReadGroup != nil))
}

// guard answers those who may ask, and disconnects all others.
func (s *Server) guard(next http.Handler) http.Handler {
	daemon := os.Geteuid()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, is := r.Context().Value(peerKey{}).(peer)
		if !is {
			p.err = errors.New("the connection was not looked at")
		}
		may, why := roleOf(p, daemon, s.options.ReadGroup)
		s.admit(w, r, next, may, why, fmt.Sprintf("uid %d", p.uid))
	})
}

// admit has a request answered as far as the role of its caller goes; why says why that is no further.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, next http.Handler, may role, why error, by string) {
	changes := r.Method != http.MethodGet && r.Method != http.MethodHead
	if may == stranger || may == reader && changes {
		refuseStranger(w, why.Error())
		return
	}
	if may == reader {
		select {
		case s.readers <- struct{}{}:
			defer func() { <-s.readers }()
		default:
			w.Header().Set("Connection", "close") // others may wait for it
			s.no(w, r, &Error{"too many who may only read are asking at once; try again later", CodeBusy,
				http.StatusServiceUnavailable})
			return
		}
	}
	next.ServeHTTP(w, r.WithContext(supervisor.WithOperator(r.Context(), by)))
}

// refuseStranger answers somebody who may not ask, and disconnects him.
func refuseStranger(w http.ResponseWriter, why string) {
	w.Header().Set("Connection", "close")
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusForbidden)
	// Whether a stranger reads this is its own business.
	_ = json.NewEncoder(w).Encode(Error{Message: why, Code: CodeForbidden})
}
