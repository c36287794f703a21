package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"procman/messages"
)

// Client speaks to the daemon behind a unix socket. It may be used by any number of goroutines. Its errors are
// ErrUnreachable, messages.ErrUnknownInstance, *Error, or that of a context that ended.
type Client struct {
	socket string
	config string // see For
	file   string // see fileID
	http   *http.Client
	use    bool // see WithUse
	brief  bool // see WithBrief
}

// WithUse has Instances say what each process uses of the host.
func (c *Client) WithUse() { c.use = true }

// WithBrief has Instances say no more of each than a line of a table shows: its id, phase, health, reason, pid, port
// and restarts, what is outdated, and when it was and will be started. A daemon that does not know of that says all.
func (c *Client) WithBrief() { c.brief = true }

// NewClient returns a client. It connects when it is used.
func NewClient(socket string) *Client {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	return &Client{socket: socket, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		},
		DisableCompression:  true,
		MaxIdleConnsPerHost: 16,
		IdleConnTimeout:     idleTimeout / 2, // well before the server hangs up
	}}}
}

// NewRemoteClient returns a client of a daemon that answers on TCP, at an address such as http://127.0.0.1:9465,
// whoever shows the token.
func NewRemoteClient(address, token string) *Client {
	return &Client{socket: address, http: &http.Client{Transport: bearer{token: token,
		address: strings.TrimPrefix(address, "http://"),
		Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 16,
			IdleConnTimeout: idleTimeout / 2}}}}
}

// bearer sends every request to the address, with the token.
type bearer struct {
	*http.Transport
	token, address string
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Host, r.Host = b.address, b.address
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.Transport.RoundTrip(r)
}

// Local reports whether the daemon is on this host: its pid means something here.
func (c *Client) Local() bool { return !strings.HasPrefix(c.socket, "http://") }

// Close gives up idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Instances returns all that is known.
//
// With ids it is of these only; those that are not known are left out.
func (c *Client) Instances(ctx context.Context, ids ...messages.InstanceID) (d Document, err error) {
	v := url.Values{}
	if len(ids) <= maxIDs {
		for _, id := range ids {
			v.Add("id", string(id))
		}
	}
	if c.use {
		v.Set("use", "true")
	}
	if c.brief {
		v.Set("brief", "true")
	}
	path := "/v1/instances"
	if len(v) > 0 {
		path += "?" + v.Encode()
	}
	err = c.receive(ctx, http.MethodGet, path, "", nil, func(from *json.Decoder) (err error) {
		d, err = readDocument(from)
		return err
	})
	return d, err
}

// readDocument reads a Document one instance after the other: thousands are never in memory as text.
func readDocument(from *json.Decoder) (d Document, err error) {
	if err := expect(from, json.Delim('{')); err != nil {
		return d, err
	}
	for from.More() {
		key, err := from.Token()
		if err != nil {
			return d, err
		}
		var into any = new(json.RawMessage) // of a later version
		switch key {
		case "schema":
			into = &d.Schema
		case "manager":
			into = &d.Manager
		case "instances":
			if err := expect(from, json.Delim('[')); err != nil {
				return d, err
			}
			for d.Instances = []messages.Status{}; from.More(); {
				d.Instances = append(d.Instances, messages.Status{})
				if err := from.Decode(&d.Instances[len(d.Instances)-1]); err != nil {
					return d, err
				}
			}
			into = nil
		}
		if into == nil {
			err = expect(from, json.Delim(']'))
		} else {
			err = from.Decode(into)
		}
		if err != nil {
			return d, err
		}
	}
	return d, expect(from, json.Delim('}'))
}

func expect(from *json.Decoder, want json.Delim) error {
	got, err := from.Token()
	if err == nil && got != want {
		err = fmt.Errorf("the answer is no list of instances: %v stands where %v should", got, want)
	}
	return err
}

// maxIDs is how many instances are asked for by their ids; for more all are: a request has no room for any number.
const maxIDs = 100

// Instance returns what is known of one instance.
func (c *Client) Instance(ctx context.Context, id messages.InstanceID) (s messages.Status, err error) {
	return s, c.ask(ctx, http.MethodGet, place(id, ""), id, &s)
}

// Start ends a hold and starts the instance if it is not running. It returns when that is decided.
func (c *Client) Start(ctx context.Context, id messages.InstanceID) (s messages.Status, err error) {
	return s, c.ask(ctx, http.MethodPost, place(id, "/start"), id, &s)
}

// Stop ends the instance and holds it down. It returns when that is decided.
func (c *Client) Stop(ctx context.Context, id messages.InstanceID) (s messages.Status, err error) {
	return s, c.ask(ctx, http.MethodPost, place(id, "/stop"), id, &s)
}

// Restart gives the instance a new process. It returns when that is decided.
func (c *Client) Restart(ctx context.Context, id messages.InstanceID) (s messages.Status, err error) {
	return s, c.ask(ctx, http.MethodPost, place(id, "/restart"), id, &s)
}

// Signal sends a signal to the process group of the instance. The *Error has CodeNotRunning if there is no process.
func (c *Client) Signal(ctx context.Context, id messages.InstanceID, signal messages.SignalName) (s messages.Status,
	err error) {
	return s, c.ask(ctx, http.MethodPost, place(id, "/signal")+"?signal="+url.QueryEscape(string(signal)), id, &s)
}

// Reload has the configuration read again and applied. It returns when that is decided.
func (c *Client) Reload(ctx context.Context) (r Reloaded, err error) {
	return r, c.ask(ctx, http.MethodPost, "/v1/reload", "", &r)
}

// Prune has what instances left that are known no more removed now.
func (c *Client) Prune(ctx context.Context) (p Pruning, err error) {
	return p, c.ask(ctx, http.MethodPost, "/v1/prune", "", &p)
}

// Why returns all that explains how an instance is.
func (c *Client) Why(ctx context.Context, id messages.InstanceID) (w Why, err error) {
	return w, c.ask(ctx, http.MethodGet, place(id, "/why"), id, &w)
}

// Plan returns what a reload would do by the daemon's own file.
func (c *Client) Plan(ctx context.Context) (p Plan, err error) {
	return p, c.ask(ctx, http.MethodGet, "/v1/plan", "", &p)
}

// PlanOf returns what a reload would do by the configuration that is proposed.
func (c *Client) PlanOf(ctx context.Context, proposal Proposal) (p Plan, err error) {
	body, err := json.Marshal(proposal)
	if err != nil {
		return p, err
	}
	if len(body) > maxProposal {
		return p, refuse("the configuration has %d bytes with all that it names, more than the %d MiB that the "+
			"daemon takes", len(body), maxProposal>>20)
	}
	return p, c.send(ctx, http.MethodPost, "/v1/plan", "", body, &p)
}

// Shutdown tells the daemon to end. It returns before the daemon has ended.
func (c *Client) Shutdown(ctx context.Context, mode Mode) (e Ending, err error) {
	return e, c.ask(ctx, http.MethodPost, "/v1/shutdown?mode="+url.QueryEscape(string(mode)), "", &e)
}

// Upgrade has the daemon replaced by its program on disk. It returns when that begins; the daemon of before answers for
// another moment, then nobody, then the new one under the same pid.
func (c *Client) Upgrade(ctx context.Context) (u Upgrading, err error) {
	return u, c.ask(ctx, http.MethodPost, "/v1/upgrade", "", &u)
}

// Healthy returns nil if the daemon is in order.
func (c *Client) Healthy(ctx context.Context) error {
	return c.ask(ctx, http.MethodGet, "/healthz", "", nil)
}

// Ready returns nil if every desired instance has been healthy once, and an *Error with CodeNotReady before.
func (c *Client) Ready(ctx context.Context) error {
	return c.ask(ctx, http.MethodGet, "/readyz", "", nil)
}

// Logs returns the output that is asked for. With q.Follow it goes on until ctx ends, without an error, until the
// daemon ends, with ErrUnreachable, or until the instance has left the list, with messages.ErrUnknownInstance. After an
// error nothing follows. The Cursor of the newest line, as q.After, goes on from there, also with another daemon.
func (c *Client) Logs(ctx context.Context, q messages.OutputQuery) iter.Seq2[messages.OutputLine, error] {
	return func(yield func(messages.OutputLine, error) bool) {
		v := url.Values{"lines": {strconv.Itoa(q.Lines)}, "follow": {strconv.FormatBool(q.Follow)}}
		if q.Stream != "" {
			v.Set("stream", string(q.Stream))
		}
		if q.Since != 0 {
			v.Set("since", q.Since.String())
		}
		if q.Until != 0 {
			v.Set("until", q.Until.String())
		}
		for name, text := range map[string]string{"after": q.After, "grep": q.Grep} {
			if text != "" {
				v.Set(name, text)
			}
		}
		for name, is := range map[string]bool{"place": q.Place, "earlier": q.Earlier, "times": q.Times} {
			if is {
				v.Set(name, "true")
			}
		}
		err := c.stream(ctx, q, place(q.ID, "/logs")+"?"+v.Encode(), yield)
		if err != nil && !(q.Follow && ctx.Err() != nil) {
			yield(messages.OutputLine{}, err)
		}
	}
}

func (c *Client) stream(ctx context.Context, q messages.OutputQuery, path string,
	yield func(messages.OutputLine, error) bool) error {
	response, err := c.do(ctx, http.MethodGet, path, q.ID, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close() // what is not read is not wanted
	for d := json.NewDecoder(bufio.NewReaderSize(response.Body, 64<<10)); ; {
		var line outputLine
		switch err := d.Decode(&line); {
		case errors.Is(err, io.EOF) && q.Follow:
			return fmt.Errorf("%w any more at %s: it ended the stream", ErrUnreachable, c.socket)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return c.broken(ctx, err)
		}
		if line.Code == CodeUnknownInstance {
			return messages.ErrUnknownInstance{ID: q.ID}
		}
		if line.Error != "" {
			return &Error{Message: line.Error, Code: CodeFailed, Status: http.StatusInternalServerError}
		}
		if !yield(line.OutputLine, nil) {
			return nil
		}
	}
}

func place(id messages.InstanceID, what string) string {
	return "/v1/instances/" + url.PathEscape(string(id)) + what
}

// ask makes a request and reads its answer into the value, unless that is nil.
func (c *Client) ask(ctx context.Context, method, path string, id messages.InstanceID, into any) error {
	return c.send(ctx, method, path, id, nil, into)
}

// send is ask with a body.
func (c *Client) send(ctx context.Context, method, path string, id messages.InstanceID, body []byte, into any) error {
	return c.receive(ctx, method, path, id, body, func(from *json.Decoder) error {
		if into == nil {
			return nil
		}
		return from.Decode(into)
	})
}

// receive makes a request and has its answer read.
func (c *Client) receive(ctx context.Context, method, path string, id messages.InstanceID, body []byte,
	read func(*json.Decoder) error) error {
	response, err := c.do(ctx, method, path, id, body)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if err := read(json.NewDecoder(response.Body)); err != nil {
		return c.broken(ctx, err)
	}
	// To its end, so that the connection can be used again; what is wrong with it there will show then.
	_, _ = io.Copy(io.Discard, response.Body)
	return nil
}

// do returns an answer that says yes.
func (c *Client) do(ctx context.Context, method, path string, id messages.InstanceID,
	body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://procman"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if c.config != "" {
		request.Header.Set(configHeader, url.QueryEscape(c.config))
		request.Header.Set(fileHeader, c.file)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, c.broken(ctx, err)
	}
	if response.StatusCode < 300 {
		return response, nil
	}
	defer response.Body.Close()
	e := &Error{Status: response.StatusCode}
	if err := json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(e); err != nil || e.Message == "" {
		e.Message, e.Code = "the daemon answered "+response.Status, CodeFailed
	}
	if e.Code == CodeUnknownInstance {
		return nil, messages.ErrUnknownInstance{ID: id}
	}
	return nil, e
}

// broken makes the error for a conversation that came to nothing.
func (c *Client) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // the address in it is none
	}
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	return fmt.Errorf("%w at %s: %w", ErrUnreachable, c.socket, err)
}
