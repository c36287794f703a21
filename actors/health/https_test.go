package health

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"procman/messages"
)

// authority signs certificates.
type authority struct {
	dir  string
	name string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir(), name: name}
	a.cert, a.key = a.sign(t, name, &x509.Certificate{IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign})
	return a
}

// sign writes NAME.pem and NAME.key, signed by the authority, or by itself if it is the first.
func (a *authority) sign(t testing.TB, name string, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	if c.NotBefore.IsZero() {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	parent, signer := c, key
	if a.cert != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	require.NoError(t, err)
	plain, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	write := func(path, kind string, der []byte) {
		text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
		require.NoError(t, os.WriteFile(path+".new", text, 0o600))
		require.NoError(t, os.Rename(path+".new", path))
	}
	write(a.path(name+".pem"), "CERTIFICATE", der)
	write(a.path(name+".key"), "PRIVATE KEY", plain)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return cert, key
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

// serveTLS serves with the certificate NAME.pem of a; clients must show one of those, unless it is nil.
func serveTLS(t testing.TB, a *authority, name string, clients *authority, versions uint16) (port int) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(a.path(name+".pem"), a.path(name+".key"))
	require.NoError(t, err)
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MaxVersion: versions}
	if clients != nil {
		config.ClientCAs = x509.NewCertPool()
		config.ClientCAs.AddCert(clients.cert)
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	l, err := tls.Listen("tcp4", "127.0.0.1:0", config)
	require.NoError(t, err)
	s := &http.Server{ErrorLog: log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if certs := r.TLS.PeerCertificates; len(certs) > 0 {
				_, _ = io.WriteString(w, "hello "+certs[0].Subject.CommonName+" of "+r.TLS.ServerName)
			}
		})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	return l.Addr().(*net.TCPAddr).Port
}

func forServer() *x509.Certificate {
	return &x509.Certificate{DNSNames: []string{"localhost", "db.example.org"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
}

func forClient() *x509.Certificate {
	return &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
}

func TestByHTTPSTheServerAndTheProbeProveWhoTheyAre(t *testing.T) {
	t.Parallel()
	ours, others := newAuthority(t, "ca"), newAuthority(t, "ca")
	ours.sign(t, "server", forServer())
	ours.sign(t, "probe", forClient())
	others.sign(t, "probe", forClient())
	past := forServer()
	past.NotBefore, past.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
	ours.sign(t, "expired", past)
	ca := ours.path("ca.pem")
	files := func(a *authority) messages.TLSFiles {
		return messages.TLSFiles{CA: ca, Cert: a.path("probe.pem"), Key: a.path("probe.key")}
	}
	named := files(ours)
	named.ServerName = "db.example.org"
	misnamed := files(ours)
	misnamed.ServerName = "web.example.org"
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		plain, expired := serveTLS(t, ours, "server", nil, version), serveTLS(t, ours, "expired", nil, version)
		mutual := serveTLS(t, ours, "server", ours, version)
		http := serveHTTP(t, func(http.ResponseWriter, *http.Request) {})
		silent := serve(t, "127.0.0.1", func(net.Conn) {})
		for name, c := range map[string]struct {
			port   int
			files  messages.TLSFiles
			host   string
			cause  string // empty: healthy
			body   string
			status int
		}{
			"by a certificate that is signed": {plain, messages.TLSFiles{CA: ca}, "", "", "", 200},
			"and shows its own":               {mutual, files(ours), "", "", "hello probe of localhost", 200},
			"for a name":                      {mutual, named, "", "", "hello probe of db.example.org", 200},
			"for the host that is asked for": {mutual, files(ours), "db.example.org:8443",
				"", "hello probe of db.example.org", 200},
			"signed by nobody the host trusts": {plain, messages.TLSFiles{}, "",
				"its certificate is signed by nobody whom this host trusts: health.tls.ca_file", "", 0},
			"signed by somebody else": {plain, messages.TLSFiles{CA: others.path("ca.pem")}, "",
				"its certificate is signed by nobody who is in health.tls.ca_file", "", 0},
			"for another name": {mutual, misnamed,
				"", "its certificate is not for web.example.org, which health.tls.server_name asks for", "", 0},
			"that has expired": {expired, messages.TLSFiles{CA: ca},
				"", "its certificate is not valid", "", 0},
			"without one where one is asked for": {mutual, messages.TLSFiles{CA: ca},
				"", "the probe has no certificate to show, health.tls.cert_file gives it one", "", 0},
			"with one of somebody else": {mutual, files(others), "", "it refused the connection", "", 0},
			"of a server that does not speak TLS": {http, messages.TLSFiles{CA: ca},
				"", "it does not speak TLS on that port", "", 0},
			"of a server that ends without an answer": {silent, messages.TLSFiles{CA: ca}, "", "", "", 0},
		} {
			t.Run(name, func(t *testing.T) {
				p := alone(New(Options{}), asked(c.port, messages.HealthCheck{Scheme: messages.SchemeHTTPS,
					TLS: c.files, Host: c.host}))
				if c.port == silent {
					require.False(t, p.OK)
					require.NotEmpty(t, p.Error)
				} else {
					require.Equal(t, c.cause == "", p.OK, p.Error)
					require.Contains(t, p.Error, c.cause)
				}
				require.Equal(t, c.body, p.Body)
				require.Equal(t, c.status, p.Status)
				require.False(t, p.Void, "it is the instance that is asked: %s", p.Error)
			})
		}
	}
}

func TestACertificateThatHasChangedIsReadAgainAndOneThatIsBeingReplacedIsNot(t *testing.T) {
	t.Parallel()
	ours := newAuthority(t, "ca")
	ours.sign(t, "server", forServer())
	ours.sign(t, "probe", forClient())
	port := serveTLS(t, ours, "server", ours, 0)
	c := New(Options{})
	target := asked(port, messages.HealthCheck{Scheme: messages.SchemeHTTPS,
		TLS: messages.TLSFiles{CA: ours.path("ca.pem"), Cert: ours.path("probe.pem"), Key: ours.path("probe.key")}})
	require.Equal(t, "hello probe of localhost", alone(c, target).Body)

	ours.sign(t, "another", forClient())
	require.NoError(t, os.Rename(ours.path("another.pem"), ours.path("probe.pem")))
	p := alone(c, target)
	require.Equal(t, "hello probe of localhost", p.Body, "the key is still that of the one before: %s", p.Error)
	require.NoError(t, os.Rename(ours.path("another.key"), ours.path("probe.key")))
	require.Equal(t, "hello another of localhost", alone(c, target).Body)

	require.NoError(t, os.Remove(ours.path("probe.key")))
	require.True(t, alone(c, target).OK, "for a while it is not there")
	i := c.probers[overTLS].(*overHTTPS).certificates.of(target.Policy.Check.TLS)
	i.mu.Lock()
	i.failed = i.failed.Add(-2 * keptFor)
	i.mu.Unlock()
	p = alone(c, target)
	require.True(t, p.Void, "what is missing is not the instance's")
	require.Contains(t, p.Error, "not probed: health.tls: stat "+ours.path("probe.key")+": no such file or directory")

	p = alone(New(Options{}), asked(port, messages.HealthCheck{Scheme: messages.SchemeHTTPS,
		TLS: messages.TLSFiles{CA: ours.path("probe.pem") + "x"}}))
	require.True(t, p.Void)
	require.NoError(t, os.WriteFile(ours.path("empty.pem"), []byte("nothing"), 0o600))
	p = alone(New(Options{}), asked(port, messages.HealthCheck{Scheme: messages.SchemeHTTPS,
		TLS: messages.TLSFiles{CA: ours.path("empty.pem")}}))
	require.Contains(t, p.Error, "there is no certificate in "+ours.path("empty.pem"))
}

func TestByHTTPSAProbeEndsWithinItsTimeoutToo(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	target := asked(l.Addr().(*net.TCPAddr).Port, messages.HealthCheck{Scheme: messages.SchemeHTTPS})
	target.Policy.Timeout = short
	p := alone(New(Options{}), target)
	require.Equal(t, "timed out after 200ms", p.Error)
	require.False(t, p.Void)
}
