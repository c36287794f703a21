package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	context.AfterFunc(ctx, stop) // from then on a second signal ends the process
	os.Exit(run(ctx, os.Args[1:], os.Stderr))
}

// run is the program: it returns its exit code when the context ends or something fails.
func run(ctx context.Context, args []string, stderr io.Writer) int {
	began := time.Now()
	err := serve(ctx, began, args, stderr)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintf(stderr, "servicehost: %v; usage: servicehost -wasm PATH -dbPath NAME -port PORT (-help lists all flags)\n", err)
		return 2
	}
	// One line, whatever joined errors and wasm stack traces hold.
	fmt.Fprintf(stderr, "servicehost: %s\n", strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' }), "; "))
	switch {
	case errors.Is(err, errModule):
		return 3
	case errors.Is(err, errDatabase):
		return 4
	case errors.Is(err, syscall.EADDRINUSE):
		return 5
	}
	return 1
}

var errUsage = errors.New("bad command line")

func serve(ctx context.Context, began time.Time, args []string, stderr io.Writer) error {
	o, address, err := parse(args, stderr)
	if err != nil {
		return err
	}
	o.stderr = stderr
	log := slog.New(slog.NewJSONHandler(stderr, nil))
	h, err := open(ctx, o, log)
	if ctx.Err() != nil {
		return h.close() // asked to stop while starting: whatever failed, failed of that
	}
	if err != nil {
		return errors.Join(err, h.close())
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			err = fmt.Errorf("port in use: %w: stop what listens there (ss -ltnp shows it) or choose another -port", err)
		}
		return errors.Join(err, h.close())
	}
	log.Info("servicehost started", "host", o.host, "port", listener.Addr().(*net.TCPAddr).Port, "wasm", o.wasm, "db", o.db,
		"took", time.Since(began).String(), "compiled_in", h.module.took.String())
	err = h.serve(ctx, listener)
	log.Info("servicehost stopped", "uptime", time.Since(began).String())
	return err
}

// parse reads the command line.
func parse(args []string, stderr io.Writer) (options, string, error) {
	o := defaults()
	port := -1
	flags := flag.NewFlagSet("servicehost", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // one line per error: run prints it
	flags.StringVar(&o.wasm, "wasm", "", "the module to run, a `PATH`")
	flags.StringVar(&o.db, "dbPath", "", "the SQLite file, a `NAME` relative to the working directory; it and its directory are created")
	flags.IntVar(&port, "port", -1, "the TCP `PORT` to serve on; 0 takes a free one")
	flags.StringVar(&o.host, "host", o.host, "the `ADDRESS` to listen on")
	flags.StringVar(&o.cache, "cache", "", "where compiled modules are kept, a `DIRECTORY`; default: .servicehost-cache beside the database")
	flags.IntVar(&o.instances, "instances", o.instances, "how many requests run at once, at most")
	flags.DurationVar(&o.timeout, "timeout", o.timeout, "how long a request may take")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(stderr)
		flags.Usage()
		return o, "", err
	case err != nil:
		return o, "", fmt.Errorf("%w: %v", errUsage, err)
	case flags.NArg() > 0:
		return o, "", fmt.Errorf("%w: unexpected argument %q", errUsage, flags.Arg(0))
	case o.wasm == "":
		return o, "", fmt.Errorf("%w: -wasm is missing", errUsage)
	case o.db == "":
		return o, "", fmt.Errorf("%w: -dbPath is missing", errUsage)
	case port < 0 || port > 65535:
		return o, "", fmt.Errorf("%w: -port is missing or not a number from 0 to 65535", errUsage)
	case o.instances < 1:
		return o, "", fmt.Errorf("%w: -instances is less than 1", errUsage)
	case o.timeout <= 0:
		return o, "", fmt.Errorf("%w: -timeout is not positive", errUsage)
	}
	if o.cache == "" {
		o.cache = filepath.Join(filepath.Dir(o.db), ".servicehost-cache")
	}
	return o, net.JoinHostPort(o.host, strconv.Itoa(port)), nil
}

func defaults() options {
	return options{host: "127.0.0.1", instances: max(4, runtime.GOMAXPROCS(0)), timeout: 30 * time.Second, grace: 5 * time.Second}
}
