package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	dir := flag.String("dir", "", "where the data lies, below which each member has a directory")
	port := flag.Int("port", 2379, "of the first member for clients, its peers take the next one; each further "+
		"member takes two more")
	members := flag.Int("members", 1, "how many")
	only := flag.Int("only", 0, "start this one of them alone, counted from 1; 0: all")
	host := flag.String("host", "127.0.0.1", "the address that they serve at")
	verbose := flag.Bool("v", false, "log to stderr")
	flag.Parse()
	if *dir == "" || *members < 1 || *only < 0 || *only > *members || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	c, err := Start(Config{Dir: *dir, Port: *port, Members: *members, Only: *only, Host: *host, Verbose: *verbose})
	if err != nil {
		fmt.Fprintln(os.Stderr, "etcd:", err)
		os.Exit(1)
	}
	fmt.Println(strings.Join(c.Endpoints, ","))
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	if at, err := os.Stdin.Stat(); err == nil && at.Mode()&os.ModeNamedPipe != 0 {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin) // who started it has ended
			ended <- syscall.SIGTERM
		}()
	}
	select {
	case <-ended:
	case err := <-c.Failed():
		fmt.Fprintln(os.Stderr, "etcd:", err)
	}
	c.Close()
}
