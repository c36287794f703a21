package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

var errUsage = errors.New("bad command line")

func main() {
	ctx, end := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	go func() {
		<-signals
		signal.Stop(signals) // before anybody can see that the first was heard: a second one ends the process
		end()
	}()
	os.Exit(run(ctx, os.Args[1:], os.Stderr))
}

// run is the program: it returns its exit code when the context ends or something fails.
func run(ctx context.Context, args []string, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if err == nil {
		err = serve(ctx, o)
	}
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	// One line, whatever joined errors and wasm stack traces hold.
	fmt.Fprintf(stderr, "servicehost: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
	for code, cause := range []error{2: errUsage, 3: errModule, 4: errDatabase, 5: syscall.EADDRINUSE} {
		if errors.Is(err, cause) {
			return code
		}
	}
	return 1
}

// parse reads the command line.
func parse(args []string, stderr io.Writer) (options, error) {
	o := defaults(stderr)
	flags := flag.NewFlagSet("servicehost", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // one line per error: run prints it
	flags.StringVar(&o.wasm, "wasm", "", "the module to run, a `PATH`")
	flags.StringVar(&o.db, "dbPath", "", "the SQLite file, a `NAME` relative to the working directory; it and its "+
		"directory are created")
	flags.IntVar(&o.port, "port", -1, "the TCP `PORT` to serve on; 0 takes a free one")
	flags.StringVar(&o.host, "host", o.host, "the `ADDRESS` to listen on")
	flags.StringVar(&o.cache, "cache", "", "where compiled modules are kept, a `DIRECTORY`; default: "+
		".servicehost-cache beside the database")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(stderr)
		flags.Usage()
		return o, err
	case err != nil:
	case flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.wasm == "":
		err = errors.New("-wasm is missing")
	case o.db == "":
		err = errors.New("-dbPath is missing")
	case o.port < 0 || o.port > 65535:
		err = errors.New("-port is missing or not a number from 0 to 65535")
	}
	if err != nil {
		return o, fmt.Errorf("%w: %w; usage: servicehost -wasm PATH -dbPath NAME -port PORT (-help lists all flags)",
			errUsage, err)
	}
	if o.cache == "" {
		o.cache = filepath.Join(filepath.Dir(o.db), ".servicehost-cache")
	}
	return o, nil
}

// serve opens the host, then its port, and serves until the context ends.
func serve(ctx context.Context, o options) error {
	began := time.Now()
	h, err := open(ctx, o)
	if ctx.Err() != nil && err != nil {
		return nil // asked to stop while starting: whatever failed, failed of that
	}
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(o.host, strconv.Itoa(o.port)))
	if err != nil {
		return errors.Join(err, h.close())
	}
	o.log.Info("servicehost started", "host", o.host, "port", listener.Addr().(*net.TCPAddr).Port,
		"wasm", o.wasm, "db", o.db,
		"took", time.Since(began).String())
	err = h.serve(ctx, listener)
	o.log.Info("servicehost stopped", "uptime", time.Since(began).String())
	return err
}
