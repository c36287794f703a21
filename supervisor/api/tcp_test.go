package api

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const token, readToken = "correct-horse-battery", "staple-of-a-reader"

func TestOverTCPOnlyWhoShowsTheTokenIsAnswered(t *testing.T) {
	w := newWorld("web")
	s, err := New(w.options())
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- s.ServeTCP(l, "manager.example", Tokens{Full: token, Read: readToken}) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		require.NoError(t, s.Close())
		require.NoError(t, <-served)
	})
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)

	for _, c := range []struct {
		host, authorization string
		status              int
	}{
		{"127.0.0.1:" + port, "Bearer " + token, 200},
		{"localhost:" + port, "Bearer " + token, 200},
		{"[::1]:" + port, "Bearer " + token, 200},
		{"[::1]", "Bearer " + token, 200},
		{"manager.example:" + port, "Bearer " + token, 200},
		{"evil.example:" + port, "Bearer " + token, 403},
		{"", "Bearer " + token, 403},
		{"127.0.0.1:" + port, "", 403},
		{"127.0.0.1:" + port, "Bearer ", 403},
		{"127.0.0.1:" + port, "Bearer " + token + "x", 403},
		{"127.0.0.1:" + port, token, 403},
		{"127.0.0.1:" + port, "Basic " + token, 403},
	} {
		r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+l.Addr().String()+"/v1/reload", nil)
		require.NoError(t, err)
		r.Host = c.host
		if c.host == "" {
			r.Host = " "
		}
		if c.authorization != "" {
			r.Header.Set("Authorization", c.authorization)
		}
		before := len(w.said())
		response, err := http.DefaultClient.Do(r)
		if c.host == "" { // refused even before it is looked at
			if err == nil {
				require.NotEqual(t, 200, response.StatusCode)
				require.NoError(t, response.Body.Close())
			}
			continue
		}
		require.NoError(t, err)
		text, err := io.ReadAll(response.Body)
		require.NoError(t, errors.Join(err, response.Body.Close()))
		require.Equal(t, c.status, response.StatusCode, "%+v: %s", c, text)
		require.Equal(t, c.status == 200, len(w.said()) > before, "%+v", c)
		require.NotContains(t, string(text), token)
	}

	client := NewRemoteClient("http://"+l.Addr().String(), token)
	defer client.Close()
	_, err = client.Stop(t.Context(), "web")
	require.NoError(t, err)
	guest := NewRemoteClient("http://"+l.Addr().String(), readToken)
	defer guest.Close()
	_, err = guest.Instances(t.Context())
	require.NoError(t, err)
	done := w.said()
	_, err = guest.Stop(t.Context(), "web")
	require.ErrorContains(t, err, "the token is that of api.read_token_file, with which nothing can be changed")
	require.Equal(t, done, w.said())
	stranger := NewRemoteClient("http://"+l.Addr().String(), strings.ToUpper(token))
	defer stranger.Close()
	_, err = stranger.Stop(t.Context(), "web")
	var refusal *Error
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, CodeForbidden, refusal.Code)
}

func TestWithoutATokenNobodyIsAnsweredOverTCP(t *testing.T) {
	h := (&Server{}).tokenGuard("", Tokens{Read: readToken}, http.NotFoundHandler())
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://127.0.0.1/healthz", nil)
	require.NoError(t, err)
	for _, said := range []string{"", readToken} {
		r.Header.Set("Authorization", "Bearer "+said)
		v := verdict{header: http.Header{}}
		h.ServeHTTP(&v, r)
		require.Equal(t, 403, v.status)
	}
}
