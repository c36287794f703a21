package health

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"procman/actors/kernel"
)

// owners tells whose the listeners are. It remembers where it found them, so that a probe in the steady state costs one
// question to the kernel and one readlink, however many descriptors the process has.
type owners struct {
	mu    sync.Mutex
	found map[int]place // by port, so there are never more than there are ports
	usual int           // the descriptor of the newest of them: those of one program have it in one place

	scan  sync.Mutex // held for the length of a scan: who waits for it uses what it found
	table map[int]kernel.Process
	at    time.Time // when the scan of table began
}

// place is where a listener was found.
type place struct{ leader, pid, fd int }

func newOwners() *owners { return &owners{found: make(map[int]place)} }

// stranger describes the process that answers at the address if it is proved to be none of the run with that leader and
// tag, and with a cgroup of its own if it is grouped, see [kernel.Circle]. It returns "" if it is one of them, and if
// that cannot be learned.
func (o *owners) stranger(leader int, tag string, grouped bool, answerer *net.TCPAddr) string {
	began := time.Now()
	l, err := kernel.ListenerAt(answerer)
	if err != nil || o.remembers(leader, answerer.Port, l.Inode) {
		return ""
	}
	if o.among(leader, []int{leader}, answerer.Port, l.Inode) {
		return ""
	}
	table, err := o.processes(began)
	if err != nil {
		return ""
	}
	kin := relatives(table, kernel.Run{PID: leader})
	if o.among(leader, kin, answerer.Port, l.Inode) {
		return ""
	}
	if tag != "" { // asked for only now: to read the tags of all takes as long again
		tagged, err := proc.TaggedTable(context.Background())
		run := kernel.Run{PID: leader, Tag: tag}
		if grouped {
			run.Cgroup = proc.Grouped(tagged, leader)
		}
		if err != nil || o.among(leader, relatives(tagged, run), answerer.Port, l.Inode) {
			return ""
		}
	}
	// Ours may have closed it, or died, since the kernel was asked.
	if again, err := kernel.ListenerAt(answerer); err != nil || again.Inode != l.Inode {
		return ""
	}
	// Of one that is ending, what is left of it in the kernel keeps its sockets, and shows them nowhere.
	if st, err := proc.Stat(leader); err == nil && st.Zombie() {
		return ""
	}
	for pid, p := range table {
		if pid == leader || slices.Contains(kin, pid) {
			continue
		}
		if fd, _ := socketFD(pid, l.Inode); fd >= 0 { // one that cannot be read only goes without a name
			return fmt.Sprintf("pid %d, %s", pid, printable(p.Name))
		}
	}
	return fmt.Sprintf("of user id %d", l.User)
}

// familiar reports whether it is proved, or cannot be learned, without a look at other processes than the one that was
// found to answer at the address before.
func (o *owners) familiar(leader int, answerer *net.TCPAddr) bool {
	o.mu.Lock()
	last := o.found[answerer.Port]
	o.mu.Unlock()
	if last.leader != leader {
		return false // who looks further asks the kernel
	}
	l, err := kernel.ListenerAt(answerer)
	return err != nil || o.remembers(leader, answerer.Port, l.Inode)
}

// remembers reports whether the listener is where it was found before.
func (o *owners) remembers(leader, port int, inode uint64) bool {
	o.mu.Lock()
	last := o.found[port]
	o.mu.Unlock()
	return last.leader == leader && holds(last.pid, last.fd, inode)
}

// among reports whether one of the processes has the listener, or that cannot be known, and remembers which has it.
func (o *owners) among(leader int, pids []int, port int, inode uint64) bool {
	o.mu.Lock()
	usual := o.usual
	o.mu.Unlock()
	for _, pid := range pids {
		fd, err := usual, error(nil)
		if !holds(pid, fd, inode) { // to list them has the kernel keep a name of each until the process ends
			fd, err = socketFD(pid, inode)
		}
		if err == nil && fd < 0 {
			continue
		}
		if err == nil {
			o.mu.Lock()
			o.found[port], o.usual = place{leader, pid, fd}, fd
			o.mu.Unlock()
		}
		return true
	}
	return false
}

// processes returns a process table that was read after since.
func (o *owners) processes(since time.Time) (map[int]kernel.Process, error) {
	o.scan.Lock()
	defer o.scan.Unlock()
	if o.at.After(since) {
		return o.table, nil
	}
	at := time.Now()
	table, err := processes()
	if err != nil {
		return nil, err
	}
	o.table, o.at = table, at
	return table, nil
}

// elsewhere describes where the process listens instead of on the port. It returns "" if it listens nowhere, or if that
// cannot be learned. It is cheap for a process without sockets, which one that still starts is.
func elsewhere(pid, port int) string {
	have, err := sockets(pid)
	if err != nil || len(have) == 0 {
		return ""
	}
	ports := []int{}
	for _, at := range of(have) {
		if int(at.Port()) == port {
			return fmt.Sprintf("connection refused: the process listens on %v, which neither 127.0.0.1 nor ::1 reaches",
				at)
		}
		ports = append(ports, int(at.Port()))
	}
	if len(ports) == 0 {
		return ""
	}
	return fmt.Sprintf("connection refused: the process listens on port %s, expected %d", list(ports), port)
}

func list(ports []int) string {
	slices.Sort(ports)
	ports = slices.Compact(ports)
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(ports[:min(len(ports), 8)]), "[]"), " ", ", ")
}

// of returns the addresses of those sockets that listen.
func of(inodes map[uint64]bool) (at []netip.AddrPort) {
	all, err := kernel.Listeners()
	if err != nil {
		return nil
	}
	for _, l := range all {
		if inodes[l.Inode] {
			at = append(at, l.At)
		}
	}
	return at
}

// ListensOn returns the TCP ports that the process, its group, its session and its descendants listen on, in rising
// order. What cannot be learned is left out. It reads the whole process table: it is for a person who asks, not for
// every probe.
func ListensOn(pid int) []int {
	table, err := processes()
	if err != nil {
		return nil
	}
	var ports []int
	inodes := map[uint64]bool{}
	for _, p := range append(relatives(table, kernel.Run{PID: pid}), pid) {
		have, _ := sockets(p)
		for inode := range have {
			inodes[inode] = true
		}
	}
	if len(inodes) == 0 {
		return nil
	}
	for _, at := range of(inodes) {
		ports = append(ports, int(at.Port()))
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}
