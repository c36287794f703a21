package health

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"procman/messages"
)

type recorded struct{ *bytes.Reader }

func (recorded) SetReadDeadline(time.Time) error { return nil }

func TestAPlainAnswerIsReadAsAnyOtherIs(t *testing.T) {
	const limit = 300
	answer := func(text string) (r *reader, conn recorded) {
		r, conn = newReader(), recorded{bytes.NewReader([]byte(text))}
		r.limit = io.LimitedReader{R: conn, N: maxHeader}
		r.buf.Reset(&r.limit)
		_, err := r.buf.Peek(1)
		require.NoError(t, err)
		return r, conn
	}
	plain := 0
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SampledFrom([]string{"HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\n",
			"HTTP/1.1 200 \r\n", "HTTP/1.1 200\r\n", "HTTP/1.0 200 OK\r\n", "HTTP/1.1 204 No\r\n", "HTTP/1.1 200 OK\n",
			"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"}).Draw(t, "status")
		if rapid.Bool().Draw(t, "length") {
			text += "Content-Length: 2\r\n"
		}
		for range rapid.IntRange(0, 3).Draw(t, "headers") {
			text += rapid.SampledFrom([]string{"Content-Length: 2", "content-length:3", "Content-Length: 0",
				"Content-Length: +2", "Content-Length: 299",
				"Content-Length: 300", "Content-Length: ", "Connection: close", "CONNECTION: Close ",
				"Connection: keep-alive", "Connection: close, x", "Transfer-Encoding: chunked", "Date: now",
				"X Y: z", "nothing", ": x", " folded", "X: \x80", "Trailer: X",
				"Content-Type: text/plain; charset=utf-8"}).Draw(t, "header") +
				rapid.SampledFrom([]string{"\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n"}).Draw(t, "end")
		}
		text += rapid.SampledFrom([]string{"\r\n", "\r\n", "\r\n", "\r\n", "", "\n"}).Draw(t, "blank")
		text += rapid.SampledFrom([]string{"", "ok", "ok\n", "é", "\xff\xfe\xfd", "1\r\nx\r\n0\r\n\r\n",
			string(bytes.Repeat([]byte("é"), 150))}).Draw(t, "body")

		var got, want messages.Probe
		r, _ := answer(text)
		closes, is := r.plain(limit, &got)
		if !is {
			require.Zero(t, got.Status)
			return
		}
		plain++
		r, conn := answer(text)
		done, err := r.any(conn, limit, time.Now().Add(time.Hour), &want)
		require.NoError(t, err)
		require.Equal(t, done, closes)
		require.Equal(t, want, got)
	})
	require.True(t, plain > 0 || testing.Short(), "of few draws none may be plain")
}

func TestAPathGoesIntoTheRequestAsItDoesByTheRulesOfURLs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		path := rapid.StringMatching(`/?[/a-zA-Z0-9._~%?#:@ é-]{0,12}`).Draw(t, "path")
		if clean(path) {
			got, err := byURL(path)
			require.NoError(t, err)
			require.Equal(t, path, got)
		}
	})
}
