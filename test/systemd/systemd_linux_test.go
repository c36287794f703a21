package systemd

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// container is a booted systemd, with procman installed as its unit says.
type container struct {
	testing.TB
	init  string // the pid of its pid 1, as this host counts
	share string // seen as /share inside
}

func boot(t *testing.T) *container {
	t.Helper()
	if os.Getenv("PROCMAN_SYSTEMD") == "" {
		t.Skip("PROCMAN_SYSTEMD is not set")
	}
	if os.Getuid() != 0 {
		t.Skip("it needs root")
	}
	for _, program := range []string{"unshare", "nsenter", "bash"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	root := os.Getenv("PROCMAN_SYSTEMD_ROOT")
	if root == "" {
		cache, err := os.UserCacheDir()
		require.NoError(t, err)
		root = filepath.Join(cache, "procman-systemd", "trixie")
	}
	if out, err := exec.Command("./container", "make", root).CombinedOutput(); err != nil {
		t.Skipf("no root file system: %v\n%s", err, out)
	}
	c := &container{TB: t, share: t.TempDir()}
	for _, pkg := range []string{"cmd/procman", "test/chaos/faultchild"} {
		out, err := exec.Command("go", "build", "-buildvcs=false", "-o", c.share+"/", "procman/"+pkg).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	unit, err := os.ReadFile("../../cmd/procman/deploy/procman.service")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(c.share, "procman.service"), unit, 0o600))

	cmd := exec.Command("./container", "boot", root)
	cmd.Env = append(os.Environ(), "PROCMAN_SHARE="+c.share)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	said, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(said).ReadString('\n')
	c.init = strings.TrimSpace(line)
	t.Cleanup(func() {
		if pid, err := strconv.Atoi(c.init); err == nil && pid > 1 {
			_ = syscall.Kill(pid, syscall.SIGKILL) // pid 1 takes all with it
		}
		_ = cmd.Wait() // what becomes of a killed container is no news
	})
	require.NoError(t, err, complaints.String())
	c.eventually("it is booted", func() bool {
		state, _ := c.try("systemctl is-system-running")
		return state == "running" || state == "degraded"
	})
	c.sh("install -m 755 /share/procman /usr/local/bin/ && install -m 644 /share/procman.service " +
		"/etc/systemd/system/ && mkdir -p /etc/procman && systemctl daemon-reload")
	return c
}

// try runs a script inside.
func (c *container) try(script string) (string, error) {
	cmd := exec.Command("nsenter", "-t", c.init, "-a", "bash", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (c *container) sh(script string) string {
	c.Helper()
	out, err := c.try(script)
	require.NoError(c, err, "%s\n%s", script, out)
	return out
}

func (c *container) eventually(what string, holds func() bool) {
	c.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !holds(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			log, _ := c.try("journalctl -u procman -o cat -n 30 --no-pager; systemctl status procman --no-pager")
			require.Fail(c, "not within three minutes: "+what, log)
		}
	}
}

// configure writes a list of so many instances, with more lines before them.
func (c *container) configure(instances int, lines ...string) {
	c.Helper()
	var b strings.Builder
	b.WriteString("executable: /share/faultchild\nports: {range: 10000-19000}\nstart: {parallel: 16}\n" +
		strings.Join(lines, "\n") + "\ninstances:\n")
	for n := range instances {
		fmt.Fprintf(&b, "  - {id: i%d, args: [\"{port}\"], wasm_path: /share/faultchild, db_name: x}\n", n)
	}
	require.NoError(c, os.WriteFile(filepath.Join(c.share, "procman.yaml"), []byte(b.String()), 0o600))
	c.sh("cp /share/procman.yaml /etc/procman/")
}

func (c *container) show(property string) string {
	c.Helper()
	return c.sh("systemctl show procman --value -p " + property)
}

// stored waits until that many handles are kept.
func (c *container) stored(n int) {
	c.Helper()
	c.eventually(fmt.Sprint(n, " handles are stored"),
		func() bool { return c.show("NFileDescriptorStore") == strconv.Itoa(n) })
}

type instance struct {
	ID       string `json:"id"`
	PID      int    `json:"pid"`
	Restarts int    `json:"restarts"`
	LastExit *struct {
		Code   int    `json:"code"`
		Signal string `json:"signal"`
		Known  bool   `json:"known"`
	} `json:"last_exit"`
}

func (c *container) status() map[string]instance {
	c.Helper()
	var doc struct {
		Instances []instance `json:"instances"`
	}
	require.NoError(c, json.Unmarshal([]byte(c.sh("procman status -o json 2>/dev/null")), &doc))
	all := map[string]instance{}
	for _, i := range doc.Instances {
		all[i.ID] = i
	}
	return all
}

// killed kills the daemon, and waits for the next one.
func (c *container) killed() {
	c.Helper()
	before := c.show("MainPID")
	c.sh("kill -9 " + before)
	c.eventually("another daemon is ready", func() bool {
		return c.show("ActiveState") == "active" && c.show("MainPID") != before
	})
	c.sh("procman wait -q --timeout 120s")
}

func many() int {
	if n, err := strconv.Atoi(os.Getenv("PROCMAN_SYSTEMD_MANY")); err == nil {
		return n
	}
	return 1100 // more than a soft limit of 1024
}

func TestTheUnitAsItIsShipped(t *testing.T) {
	c := boot(t)
	c.configure(5)
	c.sh("systemd-analyze verify /etc/systemd/system/procman.service")
	c.sh("systemctl start procman && procman wait -q --timeout 60s")
	c.stored(5)
	require.Contains(t, c.sh("procman doctor || true"), "the daemon is in procman.service: KillMode=process")

	pid := strconv.Itoa(c.status()["i0"].PID)
	require.Equal(t, "0", c.sh("cat /proc/"+pid+"/oom_score_adj"), "a protection of the daemon is not the instances'")

	c.configure(6)
	c.sh("systemctl reload procman")
	require.Len(t, c.status(), 6)
	c.sh("procman wait -q --timeout 60s")

	before := c.status()
	c.killed()
	for id, i := range c.status() {
		require.Equal(t, before[id].PID, i.PID, id)
	}
	c.stored(6)

	// A child that is killed while no daemon lives: its exit is known to the letter.
	c.sh("kill -9 $(systemctl show procman --value -p MainPID) " + strconv.Itoa(before["i1"].PID))
	c.eventually("i1 is back", func() bool {
		out, err := c.try("procman wait -q i1 --timeout 1s")
		_ = out
		return err == nil && c.status()["i1"].Restarts == 1
	})
	require.Equal(t, "KILL", c.status()["i1"].LastExit.Signal)
	require.True(t, c.status()["i1"].LastExit.Known)
	require.NotEmpty(t, c.sh(`journalctl -u procman -o cat PRIORITY=4 | grep '"instance exited"'`),
		"what is amiss has its priority")
	c.stored(6)

	// A broken file does not stop the daemon that runs, nor keep the next one from running what was good.
	c.sh("echo 'nonsense: 1' >>/etc/procman/procman.yaml; systemctl reload procman")
	c.killed()
	require.Len(t, c.status(), 6)
	require.Contains(t, c.show("StatusText"), "last good")

	c.sh("systemctl stop procman")
	c.stored(0)
	require.Equal(t, "0", c.sh("ls -l /proc/*/exe 2>/dev/null | grep -c faultchild || true"))
}

func TestANoisyInstanceSilencesNobody(t *testing.T) {
	c := boot(t)
	c.configure(1)
	c.sh(`cat >>/etc/procman/procman.yaml <<'X'
  - {id: noisy, executable: /bin/sh, args: ["-c", "seq -f noise%.0f 60000; exec /share/faultchild {port}"], wasm_path: /share/faultchild, db_name: x}
X
systemctl start procman`)
	for n := 1; n <= 4; n++ {
		c.sh("procman wait -q i0 --timeout 60s; procman restart i0 --wait")
	}
	c.sh("procman wait -q --timeout 60s")
	c.eventually("the end of it is in the journal", func() bool {
		out, _ := c.try("journalctl --sync; journalctl -u procman -o cat PRIORITY=7 | grep -c noise60000")
		return out == "1"
	})
	require.Equal(t, "5", c.sh(`journalctl -u procman -o cat PRIORITY=6 | grep '"instance ready"' | grep -c '"i0"'`))
	require.Equal(t, "60000", c.sh("journalctl -u procman -o cat PRIORITY=7 | grep -c '\"noise'"))
}

func TestManyInstancesOutliveUpgradesAndAKillAndNoHandleIsLostOrLeft(t *testing.T) {
	c := boot(t)
	n := many()
	c.configure(n)
	c.sh("systemctl start procman && procman wait -q --timeout 300s")
	c.stored(n)
	before := c.status()
	for range 3 {
		c.sh("procman upgrade")
		time.Sleep(time.Second) // what would be lost would be lost by then
		c.stored(n)
	}
	c.killed()
	for id, i := range c.status() {
		require.Equal(t, before[id].PID, i.PID, id)
	}
	c.stored(n)
	c.sh("systemctl stop procman")
	c.stored(0)
	require.Equal(t, "success", c.show("Result"))
}
