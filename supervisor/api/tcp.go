package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
)

// Tokens are what callers over TCP must show: Full to do everything, Read, if it is not empty, to read only. Without
// the first nobody is answered.
type Tokens struct{ Full, Read string }

// ServeTCP answers on l, beside the socket, whoever shows a token, until Close. It returns nil after Close.
//
// What a browser may be talked into is refused by the name it uses: the Host of a request must be an IP address,
// localhost, or the name given.
func (s *Server) ServeTCP(l net.Listener, name string, tokens Tokens) error {
	s.tcp.Handler = s.tokenGuard(name, tokens, s.Handler())
	return s.serve(s.tcp, l)
}

func (s *Server) tokenGuard(name string, tokens Tokens, next http.Handler) http.Handler {
	full, read := sha256.Sum256([]byte(tokens.Full)), sha256.Sum256([]byte(tokens.Read))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		said, is := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		got := sha256.Sum256([]byte(said)) // of equal length, so that nothing shows by the time it takes
		shown := func(token string, sum [sha256.Size]byte) bool {
			return subtle.ConstantTimeCompare(sum[:], got[:]) == 1 && is && token != ""
		}
		by := "token from " + hostOf(r.RemoteAddr)
		switch {
		case !ownHost(r.Host, name):
			refuseStranger(w,
				fmt.Sprintf("the host %.100q is not one of this daemon's; use its IP address or localhost", r.Host))
		case shown(tokens.Full, full):
			s.admit(w, r, next, operator, nil, by)
		case tokens.Full != "" && shown(tokens.Read, read):
			s.admit(w, r, next, reader, errors.New("the token is that of api.read_token_file, with which nothing can "+
				"be changed; "+
				"send the one of api.token_file for that"), by)
		default:
			w.Header().Set("WWW-Authenticate", "Bearer")
			refuseStranger(w, "the token is missing or wrong; send the one of api.token_file as `Authorization: "+
				"Bearer TOKEN`")
		}
	})
}

// ownHost reports whether the host of a request can only be meant for this machine: a name that somebody else owns
// could have been pointed here to have a browser speak to the daemon.
func ownHost(host, name string) bool {
	host = hostOf(host)
	return net.ParseIP(host) != nil || host == "localhost" || name != "" && host == name
}

func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return strings.Trim(address, "[]")
}
