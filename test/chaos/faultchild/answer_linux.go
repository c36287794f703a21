package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strings"
	"time"

	"procman/test/chaos"
)

// answer reads one request and answers it in the manner given. What goes wrong with a connection is its other end's
// affair.
func answer(conn net.Conn, h chaos.Health) {
	defer conn.Close()
	if h == chaos.HealthClose {
		return
	}
	r := bufio.NewReader(conn)
	request, err := r.ReadString('\n')
	for line := request; err == nil && strings.TrimSpace(line) != ""; {
		line, err = r.ReadString('\n')
	}
	if err != nil {
		return
	}
	if strings.Contains(request, " /healthy ") {
		h = chaos.HealthOK
	}
	const ok = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: "
	switch h {
	case chaos.HealthSick:
		fmt.Fprint(conn, "HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\nContent-Length: 4\r\n\r\nsick")
	case chaos.HealthHang:
		_, _ = r.ReadByte() // until the other end hangs up
	case chaos.HealthDrip:
		for _, b := range []byte(ok + "2\r\n\r\nok") {
			if _, err := conn.Write([]byte{b}); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	case chaos.HealthHuge:
		const size = 64 << 20
		fmt.Fprintf(conn, "%s%d\r\n\r\n", ok, size)
		piece := bytes.Repeat([]byte("x"), 64<<10)
		for range size / len(piece) {
			if _, err := conn.Write(piece); err != nil {
				return
			}
		}
	case chaos.HealthRedirect:
		fmt.Fprint(conn, "HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: /healthy\r\nContent-Length: 0\r\n\r\n")
	case chaos.HealthGarbage:
		fmt.Fprint(conn, "\x00\x01 this is no HTTP \xff\xfe\r\n\r\n")
	default:
		fmt.Fprint(conn, ok, "2\r\n\r\nok")
	}
}
