package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/cmd/servicehost/guest"
)

// warmed holds a once for each application.
var warmed sync.Map

// warm lets the program fill the cache with the machine code of that application.
func warm(t *testing.T, application string) {
	t.Helper()
	once, _ := warmed.LoadOrStore(application, new(sync.Once))
	once.(*sync.Once).Do(func() { begin(t, t.TempDir(), application).stop(t) })
}

// warmCache is a cache of the test's own with the machine code of that application, and the file it is in.
func warmCache(t *testing.T, application string) (directory, entry string) {
	t.Helper()
	warm(t, application)
	wasm, err := os.Open(app(t, application))
	require.NoError(t, err)
	defer wasm.Close()
	key, err := keyOf(wasm)
	require.NoError(t, err)
	// The program is another binary than the tests, but has the same wazero.
	content, err := os.ReadFile(filepath.Join(built, "cache", key))
	require.NoError(t, err)
	directory = t.TempDir()
	entry = filepath.Join(directory, key)
	require.NoError(t, os.WriteFile(entry, content, 0o600))
	return directory, entry
}

// openHost opens a host in this process.
func openHost(t *testing.T, application string, change func(*options)) *host {
	t.Helper()
	warm(t, application)
	o := defaults(io.Discard)
	o.wasm, o.db, o.cache = app(t, application), filepath.Join(t.TempDir(), "test.db"), filepath.Join(built, "cache")
	if change != nil {
		change(&o)
	}
	h, err := open(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() {
		if h.running.Err() == nil { // it has not ended itself
			require.NoError(t, h.close())
		}
	})
	return h
}

func ask(h *host, method, path, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w
}

func TestRequestsAtTheSameTimeShareTheInstances(t *testing.T) {
	h := openHost(t, "counter", func(o *options) { o.instances = 3 })
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for range 10 {
				ask(h, "POST", "/increment", "")
				ask(h, "GET", "/api/status", "")
			}
		})
	}
	clients.Wait()
	require.JSONEq(t, `{"name": "default", "value": 80}`, ask(h, "GET", "/?name=default", "").Body.String())
	require.Len(t, h.module.idle, 3)
}

func TestAModuleThatTrapsOrExitsIsReplaced(t *testing.T) {
	h := openHost(t, "faulty", nil)
	for _, path := range []string{"/panic", "/exit", "/trap", "/take", "/outside", "/nonsense", "/status"} {
		t.Run(path[1:], func(t *testing.T) {
			w := ask(h, "GET", path, "")
			require.Equal(t, 500, w.Code, w.Body)
			require.Equal(t, `{"error":"the application failed"}`, strings.TrimSpace(w.Body.String()))
			require.Equal(t, 200, ask(h, "GET", "/api/status", "").Code)
			require.Equal(t, 200, ask(h, "GET", "/", "").Code)
		})
	}
	require.Equal(t, 0, h.module.busy())
}

func TestARequestThatNeverEndsIsGivenUpWhileTheStatusAnswers(t *testing.T) {
	// More endless loops than processors: they must not keep the host from running.
	h := openHost(t, "faulty", func(o *options) { o.timeout = time.Second })
	codes := make(chan int, h.instances)
	for i := range h.instances {
		path := "/spin"
		if i == 0 {
			path = "/sleep?for=1h"
		}
		go func() { codes <- ask(h, "GET", path, "").Code }()
	}
	require.Eventually(t, func() bool { return h.module.busy() == h.instances }, time.Minute, time.Millisecond)
	w := ask(h, "GET", "/api/status", "")
	require.Equal(t, 200, w.Code, w.Body)
	for range h.instances {
		require.Equal(t, 504, <-codes)
	}
	require.Equal(t, 200, ask(h, "GET", "/", "").Code)
}

func TestARequestThatFindsNoInstanceInTimeIsTurnedAway(t *testing.T) {
	h := openHost(t, "faulty", func(o *options) { o.instances, o.timeout = 1, 20*time.Millisecond })
	h.module.used <- struct{}{}
	require.Equal(t, 504, ask(h, "GET", "/", "").Code)
	require.Equal(t, 200, ask(h, "GET", "/api/status", "").Code)
	<-h.module.used
}

func TestRequestsThatOutliveTheGraceAreGivenUp(t *testing.T) {
	h := openHost(t, "faulty", func(o *options) { o.grace = 50 * time.Millisecond })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.serve(ctx, listener) }()
	p := &process{url: "http://" + listener.Addr().String()}
	var clients sync.WaitGroup
	for _, path := range []string{"/spin", "/sleep?for=1h"} {
		clients.Go(func() { _, _ = p.try("GET", path, "", "") })
	}
	p.running(t, 2)
	stop()
	require.NoError(t, <-ended)
	clients.Wait()
}

func TestTheStatusNoticesABrokenDatabase(t *testing.T) {
	garbage := func(h *host) error { return os.WriteFile(h.db, []byte(strings.Repeat("garbage ", 4096)), 0o600) }
	for name, c := range map[string]struct {
		damage func(*host) error
		cause  string
	}{
		"overwritten": {garbage, "not a database"},
		"truncated":   {func(h *host) error { return os.Truncate(h.db, 100) }, "malformed"},
		"removed":     {func(h *host) error { return os.Remove(h.db) }, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			h := openHost(t, "faulty", nil)
			w := ask(h, "GET", "/api/status", "")
			require.Equal(t, 200, w.Code, w.Body)
			require.Equal(t, 200, ask(h, "POST", "/sql", "PRAGMA wal_checkpoint(TRUNCATE)").Code)
			require.NoError(t, c.damage(h))
			w = ask(h, "GET", "/api/status", "")
			require.Equal(t, 503, w.Code, w.Body)
			var body struct{ Status, Cause string }
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body))
			require.Equal(t, "unavailable", body.Status)
			require.Contains(t, body.Cause, c.cause)
		})
	}
}

func TestTheStatusNoticesThatNoInstanceCanBeMade(t *testing.T) {
	h := openHost(t, "faulty", nil)
	require.NoError(t, h.module.compiled.Close(t.Context())) // stands for whatever makes it impossible
	require.Equal(t, 500, ask(h, "GET", "/panic", "").Code)
	require.Equal(t, 500, ask(h, "GET", "/", "").Code)
	w := ask(h, "GET", "/api/status", "")
	require.Equal(t, 503, w.Code)
	require.Contains(t, w.Body.String(), "no instance of it can be made")
}

func TestTheModuleReachesOnlyItsOwnDatabase(t *testing.T) {
	h := openHost(t, "faulty", nil)
	elsewhere := filepath.Join(t.TempDir(), "elsewhere.db")
	for _, sql := range []string{"ATTACH '" + elsewhere + "' AS x", "VACUUM INTO '" + elsewhere + "'",
		"SELECT load_extension('x')"} {
		w := ask(h, "POST", "/sql", sql)
		require.Equal(t, 422, w.Code, "%s: %s", sql, w.Body)
	}
	require.NoFileExists(t, elsewhere)
}

func TestATransactionEndsWithItsRequest(t *testing.T) {
	h := openHost(t, "faulty", nil)
	require.Equal(t, 200, ask(h, "POST", "/begin", "").Code)
	require.Equal(t, 200, ask(h, "POST", "/transaction", "").Code, "the lock is free again")
	var rows guest.Rows
	require.NoError(t, json.Unmarshal(ask(h, "POST", "/sql", "SELECT a, b FROM t").Body.Bytes(), &rows))
	require.Equal(t, 1, rows.Len())
	var a int
	var b string
	require.NoError(t, rows.Scan(0, &a, &b))
	require.Equal(t, "committed", b)
}

func TestAnOversizedResultIsAnErrorOfTheQuery(t *testing.T) {
	h := openHost(t, "faulty", nil)
	w := ask(h, "POST", "/sql", "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, "+
		"printf('%1000d', i) FROM n")
	require.Equal(t, 422, w.Code)
	require.Contains(t, w.Body.String(), "LIMIT")
}

func TestValuesPassUnchangedThroughModuleAndDatabase(t *testing.T) {
	h := openHost(t, "faulty", nil)
	var rows guest.Rows
	require.NoError(t, json.Unmarshal(ask(h, "GET", "/values", "").Body.Bytes(), &rows))
	var null *string
	var integer int64
	var real float64
	var text string
	require.NoError(t, rows.Scan(0, &null, &integer, &real, &text))
	require.Nil(t, null)
	require.EqualValues(t, 9007199254740993, integer)
	require.Equal(t, 2.5, real)
	require.Equal(t, "té\x00xt", text)
	require.ErrorIs(t, rows.Scan(0, &null), guest.ErrColumns)
}

func TestTheHostKeepsItsOwnHeaders(t *testing.T) {
	h := openHost(t, "faulty", nil)
	server := httptest.NewServer(h)
	defer server.Close()
	response, err := server.Client().Get(server.URL + "/header")
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, "ok", string(body))
	require.Empty(t, response.Header.Get("X-Evil"))
	require.Equal(t, http.StatusOK, response.StatusCode)
}
