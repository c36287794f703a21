package etcd

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"procman/actors/record"
)

// Options say where the store is and who asks.
type Options struct {
	Endpoints []string // https://10.0.0.1:2379
	Prefix    string   // of all keys; callers do not see it

	CAFile            string // of the servers' certificates; empty: the host's
	CertFile, KeyFile string // what the servers are shown; both or none

	User         string
	PasswordFile string

	Logger *slog.Logger // nil: nothing is logged

	// How long one server is waited for, if another can be asked; 0: a second.
	Patience time.Duration
}

// Check returns what is wrong with the options. It reads no file.
func (o Options) Check() error {
	if len(o.Endpoints) == 0 {
		return errors.New("no endpoint is given")
	}
	for _, e := range o.Endpoints {
		u, err := url.Parse(e)
		switch {
		case err != nil:
			return fmt.Errorf("the endpoint %q: %w", e, err)
		case u.Scheme != "http" && u.Scheme != "https", u.Host == "", u.User != nil, strings.Trim(u.Path, "/") != "",
			u.RawQuery != "":
			return fmt.Errorf("the endpoint %q is not of the form https://HOST:PORT", e)
		case u.Scheme == "http" && (o.CAFile != "" || o.CertFile != ""):
			return fmt.Errorf("the endpoint %q is not protected, but certificates are given: write https", e)
		}
	}
	if (o.CertFile == "") != (o.KeyFile == "") {
		return errors.New("of cert_file and key_file one is given: both are needed")
	}
	if (o.User == "") != (o.PasswordFile == "") {
		return errors.New("of user and password_file one is given: both are needed")
	}
	return nil
}

// maxFile is more than a file with a password or certificates has.
const maxFile = 1 << 20

// tls returns what a new connection is made with. Its files are read now, and those of the client for each handshake.
func (o Options) tls() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CAFile != "" {
		pem, err := record.ReadLinked(o.CAFile, maxFile)
		if err != nil {
			return nil, fmt.Errorf("the file of certificate authorities cannot be read: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("there is no certificate in %s", o.CAFile)
		}
	}
	if o.CertFile != "" {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			cert, err := record.ReadLinked(o.CertFile, maxFile)
			if err != nil {
				return nil, err
			}
			key, err := record.ReadLinked(o.KeyFile, maxFile)
			if err != nil {
				return nil, err
			}
			pair, err := tls.X509KeyPair(cert, key)
			if err != nil {
				return nil, fmt.Errorf("%s and %s: %w", o.CertFile, o.KeyFile, err)
			}
			return &pair, nil
		}
	}
	return c, nil
}

func (o Options) password() (string, error) {
	text, err := record.ReadLinked(o.PasswordFile, maxFile)
	if err != nil {
		return "", fmt.Errorf("the password file cannot be read: %w", err)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}
