package fake

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
)

// ServerVariable, set in the environment of a test binary that calls [Server] first in its TestMain, makes that binary
// a server on the port that is its last argument: a real process for tests that need one.
const ServerVariable = "PROCMAN_TEST_SERVER"

// Server says its greeting and answers 200 until TERM, if this process is to be a server; then it does not return.
func Server() {
	if os.Getenv(ServerVariable) == "" {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	fmt.Println(os.Getenv("GREETING"))
	fmt.Fprintln(os.Stderr, "ready")
	server := &http.Server{Addr: "127.0.0.1:" + os.Args[len(os.Args)-1],
		Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		os.Exit(1)
	}
	os.Exit(0)
}
