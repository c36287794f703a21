package api

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

func planRequest(t *testing.T, s *Server, method, target, body string) (status int, answer string) {
	t.Helper()
	w := &heard{verdict: verdict{header: http.Header{}}}
	r, err := http.NewRequestWithContext(t.Context(), method, "http://procman"+target, strings.NewReader(body))
	require.NoError(t, err)
	s.Handler().ServeHTTP(w, r)
	return w.status, w.text.String()
}

// heard keeps the text of an answer as well.
type heard struct {
	verdict
	text strings.Builder
}

func (h *heard) Write(p []byte) (int, error) { return h.text.Write(p) }

func TestTheDaemonOpensNoFileThatAClientNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // who is kept from the processor is not late
		w := newWorld("web")
		s, err := New(w.options())
		require.NoError(t, err)
		for _, c := range []struct {
			method, target, body string
			status               int
			says                 string
		}{
			{"GET", "/v1/plan", "", 200, `"config":"/own.yaml"`},
			{"GET", "/v1/plan?config=/etc/shadow", "", 400, "opens no file that a client names"},
			{"GET", "/v1/plan?config=", "", 400, "opens no file that a client names"},
			{"POST", "/v1/plan", `{"config":"/a.yaml","files":{"/a.yaml":{"text":"eA=="}},"dirs":{}}`,
				200, `"config":"/a.yaml"`},
			{"POST", "/v1/plan", `{"config":"/etc/shadow","files":{},"dirs":{}}`, 400, "files has no text of"},
			{"POST", "/v1/plan", `{"config":"a.yaml","files":{"a.yaml":{}}}`, 400, "must be an absolute path"},
			{"POST", "/v1/plan", `{"config":"/` + strings.Repeat("x", 5000) + `"}`, 400, "files has no text of"},
			{"POST", "/v1/plan", `nonsense`, 400, "the body is no proposal"},
			{"POST", "/v1/plan", `{"path":"/etc/shadow"}`, 400, "the body is no proposal"},
			{"POST", "/v1/plan", `{"config":"` + strings.Repeat("x", maxProposal), 413, "larger than"},
		} {
			status, answer := planRequest(t, s, c.method, c.target, c.body)
			require.Equal(t, c.status, status, "%s %s: %s", c.method, c.target, answer)
			require.Contains(t, answer, c.says)
			require.Less(t, len(answer), 400, "what came from outside is clipped")
		}
	})
}

func TestAPlanThatHangsKeepsNobodyElseForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, hang := newWorld("web"), make(chan struct{})
		o := w.options()
		o.Plan = func(context.Context, *Proposal) (Plan,
			error) {
			<-hang
			return Plan{Changes: []messages.Change{}}, nil
		}
		s, err := New(o)
		require.NoError(t, err)
		for range plansAtOnce {
			status, answer := planRequest(t, s, "GET", "/v1/plan", "")
			require.Equal(t, http.StatusGatewayTimeout, status, answer)
		}
		status, answer := planRequest(t, s, "GET", "/v1/plan", "")
		require.Equal(t, http.StatusServiceUnavailable, status, answer)
		require.Contains(t, answer, "other plans are being made")
		status, _ = planRequest(t, s, "GET", "/v1/instances", "")
		require.Equal(t, 200, status, "others are answered")
		close(hang)
		synctest.Wait()
		status, _ = planRequest(t, s, "GET", "/v1/plan", "")
		require.Equal(t, 200, status)
	})
}

func TestAClientSendsTheTextsOfAConfiguration(t *testing.T) {
	w := newWorld("web")
	var got *Proposal
	_, _, c := w.serve(t, func(o *Options) {
		o.Plan = func(_ context.Context, p *Proposal) (Plan, error) {
			got = p
			return Plan{Changes: []messages.Change{}}, nil
		}
	})
	large := make([]byte, 3<<20)
	sent := Proposal{Config: "/a.yaml", Files: map[string]ProposedFile{"/a.yaml": {Text: large},
		"/b.env": {Error: "file does not exist", Missing: true}},
		Dirs: map[string]ProposedDir{"/d": {Names: []string{"x.yaml"}}}}
	_, err := c.PlanOf(t.Context(), sent)
	require.NoError(t, err)
	require.Equal(t, sent, *got)
	sent.Files["/c"] = ProposedFile{Text: make([]byte, maxProposal)}
	_, err = c.PlanOf(t.Context(), sent)
	require.ErrorContains(t, err, "more than the 32 MiB")
	var opened net.Error
	require.NotErrorAs(t, err, &opened)
}
