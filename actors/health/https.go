package health

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"

	"procman/messages"
)

// overHTTPS makes the probes of messages.HealthHTTP with TLS. The server's certificate is verified, on loopback as
// well: by it the server proves what it is, and the probe tells when it is about to be refused by everybody else.
type overHTTPS struct {
	http         *overHTTP
	certificates *certificates
}

func newHTTPS(http *overHTTP) *overHTTPS {
	return &overHTTPS{http: http, certificates: newCertificates()}
}

func (h *overHTTPS) probe(ctx context.Context, t target, p *messages.Probe) (answerer *net.TCPAddr, err error) {
	check := t.Policy.Check
	path, err := requestTarget(t.Policy.Path)
	if err != nil {
		return nil, err
	}
	config, err := h.certificates.config(ctx, t, check)
	if err != nil {
		return nil, err
	}
	tcp, err := dial(ctx, t.Port, t.deadline)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, tcp.Close()) }()
	answerer, _ = tcp.RemoteAddr().(*net.TCPAddr)
	if err := errors.Join(tcp.SetLinger(0), tcp.SetDeadline(t.deadline)); err != nil {
		return answerer, err
	}
	defer interruptible(ctx, tcp)()

	conn := tls.Client(tcp, config)
	if err := conn.Handshake(); err != nil {
		return answerer, asTLS(err)
	}
	if _, err := conn.Write(request(nil, path, t.Port, check)); err != nil && !broken(err) {
		return answerer, asTLS(err)
	}
	err = h.http.answer(conn, t, p)
	if refused(err) { // with TLS 1.3 a server refuses a certificate only now
		err = &tlsError{err}
	}
	return answerer, err
}

// refused reports whether the other side has said by TLS that it goes on no more.
func refused(err error) bool {
	var network *net.OpError
	return errors.As(err, &network) && network.Op == "remote error"
}

// asTLS makes a tlsError of what is wrong with a handshake, and leaves what is wrong with the connection as it is.
func asTLS(err error) error {
	var network *net.OpError
	if timedOut(err) || broken(err) || errors.As(err, &network) && !refused(err) {
		return err
	}
	return &tlsError{err}
}

// tlsError is a handshake that came to nothing.
type tlsError struct{ err error }

func (e *tlsError) Error() string { return e.err.Error() }

func (e *tlsError) Unwrap() error { return e.err }

func (e *tlsError) verdict(t target) string {
	var (
		files     = t.Policy.Asks().TLS
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
		network   *net.OpError
	)
	cause := func(err error) string { return printable(t.mask.Mask(err.Error())) }
	switch {
	case errors.As(e.err, &authority) && files.CA == "":
		return "its certificate is signed by nobody whom this host trusts: health.tls.ca_file says who signs it"
	case errors.As(e.err, &authority):
		return "its certificate is signed by nobody who is in health.tls.ca_file"
	case errors.As(e.err, &host):
		return fmt.Sprintf("its certificate is not for %s, which health.tls.server_name asks for: %s",
			serverName(t.Policy.Asks()), cause(host))
	case errors.As(e.err, &invalid):
		return "its certificate is not valid: " + cause(invalid)
	case errors.As(e.err, &record):
		return "it does not speak TLS on that port"
	case errors.As(e.err, &network) && files.Cert == "":
		return fmt.Sprintf("it refused the connection: %s; the probe has no certificate to show, "+
			"health.tls.cert_file gives it one", cause(network.Err))
	case errors.As(e.err, &network):
		return fmt.Sprintf("it refused the connection: %s; the probe showed health.tls.cert_file", cause(network.Err))
	case errors.Is(e.err, io.EOF):
		return "it closed the connection within the TLS handshake"
	}
	return "TLS: " + cause(e.err)
}

// serverName is for whom the certificate of the server must be.
func serverName(check *messages.HealthCheck) string {
	if check.TLS.ServerName != "" {
		return check.TLS.ServerName
	}
	if host, _, err := net.SplitHostPort(check.Host); err == nil {
		return host
	}
	return check.Host
}
