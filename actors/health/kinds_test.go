package health

import (
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

func asked(port int, c messages.HealthCheck) messages.Target {
	policy := messages.AppInstance{Health: messages.HealthPolicy{Path: "/x?y=z", Timeout: 5 * time.Second,
		Check: &c}}.WithDefaults().Health
	return messages.Target{ID: "a", Port: port, Policy: policy}
}

func TestARequestIsMadeAsThePolicySays(t *testing.T) {
	t.Parallel()
	inEveryWay(t, func(t *testing.T, ask asker) {
		requests := make(chan *http.Request, 1)
		port := serveHTTP(t, func(_ http.ResponseWriter, r *http.Request) { requests <- r })
		require.True(t, ask(New(Options{}), asked(port,
			messages.HealthCheck{Method: "POST", Host: "example.org", Headers: map[string]string{
				"Authorization": "Bearer t", "user-agent": "me", "X-Two": "2"}})).OK)
		got := <-requests
		require.Equal(t, "POST /x?y=z example.org", got.Method+" "+got.RequestURI+" "+got.Host)
		require.EqualValues(t, 0, got.ContentLength)
		require.Equal(t, http.Header{"Authorization": {"Bearer t"}, "User-Agent": {"me"}, "X-Two": {"2"},
			"Accept": {"*/*"}, "Connection": {"close"},
			"Content-Length": {"0"}}, got.Header)

		require.True(t, ask(New(Options{}), asked(port, messages.HealthCheck{Status: "200 404"})).OK)
		got = <-requests
		require.Equal(t, "GET localhost:"+strconv.Itoa(port), got.Method+" "+got.Host)
		require.Equal(t, http.Header{"User-Agent": {"procman"}, "Accept": {"*/*"}, "Connection": {"close"}}, got.Header)
	})
}

func TestOnlyAStatusThatIsAcceptedIsHealthy(t *testing.T) {
	t.Parallel()
	inEveryWay(t, func(t *testing.T, ask asker) {
		var status atomic.Int32
		port := serveHTTP(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(int(status.Load()))
			if status.Load() != http.StatusNoContent {
				_, _ = io.WriteString(w, "a body")
			}
		})
		for _, c := range []struct {
			accepted messages.WordList
			status   int
			method   string
			cause    string
		}{
			{"200", 200, "GET", ""},
			{"200-299", 204, "GET", ""},
			{"200-299", 204, "HEAD", ""},
			{"200", 200, "HEAD", ""},
			{"204 301", 301, "GET", ""},
			{"401", 401, "GET", ""},
			{"200-299 404", 503, "GET", "status 503, only 200-299 or 404 is healthy"},
			{"204", 200, "GET", "status 200, only 204 is healthy"},
			{"204", 200, "HEAD", "status 200, only 204 is healthy"},
			{"204", 302, "GET", "redirect to /elsewhere"},
			{"200", 500, "HEAD", "status 500"},
		} {
			status.Store(int32(c.status))
			p := ask(New(Options{}), asked(port, messages.HealthCheck{Status: c.accepted, Method: c.method}))
			require.Equal(t, c.cause, p.Error, "%v", c)
			require.Equal(t, c.cause == "", p.OK, "%v", c)
			require.Equal(t, c.status, p.Status)
			require.False(t, p.Void)
			if c.method == "GET" && c.status != 204 {
				require.Equal(t, "a body", p.Body)
			}
		}
	})
}
