package daemon

import (
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	switch os.Getenv("TEST_CHILD") {
	case "guard":
		o := &Options{Stdout: os.Stdout, Stderr: os.Stderr, Env: os.Getenv, signals: newSignals()}
		if _, err := o.standBy(50 * time.Millisecond); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	case "deaf": // to TERM; it is healthy
		signal.Ignore(syscall.SIGTERM)
		fmt.Println(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"),
			http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}
