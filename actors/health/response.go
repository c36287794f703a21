package health

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"procman/messages"
)

// closingTime is how long a server that has answered and said that it will close is waited for.
const closingTime = 100 * time.Millisecond

// errHeader says that a response had more than maxHeader bytes before its body.
var errHeader = fmt.Errorf("the response headers are larger than %d KiB", maxHeader>>10)

// reader reads one response at a time in memory of a fixed size.
type reader struct {
	limit io.LimitedReader
	mask  *messages.Masker      // of the instance that answers
	check *messages.HealthCheck // by which it is asked; nil: as usual
	buf   *bufio.Reader
	chunk [4 << 10]byte
}

func newReader() *reader {
	r := &reader{}
	r.buf = bufio.NewReader(&r.limit)
	return r
}

// stream is what an answer is read from.
type stream interface {
	io.Reader
	SetReadDeadline(time.Time) error
}

// response reads from conn what answers a request, and puts what it finds into p. It reports whether the server has
// said all it will say and announced that it closes the connection.
func (r *reader) response(conn stream, maxBody int64, deadline time.Time, p *messages.Probe) (done bool, err error) {
	r.limit = io.LimitedReader{R: conn, N: maxHeader}
	r.buf.Reset(&r.limit)
	defer func() { r.limit.R = nil }() // the pool keeps no connection
	if _, err := r.buf.Peek(1); err != nil {
		return false, r.head(err)
	}
	if r.check == nil {
		if closes, is := r.plain(maxBody, p); is {
			return closes, nil
		}
	}
	return r.any(conn, maxBody, deadline, p)
}

// any is response for whatever a server may answer.
func (r *reader) any(conn stream, maxBody int64, deadline time.Time, p *messages.Probe) (done bool, err error) {
	asks := messages.HealthPolicy{Check: r.check}.Asks()
	var asked *http.Request // nil: by GET
	if r.check != nil {
		asked = &http.Request{Method: asks.Method}
	}
	var resp *http.Response
	for resp == nil || resp.StatusCode < 200 && resp.StatusCode != http.StatusSwitchingProtocols {
		if _, err := r.buf.Peek(1); err != nil {
			return false, r.head(err)
		}
		if resp, err = http.ReadResponse(r.buf, asked); err != nil {
			return false, r.head(err)
		}
	}
	p.Status = resp.StatusCode
	r.limit.N = maxBody
	if !asks.Accepts(resp.StatusCode) {
		// The verdict is in. The body may tell why, but is not worth waiting for.
		shorten(conn, deadline)
		whole, _ := r.body(resp.Body, maxBody, p)
		return whole && resp.Close, &statusError{resp.StatusCode, r.mask.Mask(resp.Header.Get("Location")),
			messages.Alternatives(asks.Status.Words())}
	}
	whole, err := r.body(resp.Body, maxBody, p)
	if err != nil {
		return false, &bodyError{resp.StatusCode, err}
	}
	// Not resp.Body.Close: it would read what is left of the body.
	return whole && resp.Close, nil
}

// body reads the body up to its end or the limit, and reports whether that was its end. No half of a secret is kept.
func (r *reader) body(body io.Reader, maxBody int64, p *messages.Probe) (whole bool, err error) {
	var read int64
	kept := make([]byte, 0, keptBody)
	defer func() {
		if !whole || read > int64(len(kept)) {
			kept = kept[:r.mask.Whole(kept)]
		}
		p.Body = text([]byte(r.mask.Mask(string(kept))))
	}()
	for read < maxBody {
		n, err := body.Read(r.chunk[:min(int64(len(r.chunk)), maxBody-read)])
		kept = append(kept, r.chunk[:min(n, cap(kept)-len(kept))]...)
		read += int64(n)
		switch {
		case err == io.EOF:
			return true, nil
		case err != nil && r.limit.N <= 0:
			return false, nil
		case err != nil:
			return false, err
		}
	}
	return false, nil
}

// goodbye waits for the server to close. It is a courtesy, so nothing that goes wrong matters.
func (r *reader) goodbye(conn stream, deadline time.Time) {
	shorten(conn, deadline)
	_, _ = conn.Read(r.chunk[:1])
}

// shorten lets reads from conn wait no longer than closingTime.
func shorten(conn stream, deadline time.Time) {
	if soon := time.Now().Add(closingTime); soon.Before(deadline) {
		_ = conn.SetReadDeadline(soon) // an error shows in the read
	}
}

// head says what an error means that came before the body.
func (r *reader) head(err error) error {
	var network *net.OpError
	switch {
	case r.limit.N <= 0 && !errors.Is(err, os.ErrDeadlineExceeded):
		return &headError{errHeader}
	case errors.As(err, &network): // it is not what the server said
		return err
	}
	return &headError{err}
}

// text makes printable what may have been cut within a character.
func text(b []byte) string { return strings.ToValidUTF8(string(b), "\uFFFD") }
