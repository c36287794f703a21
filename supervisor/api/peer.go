package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"

	"procman/supervisor"
)

// peer is who is at the other end of a connection.
type peer struct {
	uid uint32
	err error // it could not be learned
}

// verdictOn returns why the peer is not answered by a daemon of the user; nil if it is.
func verdictOn(p peer, daemon int) error {
	switch {
	case p.err != nil:
		return fmt.Errorf("who is calling could not be learned: %w", p.err)
	case p.uid == 0, int(p.uid) == daemon:
		return nil
	}
	return fmt.Errorf("user %d is not allowed to speak to this daemon; it answers user %d and root", p.uid, daemon)
}

type peerKey struct{}

// withPeer asks the kernel once per connection.
func withPeer(ctx context.Context, conn net.Conn) context.Context {
	if p, is := conn.(*limitedConn); is {
		conn = p.Conn
	}
	return context.WithValue(ctx, peerKey{}, peerOf(conn))
}

// guard answers those who may ask, and disconnects all others.
func guard(next http.Handler) http.Handler {
	daemon := os.Geteuid()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, is := r.Context().Value(peerKey{}).(peer)
		if !is {
			p.err = errors.New("the connection was not looked at")
		}
		if err := verdictOn(p, daemon); err != nil {
			refuseStranger(w, err.Error())
			return
		}
		next.ServeHTTP(w, r.WithContext(supervisor.WithOperator(r.Context(), fmt.Sprintf("uid %d", p.uid))))
	})
}

// refuseStranger answers somebody who may not ask, and disconnects him.
func refuseStranger(w http.ResponseWriter, why string) {
	w.Header().Set("Connection", "close")
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusForbidden)
	// Whether a stranger reads this is its own business.
	_ = json.NewEncoder(w).Encode(Error{Message: why, Code: CodeForbidden})
}
