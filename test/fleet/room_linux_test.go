package fleet

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// room is a network of network namespaces: one for etcd, with a bridge, and one for each host, whose link ends there.
type room struct {
	t    *testing.T
	tag  string
	etcd string // the address of etcd
}

// newRoom skips the test where namespaces may not be made.
func newRoom(t *testing.T) *room {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("network namespaces are made by root")
	}
	for _, name := range []string{"ip", "nsenter"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip(name, "is not installed")
		}
	}
	r := &room{t: t, tag: fmt.Sprintf("pmf%06x", rand.IntN(1<<24)), etcd: "10.97.0.1"}
	if out, err := ours.run(exec.Command("ip", "netns", "add", r.ns("etcd"))); err != nil {
		t.Skipf("network namespaces may not be made here: %v: %s", err, out)
	}
	t.Cleanup(func() { r.drop("etcd") })
	if out, err := r.try("etcd", "ip", "link", "add", "name", "bridge0", "type", "bridge"); err != nil {
		t.Skipf("bridges may not be made here: %v: %s", err, out)
	}
	r.do("etcd", "ip", "addr", "add", r.etcd+"/24", "dev", "bridge0")
	r.do("etcd", "ip", "link", "set", "dev", "bridge0", "up")
	r.do("etcd", "ip", "link", "set", "dev", "lo", "up")
	for _, name := range []string{"a", "b", "c"} {
		out, err := ours.run(exec.Command("ip", "netns", "add", r.ns(name)))
		require.NoError(t, err, out)
		t.Cleanup(func() { r.drop(name) })
		if out, err := r.try("etcd", "ip", "link", "add", "name", "to-"+name, "type", "veth", "peer", "name",
			"uplink", "netns", r.ns(name)); err != nil {
			t.Skipf("links between namespaces may not be made here: %v: %s", err, out)
		}
		r.do("etcd", "ip", "link", "set", "dev", "to-"+name, "master", "bridge0", "up")
		r.do(name, "ip", "addr", "add", r.address(name)+"/24", "dev", "uplink")
		r.do(name, "ip", "link", "set", "dev", "uplink", "up")
		r.do(name, "ip", "link", "set", "dev", "lo", "up")
	}
	return r
}

func (r *room) ns(name string) string { return r.tag + "-" + name }

func (r *room) address(host string) string { return fmt.Sprintf("10.97.0.%d", host[0]) }

func (r *room) drop(name string) {
	if out, err := ours.run(exec.Command("ip", "netns", "del", r.ns(name))); err != nil {
		r.t.Errorf("the namespace %s stays: %v: %s", r.ns(name), err, out)
	}
}

// inside is what a command line in the namespace begins with.
func (r *room) inside(name string) []string {
	return []string{"nsenter", "--net=/run/netns/" + r.ns(name)}
}

func (r *room) try(name string, args ...string) (string, error) {
	line := append(r.inside(name), args...)
	return ours.run(exec.Command(line[0], line[1:]...))
}

func (r *room) do(name string, args ...string) {
	r.t.Helper()
	out, err := r.try(name, args...)
	require.NoError(r.t, err, out)
}

// cut cuts the host off, as a pulled cable does, at the other end of it.
func (r *room) cut(host string, on bool) {
	r.t.Helper()
	r.do("etcd", "ip", "link", "set", "dev", "to-"+host, map[bool]string{true: "down", false: "up"}[on])
}

// mute drops what the host sends to etcd.
func (r *room) mute(host string, on bool) {
	r.t.Helper()
	r.do(host, "ip", "route", map[bool]string{true: "add", false: "del"}[on], "blackhole", r.etcd+"/32")
}

// deafen drops what etcd sends to the host.
func (r *room) deafen(host string, on bool) {
	r.t.Helper()
	r.do("etcd", "ip", "route", map[bool]string{true: "add", false: "del"}[on], "blackhole", r.address(host)+"/32")
}

// mount gives the host a state disk that can become full.
func (h *host) mount() {
	h.w.t.Helper()
	if os.Getuid() != 0 {
		h.w.t.Skip("a disk is mounted by root")
	}
	if err := unix.Mount("tmpfs", filepath.Join(h.dir, "state"), "tmpfs", 0, "size=4m,mode=700"); err != nil {
		h.w.t.Skip("a disk may not be mounted here:", err)
	}
}

func (h *host) unmount() { _ = unix.Unmount(filepath.Join(h.dir, "state"), unix.MNT_DETACH) } // mostly there is none

// fill leaves the state disk no room.
func (h *host) fill() {
	h.w.t.Helper()
	f, err := os.Create(filepath.Join(h.dir, "state", "filler"))
	require.NoError(h.w.t, err)
	defer f.Close()
	for chunk := make([]byte, 64<<10); len(chunk) > 0; {
		if _, err := f.Write(chunk); err != nil {
			chunk = chunk[:len(chunk)/2]
		}
	}
}

func (h *host) unfill() { require.NoError(h.w.t, os.Remove(filepath.Join(h.dir, "state", "filler"))) }
