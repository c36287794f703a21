// Command payload is payload.c again, for a host without a C compiler.
package main

import (
	"encoding/binary"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	pid = iota
	runs
	began
	listening
	written
	writing
	fields = 8
)

type slot struct {
	file  *os.File
	place int64
	own   [fields]uint64
}

func (s *slot) note() {
	bytes, _ := binary.Append(nil, binary.NativeEndian, s.own) // an array of numbers has a size
	if _, err := s.file.WriteAt(bytes, s.place); err != nil {
		os.Exit(3)
	}
}

func now() uint64 {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) != nil {
		os.Exit(3)
	}
	return uint64(t.Nano())
}

func main() {
	s := slot{}
	s.own[began] = now()
	port, board, name := flag.Int("port", 0, ""), flag.String("board", "", ""), flag.String("slot", "0", "")
	exits, floods, hangs := flag.Bool("exit", false, ""), flag.Int("flood", 0, ""), flag.Int("hang", 0, "")
	flag.Parse()
	number, err := strconv.Atoi((*name)[strings.LastIndex(*name, "-")+1:])
	if err != nil {
		os.Exit(2)
	}
	if s.file, err = os.OpenFile(*board, os.O_RDWR, 0); err != nil {
		os.Exit(3)
	}
	s.place = int64(number) * fields * 8
	before := make([]byte, fields*8)
	if _, err := s.file.ReadAt(before, s.place); err != nil {
		os.Exit(3)
	}
	s.own[pid], s.own[runs] = uint64(os.Getpid()), binary.NativeEndian.Uint64(before[8*runs:])+1
	s.note()
	if *exits {
		os.Exit(1)
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	go func() {
		<-term
		os.Exit(0)
	}()
	if number < *hangs {
		select {}
	}
	if *floods > 0 {
		line := []byte(strings.Repeat("x", 127) + "\n")
		start := now()
		for s.own[writing] < uint64(*floods)*uint64(time.Millisecond) {
			for range 100 {
				n, _ := os.Stdout.Write(line) // what was not written does not count
				s.own[written] += uint64(n)
			}
			s.own[writing] = now() - start
		}
		s.note()
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(*port)))
	if err != nil {
		os.Exit(5)
	}
	s.own[listening] = now()
	s.note()
	fmt.Println("listening")
	request := make([]byte, 2048)
	for {
		c, err := listener.Accept()
		if err != nil {
			continue
		}
		if _, err := c.Read(request); err == nil {
			// the client may be gone
			_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
		}
		_ = c.Close()
	}
}
