package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

type entry struct {
	ID                       int64
	Name, Message, CreatedAt string
}

func entries(t *testing.T, p *process, query string) []entry {
	t.Helper()
	a := p.get(t, "/entries"+query)
	require.Equal(t, 200, a.status, a.body)
	require.Equal(t, "application/json", a.header.Get("Content-Type"))
	var list []entry
	require.NoError(t, json.Unmarshal([]byte(a.body), &list))
	return list
}

func TestTheGuestbookKeepsItsEntriesOverARestart(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	p := start(t, directory, "guestbook")
	require.Empty(t, entries(t, p, ""))

	a := p.do(t, "POST", "/entries", "application/json", `{"name": " Ada ", "message": "Hello"}`)
	require.Equal(t, 201, a.status, a.body)
	require.Contains(t, a.body, `"id":1,"name":"Ada","message":"Hello","created_at":"2`)
	const hostile = `'); DROP TABLE entries; -- <script>"&é`
	a = p.do(t, "POST", "/entries", "application/x-www-form-urlencoded",
		url.Values{"name": {"Bob"}, "message": {hostile}}.Encode())
	require.Equal(t, 303, a.status, a.body)
	require.Equal(t, "/", a.header.Get("Location"))

	require.Contains(t, p.stop(t), `"msg":"servicehost stopped"`)
	p = start(t, directory, "guestbook")

	list := entries(t, p, "")
	require.Len(t, list, 2)
	require.Equal(t, hostile, list[0].Message, "newest first")
	require.Equal(t, "Ada", list[1].Name)
	require.Len(t, entries(t, p, "?limit=1"), 1)

	a = p.get(t, "/")
	require.Equal(t, 200, a.status)
	require.Equal(t, "text/html; charset=utf-8", a.header.Get("Content-Type"))
	require.Contains(t, a.body, "&lt;script&gt;")
	require.NotContains(t, a.body, "<script>")
}

func TestTheApplicationsRefuseWhatTheyCannotServe(t *testing.T) {
	t.Parallel()
	guestbook, counter := start(t, t.TempDir(), "guestbook"), start(t, t.TempDir(), "counter")
	for _, c := range []struct {
		p                        *process
		method, path, kind, body string
		want                     int
	}{
		{guestbook, "GET", "/nothing", "", "", 404},
		{guestbook, "DELETE", "/entries", "", "", 405},
		{guestbook, "POST", "/", "", "", 405},
		{guestbook, "HEAD", "/entries", "", "", 200},
		{guestbook, "GET", "/entries?limit=0", "", "", 400},
		{guestbook, "GET", "/entries?limit=1;2", "", "", 400},
		{guestbook, "GET", "/%ff", "", "", 400},
		{counter, "POST", "/increment?name=%ff", "", "", 400},
		{guestbook, "POST", "/entries", "application/json", `{"name": "Ada"}`, 400},
		{guestbook, "POST", "/entries", "application/json",
			`{"name": "Ada", "message": "` + strings.Repeat("é", 2001) + `"}`, 400},
		{guestbook, "POST", "/entries", "application/json",
			`{"name": "Ada", "message": "` + strings.Repeat("é", 2000) + `"}`, 201},
		{guestbook, "POST", "/entries", "application/json", "nonsense", 400},
		{guestbook, "POST", "/entries", "application/json", "", 400},
		{guestbook, "POST", "/entries", "application/x-www-form-urlencoded", "name=%ff&message=x", 400},
		{guestbook, "POST", "/entries", "application/x-www-form-urlencoded", "name=%zz", 400},
		{guestbook, "POST", "/entries", "application/json", strings.Repeat(" ", maxBody+1), 413},
		{counter, "GET", "/nothing", "", "", 404},
		{counter, "GET", "/increment", "", "", 405},
		{counter, "PUT", "/", "", "", 405},
		{counter, "GET", "/?name=unknown", "", "", 404},
		{counter, "POST", "/increment?name=" + strings.Repeat("x", 65), "", "", 400},
	} {
		a := c.p.do(t, c.method, c.path, c.kind, c.body)
		require.Equal(t, c.want, a.status, "%s %s: %s", c.method, c.path, a.body)
		require.Equal(t, c.want == 405, a.header.Get("Allow") != "", "%s %s", c.method, c.path)
	}
}

func TestIncrementsAtTheSameTimeAreAllCounted(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), "counter")
	seen := make([]atomic.Int32, 101)
	var clients sync.WaitGroup
	for range 5 {
		clients.Go(func() {
			for range 20 {
				a, err := p.try("POST", "/increment?name=hits", "", "")
				var c struct{ Value int }
				if err == nil && a.status == 200 && json.Unmarshal([]byte(a.body), &c) == nil && c.Value <= 100 {
					seen[c.Value].Add(1)
				}
			}
		})
	}
	clients.Wait()
	for value := 1; value <= 100; value++ {
		require.EqualValues(t, 1, seen[value].Load(), "every value is answered once")
	}
	require.Equal(t, "{\"counters\":[{\"name\":\"hits\",\"value\":100}]}\n", p.get(t, "/").body)
	p.do(t, "POST", "/increment", "", "")
	require.Equal(t, "{\"name\":\"default\",\"value\":1}\n", p.get(t, "/?name=default").body)
}

func TestKill9KeepsEveryAnsweredIncrement(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	p := start(t, directory, "counter")
	var answered, sent atomic.Int64
	var clients sync.WaitGroup
	enough := make(chan struct{})
	for range 4 {
		clients.Go(func() {
			for {
				sent.Add(1)
				a, err := p.try("POST", "/increment", "", "")
				if err != nil {
					return // it is dead
				}
				if a.status == 200 && answered.Add(1) == 50 {
					close(enough)
				}
			}
		})
	}
	<-enough
	p.kill()
	clients.Wait()

	p = start(t, directory, "counter")
	var c struct{ Value int64 }
	require.NoError(t, json.Unmarshal([]byte(p.get(t, "/?name=default").body), &c))
	require.GreaterOrEqual(t, c.Value, answered.Load())
	require.LessOrEqual(t, c.Value, sent.Load())
	require.Equal(t, fmt.Sprintf("{\"name\":\"default\",\"value\":%d}\n", c.Value+1),
		p.do(t, "POST", "/increment", "", "").body)
}
