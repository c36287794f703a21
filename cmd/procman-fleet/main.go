// Command procman-fleet is procman with the store of a fleet, etcd. `procman run` executes it where the configuration
// has `fleet:`; a host without one does not carry what it is linked with.
package main

import (
	"io"
	"log/slog"
	"os"

	"google.golang.org/grpc/grpclog"

	"procman/cmd/procman/cli"
	"procman/supervisor/config"
	"procman/supervisor/fleet/etcd"
	"procman/supervisor/fleet/store"
)

func main() {
	// It would write to the daemon's log what is no record of it. What matters of it is an error of a call, too.
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard))
	os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr, os.Getenv, open))
}

func open(f config.Fleet, log *slog.Logger) (store.Store, error) {
	return etcd.Open(etcd.Options{
		Endpoints: f.Endpoints, CAFile: f.TLS.CAFile, CertFile: f.TLS.CertFile, KeyFile: f.TLS.KeyFile,
		User: f.User, PasswordFile: f.PasswordFile, Logger: log,
	})
}
