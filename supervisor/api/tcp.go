package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"strings"

	"procman/supervisor"
)

// ServeTCP answers on l, beside the socket, whoever shows the token, until Close. It returns nil after Close.
//
// What a browser may be talked into is refused by the name it uses: the Host of a request must be an IP address, localhost,
// or the name given. Without a token nobody is answered.
func (s *Server) ServeTCP(l net.Listener, name, token string) error {
	s.tcp.Handler = tokenGuard(name, token, s.Handler())
	return s.serve(s.tcp, l)
}

func tokenGuard(name, token string, next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		said, is := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		got := sha256.Sum256([]byte(said)) // of equal length, so that nothing shows by the time it takes
		switch {
		case !ownHost(r.Host, name):
			refuseStranger(w, fmt.Sprintf("the host %.100q is not one of this daemon's; use its IP address or localhost", r.Host))
		case token == "" || !is || subtle.ConstantTimeCompare(want[:], got[:]) != 1:
			w.Header().Set("WWW-Authenticate", "Bearer")
			refuseStranger(w, "the token is missing or wrong; send the one of api.token_file as `Authorization: Bearer TOKEN`")
		default:
			next.ServeHTTP(w, r.WithContext(supervisor.WithOperator(r.Context(), "token from "+hostOf(r.RemoteAddr))))
		}
	})
}

// ownHost reports whether the host of a request can only be meant for this machine: a name that somebody else owns could
// have been pointed here to have a browser speak to the daemon.
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
