package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// installed returns where a program of the distribution is; the test is skipped if it is not there.
func installed(t testing.TB, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} {
		if path := filepath.Join(dir, name); unix.Access(path, unix.X_OK) == nil {
			return path
		}
	}
	t.Skipf("%s is not installed here", name)
	return ""
}

// serverConfig has nginx ask for a certificate, and answer 204.
const serverConfig = `daemon off;
pid $PWD/nginx.pid;
error_log stderr;
worker_processes 1;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path $PWD/body; proxy_temp_path $PWD/proxy; fastcgi_temp_path $PWD/fastcgi; uwsgi_temp_path $PWD/uwsgi; scgi_temp_path $PWD/scgi;
  server {
    listen 127.0.0.1:$PORT ssl;
    server_name web.example.org;
    ssl_certificate $PWD/server.pem; ssl_certificate_key $PWD/server.key;
    ssl_client_certificate $PWD/ca.pem; ssl_verify_client on;
    location /up { if ($http_x_asked_by != "procman") { return 403; } return 204; }
  }
}
`

// certify makes ca, and server and probe signed by it, in the directory.
func certify(t testing.TB, dir string) {
	openssl := installed(t, "openssl")
	run := func(args ...string) {
		cmd := exec.Command(openssl, args...)
		cmd.Dir = dir
		out, err := ours.output(cmd)
		require.NoError(t, err, "%s", out)
	}
	run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
		"/CN=ca", "-keyout", "ca.key", "-out", "ca.pem")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "names"), []byte("subjectAltName=DNS:web.example.org\n"), 0o600))
	for _, name := range []string{"server", "probe"} {
		run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN="+name, "-keyout",
			name+".key", "-out", name+".csr")
		run("x509", "-req", "-in", name+".csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days",
			"2", "-extfile", "names", "-out", name+".pem")
	}
}

// Servers that nobody here wrote, asked in every way, over the death of the daemon.
func TestServersOfOthersAreAskedInEveryWayAndAskedOnByTheNextDaemon(t *testing.T) {
	t.Parallel()
	nginx, redis, cli := installed(t, "nginx"), installed(t, "redis-server"), installed(t, "redis-cli")
	w := newWorld(t)
	site := filepath.Join(w.dir, "site")
	require.NoError(t, os.Mkdir(site, 0o755))
	certify(t, site)
	require.NoError(t, os.WriteFile(filepath.Join(site, "run"), []byte("set -e\ncat > nginx.conf <<END\n"+
		strings.ReplaceAll(serverConfig, "$http_", `\$http_`)+
		"END\nexec \"$0\" -p \"$PWD\" -c \"$PWD/nginx.conf\" -e stderr\n"), 0o600))
	w.replace(w.config, []byte(strings.NewReplacer("STATE", w.state, "SOCKET", w.socket, "PORTS",
		fmt.Sprintf("%d-%d", w.ports[0], w.ports[1]),
		"DIR", w.dir, "NGINX", nginx, "REDIS", redis, "CLI", cli, "LIBRARIES",
		os.Getenv("LD_LIBRARY_PATH")).Replace(othersServers)))
	d := w.start().up()
	ids := []string{"web", "cache", "queue"}
	pids := map[string]int{}
	for _, id := range ids {
		pids[id] = d.healthy(id).PID
	}
	out, code := w.cli("why", "web")
	require.Zero(t, code, out)
	asked := func() int {
		text, err := os.ReadFile(filepath.Join(w.dir, "asked"))
		require.NoError(t, err)
		return strings.Count(string(text), "\n")
	}
	d.kill()
	before := asked()

	d = w.start().up()
	for _, id := range ids {
		s := d.healthy(id)
		require.Equal(t, pids[id], s.PID, "%s is adopted", id)
		require.True(t, s.Adopted)
	}
	w.eventually(10*time.Second, "the checks go on", func() bool { return asked() > before+2 })

	// One that hangs is told of by its command, and by health.on_failure not touched.
	require.NoError(t, syscall.Kill(pids["queue"], syscall.SIGSTOP))
	sick := d.await("queue", "reported", func(s shown) bool { return s.Health == "unhealthy" })
	require.Equal(t, "running", sick.Phase)
	out, _ = w.cli("why", "queue")
	require.Contains(t, out, "health.on_failure is report")
	require.Contains(t, out, "timed out after 1s, and was ended")
	require.NoError(t, syscall.Kill(pids["queue"], syscall.SIGCONT))
	require.Equal(t, pids["queue"], d.healthy("queue").PID)

	d.kill()
	d = w.start().up()
	for _, id := range ids {
		require.Equal(t, pids[id], d.healthy(id).PID)
	}
	out, code = w.cli("stop", "--all", "--wait")
	require.Zero(t, code, out)
	for _, id := range ids {
		require.ErrorIs(t, syscall.Kill(pids[id], 0), unix.ESRCH, id)
	}
	w.eventually(10*time.Second, "no check is left", func() bool { return len(checksOf(w.state)) == 0 })
	out, code = w.cli("shutdown")
	require.Zero(t, code, out)
}

const othersServers = `state_dir: STATE
socket: SOCKET
ports: {range: PORTS}
start: {deadline: 60s}
health: {interval: 300ms, timeout: 20s, failures: 3}
defaults: {env: {LD_LIBRARY_PATH: "LIBRARIES"}}
instances:
  - id: web
    executable: /bin/sh
    args: [-c, ". ./run", NGINX]
    work_dir: DIR/site
    health:
      path: /up
      status: [204]
      scheme: https
      headers: {X-Asked-By: procman}
      tls: {ca_file: DIR/site/ca.pem, cert_file: DIR/site/probe.pem, key_file: DIR/site/probe.key, server_name: web.example.org}
  - id: cache
    executable: REDIS
    args: [--port, "{port}", --bind, 127.0.0.1, --save, ""]
    work_dir: DIR
    health: {kind: tcp}
  - id: queue
    executable: REDIS
    args: [--port, "{port}", --bind, 127.0.0.1, --save, ""]
    work_dir: DIR
    health: {kind: command, timeout: 1s, on_failure: report, command: [sh, -c, 'echo "$PORT" >> asked; exec CLI -e -p "$PORT" ping']}
`

// checksOf returns the processes that show that they run for a check of that state directory.
func checksOf(state string) (pids []string) {
	all, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range all {
		text, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(text), "PROCMAN_CHECK=") && strings.Contains(string(text), "@"+state) {
			pids = append(pids, path)
		}
	}
	return pids
}
