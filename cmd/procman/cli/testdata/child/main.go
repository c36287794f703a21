// Command child is a tiny servicehost. It says "hello" and is healthy, unless TEST_CHILD in its environment tells
// otherwise.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

func main() { os.Exit(child(os.Getenv("TEST_CHILD"))) }

func child(how string) int {
	if how == "remains" {
		return remain()
	}
	flags := flag.NewFlagSet("child", flag.ExitOnError)
	port := flags.Int("port", 0, "")
	flags.String("wasm", "", "")
	db := flags.String("dbPath", "", "")
	_ = flags.Parse(os.Args[1:])
	switch how {
	case "elsewhere":
		return askElsewhere(*port)
	case "forsaken":
		return forsake(*port)
	case "heavy": // and dies slowly
		defer runtime.KeepAlive(bytes.Repeat([]byte{1}, 64<<20))
	case "deaf":
		signal.Ignore(syscall.SIGTERM)
	case "mute": // never listens
		select {}
	case "fail":
		fmt.Fprintln(os.Stderr, "no reason")
		return 3
	case "grumble": // the reason is on stdout, and differs from run to run
		fmt.Println("starting, run", os.Getenv("PROCMAN_RUN"))
		fmt.Println("listen tcp: address already in use")
		return 3
	case "once": // the second run fails
		if err := os.Mkdir(*db, 0o700); err != nil {
			return 3
		}
	case "tell":
		fmt.Println("the secret is", os.Getenv("SECRET"))
	case "chatter":
		go func() {
			for n := 1; ; n++ {
				fmt.Println("line", n)
				time.Sleep(5 * time.Millisecond)
			}
		}()
	case "flood":
		go func() {
			line := append(bytes.Repeat([]byte("x"), 100), '\n')
			for lines := bytes.Repeat(line, 100); ; time.Sleep(time.Millisecond) {
				// much, and the processor is for the daemon
				_, _ = os.Stdout.Write(lines)
			}
		}()
	}
	status, body := http.StatusOK, ""
	if how == "leak" { // it tells everybody
		body = os.Getenv("SECRET") + " " + os.Getenv("API_TOKEN")
		fmt.Println("the secret is", body)
		fmt.Fprintln(os.Stderr, "panic:", body)
	}
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", *port))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 5
	}
	fmt.Println("hello from stdout")
	fmt.Fprintln(os.Stderr, "hello from stderr")
	if how == "count" {
		go count()
	}
	asked := 0
	http.HandleFunc("/api/status", func(w http.ResponseWriter, _ *http.Request) {
		if asked++; how == "leak" && asked > 2 { // healthy, and then no more
			status = http.StatusInternalServerError
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	})
	fmt.Fprintln(os.Stderr, http.Serve(l, nil))
	return 1
}

func count() {
	for i := 1; ; i++ {
		fmt.Printf("line %08d ..........\n", i)
		if i%50 == 0 {
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// askElsewhere is a client that has somebody else serve on its port for as long as it lives, as `docker run` does.
func askElsewhere(port int) int {
	conn, err := net.Dial("tcp", os.Getenv("ELSEWHERE"))
	if err != nil {
		return 3
	}
	fmt.Fprintln(conn, port)
	_, _ = io.Copy(io.Discard, conn)
	return 4
}

// forsake has a process serve on the port that dies slowly, and ends as soon as it does.
func forsake(port int) int {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), "TEST_CHILD=heavy")
	if err := cmd.Start(); err != nil {
		return 4
	}
	for {
		if c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port)); err == nil {
			_ = c.Close()
			return 3
		}
		time.Sleep(time.Millisecond)
	}
}

// remain ends the first thread of this process alone, as a kernel does that cannot end another one, which waits for a
// disk.
func remain() int {
	for {
		go func() {
			runtime.LockOSThread()
			if syscall.Gettid() == syscall.Getpid() {
				_, _, _ = syscall.RawSyscall(syscall.SYS_EXIT, 0, 0, 0)
			}
			time.Sleep(time.Hour) // or the next one would be given this thread
		}()
		time.Sleep(10 * time.Millisecond)
	}
}
