package test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// TestMain makes the test binary a server, too: real processes for the tests that need some.
func TestMain(m *testing.M) {
	if os.Getenv("PROCMAN_TEST_SERVER") != "" {
		serve(os.Args[len(os.Args)-1])
		return
	}
	goleak.VerifyTestMain(m)
}

func itoa(n int) string { return strconv.Itoa(n) }

// serve says its greeting and answers 200 on the port until TERM.
func serve(port string) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	fmt.Println(os.Getenv("GREETING"))
	fmt.Fprintln(os.Stderr, "ready")
	server := &http.Server{Addr: "127.0.0.1:" + port, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {})}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		os.Exit(1)
	}
}
