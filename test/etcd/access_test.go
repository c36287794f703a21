package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"

	"procman/supervisor/fleet/etcd"
	"procman/supervisor/fleet/store"
)

func open(t *testing.T, o etcd.Options) *etcd.Store {
	t.Helper()
	s, err := etcd.Open(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func soon(t *testing.T, patience time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func put(t *testing.T, s store.Store, key string) error {
	_, err := s.Commit(soon(t, time.Minute), store.Transaction{Then: []store.Op{store.Put(key, "")}})
	return err
}

func write(t *testing.T, path, content string) string {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestAUserIsKnownByThePasswordInItsFileAndMayDoWhatItsRoleAllows(t *testing.T) {
	cluster := start(t, Config{Members: 1})
	ref := reference(t, cluster.Endpoints...)
	ctx := soon(t, time.Minute)
	for _, step := range []func() error{
		func() error { _, err := ref.UserAdd(ctx, "root", "r"); return err },
		func() error { _, err := ref.UserGrantRole(ctx, "root", "root"); return err },
		func() error { _, err := ref.UserAdd(ctx, "host", "first"); return err },
		func() error { _, err := ref.RoleAdd(ctx, "fleet"); return err },
		func() error {
			all := clientv3.PermissionType(clientv3.PermReadWrite)
			_, err := ref.RoleGrantPermission(ctx, "fleet", "/f/", clientv3.GetPrefixRangeEnd("/f/"), all)
			return err
		},
		func() error { _, err := ref.UserGrantRole(ctx, "host", "fleet"); return err },
		func() error { _, err := ref.AuthEnable(ctx); return err },
	} {
		require.NoError(t, step())
	}
	root, err := clientv3.New(clientv3.Config{Endpoints: cluster.Endpoints, Username: "root", Password: "r"})
	require.NoError(t, err)
	defer root.Close()

	file := write(t, filepath.Join(t.TempDir(), "password"), "first\n")
	o := etcd.Options{Endpoints: cluster.Endpoints, Prefix: "/f/", User: "host", PasswordFile: file}
	s := open(t, o)
	require.NoError(t, put(t, s, "a"))
	lease, _, err := s.Grant(ctx, 60*time.Second)
	require.NoError(t, err)
	_, err = s.KeepAlive(ctx, lease)
	require.NoError(t, err)

	nobody := o
	nobody.User, nobody.PasswordFile = "", ""
	err = put(t, open(t, nobody), "a")
	require.ErrorIs(t, err, store.ErrRefused)
	require.ErrorContains(t, err, "set fleet.user and fleet.password_file")
	elsewhere := o
	elsewhere.Prefix = "/g/"
	outside := open(t, elsewhere)
	require.ErrorIs(t, put(t, outside, "a"), store.ErrRefused)
	err = outside.Watch(ctx, "", 1, func(store.Changes) {})
	require.ErrorIs(t, err, store.ErrRefused)

	// While the password is changed nothing is restarted, and what is under way goes on when the file says the new one.
	_, err = root.UserChangePassword(ctx, "host", "second")
	require.NoError(t, err)
	err = put(t, s, "a")
	require.ErrorIs(t, err, store.ErrRefused)
	require.ErrorContains(t, err, "check fleet.user")
	write(t, file, "second\n")
	require.NoError(t, put(t, s, "a"))
	told := make(chan store.Changes, 10)
	go func() { _ = s.Watch(ctx, "", 1, func(c store.Changes) { told <- c }) }()
	require.NotEmpty(t, (<-told).Events)
}

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	dir  string
	file string
}

func newAuthority(t *testing.T) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	a := &authority{cert: cert, key: key, dir: t.TempDir()}
	a.file = write(t, filepath.Join(a.dir, "ca.pem"), encoded("CERTIFICATE", der))
	return a
}

func encoded(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// sign writes a certificate and its key.
func (a *authority) sign(t *testing.T, certFile, keyFile string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "host"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	require.NoError(t, err)
	bytes, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	write(t, certFile, encoded("CERTIFICATE", der))
	write(t, keyFile, encoded("EC PRIVATE KEY", bytes))
}

func TestServerAndClientShowEachOtherCertificatesThatMayBeReplacedWhileTheyLive(t *testing.T) {
	trusted, other := newAuthority(t), newAuthority(t)
	at := func(name string) string { return filepath.Join(trusted.dir, name) }
	trusted.sign(t, at("server.pem"), at("server.key"))
	cluster := start(t, Config{Members: 1, TLS: &transport.TLSInfo{
		CertFile: at("server.pem"), KeyFile: at("server.key"), TrustedCAFile: trusted.file, ClientCertAuth: true,
	}})
	other.sign(t, at("client.pem"), at("client.key"))
	o := etcd.Options{Endpoints: cluster.Endpoints, CAFile: trusted.file, CertFile: at("client.pem"),
		KeyFile: at("client.key")}
	s := open(t, o)
	_, _, err := s.Get(soon(t, 2*time.Second), "a")
	require.ErrorIs(t, err, store.ErrUnavailable, "it is nobody's that the server trusts")
	trusted.sign(t, at("client.pem"), at("client.key"))
	require.NoError(t, put(t, s, "a"), "the file was replaced")

	o.CAFile = other.file
	_, _, err = open(t, o).Get(soon(t, 2*time.Second), "a")
	require.ErrorIs(t, err, store.ErrUnavailable)
	require.ErrorContains(t, err, "certificate")
}
