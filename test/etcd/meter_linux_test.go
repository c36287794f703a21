package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// meter says what an etcd has done in between, and what that took.
type meter struct {
	t        *testing.T
	endpoint string
	pid      int
	began    usage
}

// usage is what an etcd has done and used since it began, and what this program has.
type usage struct {
	at       time.Time
	took     time.Duration
	calls    map[string]float64 // by method
	messages float64            // to watches
	sent     float64            // bytes, to clients
	db       float64            // bytes
	cpu, own time.Duration
	pss      int // MiB
}

func (m *meter) begin() { m.began = m.read() }

// end prints what was used since begin; what ends with "a second" by the second.
func (m *meter) end(what string, args ...any) usage {
	m.t.Helper()
	was, is := m.began, m.read()
	took := is.at.Sub(was.at)
	u := usage{took: took, calls: map[string]float64{}, messages: is.messages - was.messages, sent: is.sent - was.sent,
		cpu: is.cpu - was.cpu, own: is.own - was.own}
	per := 1.
	if strings.HasSuffix(what, "a second") {
		per = took.Seconds()
	}
	var calls []string
	for method, n := range is.calls {
		if n -= was.calls[method]; n > 0 {
			u.calls[method] = n
			calls = append(calls, fmt.Sprintf("%s %.4g", method, n/per))
		}
	}
	slices.Sort(calls)
	m.t.Logf("%s | %v | %s | %.4g watch messages, %.2f MiB sent | etcd: %.3f s of processor, PSS %d MiB, db %.1f MiB "+
		"| hosts: %.2f s of processor",
		fmt.Sprintf(what, args...), took.Round(10*time.Millisecond), strings.Join(calls, ", "), u.messages/per,
		u.sent/per/(1<<20), u.cpu.Seconds()/per,
		is.pss, is.db/(1<<20), u.own.Seconds()/per)
	return u
}

// hosts prints what the hosts have in memory.
func (m *meter) hosts(hosts, instances int) {
	m.t.Helper()
	var s runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&s)
	m.t.Logf("hosts: heap %.1f MiB: %.2f MiB a host, %.0f bytes for each instance that one knows; PSS %d MiB",
		float64(s.HeapAlloc)/(1<<20),
		float64(s.HeapAlloc)/(1<<20)/float64(hosts), float64(s.HeapAlloc)/float64(hosts)/float64(instances),
		pss(m.t, os.Getpid()))
}

func (m *meter) read() usage {
	m.t.Helper()
	u := usage{calls: map[string]float64{}, cpu: processor(m.t, m.pid), own: processor(m.t, os.Getpid()),
		pss: pss(m.t, m.pid), at: time.Now()}
	answer, err := http.Get(m.endpoint + "/metrics")
	require.NoError(m.t, err)
	defer answer.Body.Close()
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		line := lines.Text()
		name, labels, _ := strings.Cut(line[:max(0, strings.LastIndexByte(line, ' '))], "{")
		value, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		if err != nil {
			continue
		}
		_, method, _ := strings.Cut(labels, `grpc_method="`)
		method, _, _ = strings.Cut(method, `"`)
		switch name {
		case "grpc_server_handled_total":
			u.calls[method] += value
		case "grpc_server_msg_sent_total":
			if method == "Watch" {
				u.messages += value
			}
		case "etcd_network_client_grpc_sent_bytes_total":
			u.sent += value
		case "etcd_mvcc_db_total_size_in_bytes":
			u.db = value
		}
	}
	return u
}

// processor returns what the process has used: a tick is a hundredth of a second.
func processor(t *testing.T, pid int) time.Duration {
	t.Helper()
	if pid == os.Getpid() {
		var r syscall.Rusage
		require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &r))
		return time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(t, err)
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, err := strconv.Atoi(fields[11])
	require.NoError(t, err)
	system, err := strconv.Atoi(fields[12])
	require.NoError(t, err)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// pss returns the process's part of the memory, in MiB.
func pss(t *testing.T, pid int) int {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(maps), "\nPss:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	require.NoError(t, err)
	return kib >> 10
}
