package output

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"syscall"
	"time"

	"procman/messages"
)

func numbered(i int) string {
	return fmt.Sprintf("line %08d %s", i, "................................"[:i%32])
}

// number is 0 for what is not one whole numbered line.
func number(s string) int {
	var i int
	if _, err := fmt.Sscanf(s, "line %d ", &i); err != nil || numbered(i) != s {
		return 0
	}
	return i
}

// writerMain is a process that writes COUNT numbered lines to its standard output, line by line, pausing after every
// BURST.
func writerMain() int {
	count, _ := strconv.Atoi(os.Getenv("COUNT"))
	burst, _ := strconv.Atoi(os.Getenv("BURST"))
	for i := 1; i <= count; i++ {
		if _, err := os.Stdout.WriteString(numbered(i) + "\n"); err != nil {
			return 1
		}
		if burst > 0 && i%burst == 0 {
			time.Sleep(2 * time.Millisecond)
		}
	}
	return 0
}

// plainLog writes the line of every record to a file, in one write each, as kill -9 leaves it.
type plainLog struct{ f *os.File }

func (p plainLog) Enabled(context.Context, slog.Level) bool { return true }
func (p plainLog) WithGroup(string) slog.Handler            { return p }
func (p plainLog) WithAttrs([]slog.Attr) slog.Handler       { return p }
func (p plainLog) Handle(_ context.Context, r slog.Record) error {
	var b bytes.Buffer
	if r.Message != "output" {
		b.WriteString(r.Message)
	}
	r.Attrs(func(a slog.Attr) bool { b.WriteString(a.Value.String()); return true })
	b.WriteByte('\n')
	_, err := p.f.Write(b.Bytes())
	return err
}

// followerMain is a manager that follows in DIR, logs to LOG, and dies as it is told to: by our hand, or by its own in
// the TIMES-th step STEP, for which it writes itself what it follows.
func followerMain() int {
	f, err := os.OpenFile(os.Getenv("LOG"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return 1
	}
	dir := messages.StateDir(os.Getenv("DIR"))
	size, _ := strconv.ParseInt(os.Getenv("SIZE"), 10, 64)
	total, _ := strconv.ParseInt(os.Getenv("TOTAL"), 10, 64)
	times, _ := strconv.Atoi(os.Getenv("TIMES"))
	_, _ = os.Stdout.WriteString("\n") // who waits to kill us may begin
	step := os.Getenv("STEP")
	out, err := New(dir, Options{MaxSize: size, Total: total, Forward: true, Logger: slog.New(plainLog{f}),
		step: func(name string) {
			if name != step {
				return
			}
			if times--; times == 0 {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		}})
	if err != nil {
		return 1
	}
	out.Follow(web, 1, os.Getpid())
	if step == "" {
		time.Sleep(time.Minute)
		return 1
	}
	w, err := os.OpenFile(dir.Stdout(web), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return 1
	}
	written, before := int64(0), int64(0)
	for i := 1; written < 6*size; i++ {
		n, err := w.WriteString(numbered(i) + "\n")
		if err != nil {
			return 1
		}
		written += int64(n)
		for written-before > size/4 {
			if now, _ := out.Counters(); now == written {
				before = written
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
	return 3 // as many times the step was not reached
}
