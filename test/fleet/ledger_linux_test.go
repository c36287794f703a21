package fleet

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// payloadWord has this test program be an instance: payload LEDGER ID PORT.
const payloadWord = "payload"

const beatEvery = 20 * time.Millisecond

// now is CLOCK_BOOTTIME.
func now() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic(err) // it is in every kernel
	}
	return time.Duration(t.Nano())
}

// payload answers probes, and says in the ledger that it lives. A ledger that cannot be written ends it.
func payload(ledger, id, port string) {
	began := min(now(), startOf(os.Getpid()))
	dir, _ := os.Getwd()
	file, err := os.OpenFile(ledger, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	note := func(what string, at time.Duration) {
		line := fmt.Sprintln(id, os.Getenv("PROCMAN_EPOCH"), filepath.Base(dir), os.Getpid(), what, int64(at))
		if _, err := file.WriteString(line); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(4)
		}
	}
	note("start", began)
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, syscall.SIGTERM)
	signal.Ignore(syscall.SIGPIPE)
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(5)
	}
	go func() {
		_ = http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter,
			_ *http.Request) {
			_, _ = io.WriteString(w, "ok")
		}))
		os.Exit(6)
	}()
	for beat := time.NewTicker(beatEvery); ; {
		select {
		case <-beat.C:
			note("beat", now())
		case <-ends:
			note("end", now())
			os.Exit(0)
		}
	}
}

// startOf returns when the kernel says at the latest that the process began. It counts in hundredths of a second.
func startOf(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return now()
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	ticks, err := strconv.ParseInt(fields[19], 10, 64)
	if err != nil {
		return now()
	}
	return time.Duration(ticks+1) * 10 * time.Millisecond
}

// life is what the ledger says of one process.
type life struct {
	ID, Host    string
	Epoch       int64
	PID         int
	Start, Last time.Duration // when it began at the latest, and lived still
	Ended       bool          // by itself, when it was told to
}

// read returns what the ledger says of each instance, by the time of the start.
func (w *world) read() map[string][]*life {
	w.t.Helper()
	content, err := os.ReadFile(w.ledger)
	if err != nil {
		w.t.Fatal(err)
	}
	lives, err := parseLedger(content)
	if err != nil {
		w.t.Fatal(err)
	}
	return lives
}

func parseLedger(content []byte) (map[string][]*life, error) {
	found := map[string]*life{}
	lives := map[string][]*life{}
	content = content[:bytes.LastIndexByte(content, '\n')+1]
	for s := bufio.NewScanner(bytes.NewReader(content)); s.Scan(); {
		var id, epoch, host, what string
		var pid int
		var at time.Duration
		if n, err := fmt.Sscan(s.Text(), &id, &epoch, &host, &pid, &what, (*int64)(&at)); err != nil || n != 6 {
			return nil, fmt.Errorf("the ledger has %q: %w", s.Text(), err)
		}
		key := fmt.Sprint(id, " ", pid, " ", host)
		l := found[key]
		if what == "start" {
			n, err := strconv.ParseInt(epoch, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("%s was started on %s under no epoch: %w", id, host, err)
			}
			l = &life{ID: id, Host: host, Epoch: n, PID: pid, Start: at}
			found[key] = l
			lives[id] = append(lives[id], l)
		}
		if l == nil {
			return nil, errors.New("the ledger has no start of " + s.Text())
		}
		l.Last, l.Ended = max(l.Last, at), what == "end"
	}
	for _, of := range lives {
		slices.SortFunc(of, func(a, b *life) int { return int(a.Start - b.Start) })
	}
	return lives, nil
}

// overlaps says what must never be: two processes of an instance at one time, an epoch that does not grow, and one that
// may not move on two hosts.
func overlaps(lives map[string][]*life, movable func(id string) bool) (wrong []string) {
	for id, of := range lives {
		for i, l := range of {
			for _, later := range of[i+1:] {
				if later.Start < l.Last {
					wrong = append(wrong, fmt.Sprintf("%s lives twice for %v: pid %d on %s since %v under epoch %d, "+
						"and pid %d on %s from %v to %v under epoch %d",
						id, l.Last-later.Start, later.PID, later.Host, later.Start, later.Epoch, l.PID, l.Host,
						l.Start, l.Last, l.Epoch))
				}
				if later.Epoch < l.Epoch {
					wrong = append(wrong, fmt.Sprintf("%s runs on %s under epoch %d, after %d on %s", id, later.Host,
						later.Epoch, l.Epoch, l.Host))
				}
				if later.Host != l.Host && later.Epoch == l.Epoch {
					wrong = append(wrong, fmt.Sprintf("%s ran on %s and on %s under epoch %d", id,
						l.Host, later.Host, l.Epoch))
				}
			}
			if l.Host != of[0].Host && !movable(id) {
				wrong = append(wrong, fmt.Sprintf("%s may not move, and ran on %s and on %s", id, of[0].Host, l.Host))
			}
		}
	}
	slices.Sort(wrong)
	return wrong
}

func TestTheLedgerShowsWhateverLivedTwice(t *testing.T) {
	line := func(id string, epoch int, host string, pid int, what string, ms int) string {
		return fmt.Sprintln(id, epoch, host, pid, what, ms*int(time.Millisecond))
	}
	for name, c := range map[string]struct {
		then string
		want string
	}{
		"one after the other": {line("m", 2, "b", 2, "start", 300) + line("m", 2, "b", 2, "beat", 400), ""},
		"two at one time":     {line("m", 2, "b", 2, "start", 199), "m lives twice for 1ms"},
		"a beat of the first, later": {line("m", 2, "b", 2, "start", 300) + line("m", 1, "a", 1, "beat", 301),
			"m lives twice for 1ms"},
		"an older epoch":               {line("m", 0, "b", 2, "start", 300), "after 1 on a"},
		"two hosts in an epoch":        {line("m", 1, "b", 2, "start", 300), "under epoch 1"},
		"again on the host, same run":  {line("m", 1, "a", 2, "start", 300), ""},
		"one that may not move, moved": {line("s", 2, "b", 2, "start", 300), "s may not move"},
	} {
		t.Run(name, func(t *testing.T) {
			text := line("m", 1, "a", 1, "start", 100) + line("m", 1, "a", 1, "beat", 200) +
				line("s", 1, "a", 9, "start", 100) + c.then
			lives, err := parseLedger([]byte(text + "m 1 a half of a li"))
			if err != nil {
				t.Fatal(err)
			}
			wrong := strings.Join(overlaps(lives, func(id string) bool { return id[0] == 'm' }), "\n")
			if c.want == "" && wrong != "" || !strings.Contains(wrong, c.want) {
				t.Fatalf("it says %q", wrong)
			}
		})
	}
}
