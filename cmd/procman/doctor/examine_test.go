package doctor

import (
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// healthy is a host on which nothing is wrong, for 100 instances.
func healthy() Facts {
	works := Trial{Made: true}
	socket := fs.ModeSocket | 0o600
	return Facts{
		Config: Config{Path: "/etc/procman/procman.yaml"},
		Wants:  Wants{Instances: 100, First: 30000, Last: 31000, Hold: true, Output: 1 << 20},
		Daemon: Daemon{Answers: true, PID: 812, StateDir: "/s", Visible: true},
		Files:  Files{Limit: new(int64(4096)), Used: new(int64(216))},
		Tasks: Tasks{Each: new(int64(5)), Limits: []Limit{{"kernel.pid_max", 4 << 20, "raise it"},
			{"pids.max of the cgroup /x", 4096, "raise that"}}},
		Inotify: Inotify{Instances: new(int64(128)), Watches: new(int64(8192))},
		Ports:   Ports{Outgoing: &Span{32768, 60999}, Unprivileged: new(int64(1024))},
		Cgroups: Cgroups{Base: "/sys/fs/cgroup/procman.service", Controllers: []string{"memory", "cpu", "pids"}},
		Kernel:  Kernel{Release: "6.18", Pidfd: works, GroupSignals: works, ExitStatus: works},
		Dir: Dir{Path: "/s", Looked: "/s", Exists: true, Mode: fs.ModeDir | 0o700, Type: 0xEF53, Write: works,
			Flock: works, Collapse: works, Punch: works,
			FreeBytes: new(int64(1 << 40)), FreeFiles: new(int64(1 << 20))},
		Socket: Socket{Path: "/s/procman.sock", Mode: &socket},
		Unit: Unit{Cgroup: "/system.slice/procman.service", Name: "procman.service",
			Properties: map[string]string{"KillMode": "process",
				"OOMPolicy": "continue", "FileDescriptorStoreMax": "512", "NotifyAccess": "main", "Type": "simple",
				"Restart": "always"}},
		Init: Init{PID: 812, Comm: "systemd"},
		OOM:  new(int64),
		Core: new(int64),
		Fleet: &Fleet{Grace: time.Second, Clock: Clock{Rate: new(1.0), Synced: true},
			Store: Store{Asked: true, Servers: []Server{{Name: "http://a", Version: "3.6.5"}}},
			Leash: Leash{Able: works, PID: 900, Lives: true, Fenced: []string{"a"}, Left: 7 * time.Second}},
	}
}

func TestAGoodHostHasNothingToBeSaidAbout(t *testing.T) {
	for _, f := range Examine(healthy()) {
		require.Equal(t, OK, f.Verdict, f)
		require.NotEmpty(t, f.What)
		require.Empty(t, f.Do, f)
	}
}

func TestWhatIsNotKnownIsNoFaultAndNotOK(t *testing.T) {
	for _, f := range Examine(Facts{Wants: healthy().Wants, Fleet: &Fleet{}}) {
		if f.Check == "configuration" || f.Check == "port range" || f.Check == "fleet grace" {
			continue // they are of what is wanted alone
		}
		require.Equal(t, Unknown, f.Verdict, f)
	}
}

func TestOfAHostWithoutAFleetNothingIsSaidOfOne(t *testing.T) {
	f := healthy()
	f.Fleet = nil
	require.Len(t, Examine(f), len(Examine(healthy()))-4)
}

func TestEveryCheckHasItsOwnNameAndTheSamePlace(t *testing.T) {
	good, blank := Examine(healthy()), Examine(Facts{Fleet: &Fleet{}})
	seen := map[string]bool{}
	for n, f := range good {
		require.Equal(t, f.Check, blank[n].Check)
		require.False(t, seen[f.Check], f.Check)
		seen[f.Check] = true
	}
}

func TestEachFaultIsFoundAndSaysWhatToDo(t *testing.T) {
	no := func(err error) Trial { return Trial{true, err} }
	mode := func(m fs.FileMode) *fs.FileMode { return &m }
	for _, c := range []struct {
		check   string
		change  func(*Facts)
		verdict Verdict
		what    string // in What
		means   string // in Means
		do      string // in Do
	}{
		{"configuration", func(f *Facts) { f.Config.Err = errors.New("p.yaml:1:2: bad") }, Fault, "p.yaml:1:2: bad",
			"", "procman validate -c /etc/procman/procman.yaml"},
		{"daemon", func(f *Facts) { f.Daemon.StateDir = "/other" }, Fault,
			"uses the state directory /other; the configuration says /s", "", "-c"},
		{"daemon", func(f *Facts) { f.Daemon.Visible = false }, Unknown, "cannot be seen", "", "in the container"},

		{"open files", func(f *Facts) { f.Files.Limit = new(int64(784)) }, OK, "784, 784 needed", "", ""},
		{"open files", func(f *Facts) { f.Files.Limit = new(int64(783)) }, Warning, "783, 784 needed",
			"they wait for one another", "ulimit -n 1568"},
		{"open files", func(f *Facts) { f.Files.Limit = new(int64(263)) },
			Fault, "263, 784 needed for 100 instances, 216 open now", "84 of them fit", "LimitNOFILE=1568"},
		{"open files", func(f *Facts) { f.Wants.Hold, f.Files.Limit = false, new(int64(162)) }, Fault, "684 needed",
			"", "LimitNOFILE"},
		{"processes", func(f *Facts) { f.Tasks.Limits[1].Value = 563 }, Warning,
			"563 by pids.max of the cgroup /x, 564 needed (5 threads an instance, measured)", "thread", "raise that"},
		{"processes", func(f *Facts) { f.Tasks.Limits[0].Value = 101 }, Fault, "101 by kernel.pid_max", "", "raise it"},
		{"processes", func(f *Facts) { f.Tasks.Each, f.Tasks.Limits[1].Value = nil, 1263 }, Warning,
			"1264 needed (12 threads an instance, assumed)", "", ""},
		{"inotify", func(f *Facts) { f.Inotify.Watches = new(int64(207)) }, Warning, "207 watches, 208 needed",
			"every second", "sysctl -w fs.inotify.max_user_watches=8192"},
		{"inotify", func(f *Facts) { f.Inotify.Instances = new(int64(1)) }, Warning, "1 instances",
			"", "sysctl -w fs.inotify.max_user_instances=128"},

		{"port range", func(f *Facts) { f.Wants.Last = 30098 }, Fault, "30000-30098: 99 ports for 100 instances",
			"not every", "at least 111 ports"},
		{"port range", func(f *Facts) { f.Wants.Last = 30100 }, Warning, "101 ports", "", "at least 111 ports"},
		{"port range", func(f *Facts) { f.Wants.First, f.Wants.Last = 80, 900 }, Fault, "80-900",
			"root", "at 1024 or above"},
		{"outgoing ports", func(f *Facts) { f.Wants.First, f.Wants.Last = 32700, 32799 }, Warning,
			"32 of them in ports.range 32700-32799", "while an instance is down",
			"sysctl -w net.ipv4.ip_local_reserved_ports=32700-32799\n"},
		{"outgoing ports", func(f *Facts) {
			f.Wants.First, f.Wants.Last, f.Wants.Hold, f.Ports.Reserved = 40000, 40199,
				false, []Span{{8080, 8080}, {40100, 40299}}
		}, Warning, "100 of them", "between its lease", "ip_local_reserved_ports=8080,40000-40299\n"},

		{"kernel", func(f *Facts) { f.Kernel.Pidfd = no(unix.ENOSYS) }, Fault, "function not implemented",
			"does not start", "seccomp"},
		{"group signals", func(f *Facts) { f.Kernel.GroupSignals = no(unix.EINVAL) },
			Warning, "invalid argument", "", "6.9"},
		{"exit status", func(f *Facts) { f.Kernel.ExitStatus, f.Unit = no(unix.ENOTTY), Unit{} },
			Warning, "inappropriate ioctl", "'unknown' unless systemd's fd store is used", "6.15"},

		{"state directory", func(f *Facts) { f.Dir.ReadOnly = true }, Fault, "read-only", "", "state_dir"},
		{"state directory", func(f *Facts) { f.Dir.Write = no(unix.ENOSPC) }, Fault, "no space left", "", "/s"},
		{"state directory", func(f *Facts) { f.Dir.Write, f.Dir.User = no(fs.ErrPermission), 1000 }, Unknown,
			"uid 1000 may not write", "", "as the user"},
		{"state directory", func(f *Facts) { f.Dir.Write = no(fs.ErrPermission) }, Fault, "permission denied",
			"", "daemon's user"},
		{"state directory", func(f *Facts) { f.Dir.Mode |= 0o020 }, Warning, "mode 0720", "believes them",
			"chmod go-w /s"},
		{"file system", func(f *Facts) { f.Dir.Flock = no(unix.ENOLCK) }, Fault, "flock does not work",
			"", "local disk"},
		{"file system", func(f *Facts) { f.Dir.Collapse, f.Dir.Punch = no(unix.EOPNOTSUPP), no(unix.EOPNOTSUPP) },
			Warning, "ext4; it neither cuts nor punches", "grow", "state_dir"},
		{"file system", func(f *Facts) { f.Dir.Type = 0x6969 }, Warning, "nfs; flock works", "server", "local disk"},
		{"disk space", func(f *Facts) { f.Dir.FreeBytes = new(int64(1 << 20)) }, Fault, "1024 KiB free", "records",
			"output.max_size"},
		{"disk space", func(f *Facts) { f.Dir.FreeBytes = new(int64(215 << 20)) }, Warning,
			"215 MiB free, output may still grow by 200 MiB", "", "free space"},
		{"disk space", func(f *Facts) { f.Dir.FreeFiles = new(int64(63)) }, Fault, "63 inodes", "", "free space"},
		{"disk space", func(f *Facts) { f.Dir.FreeFiles = new(int64(1063)) }, Warning, "1063 inodes", "1064",
			"free space"},
		{"socket", func(f *Facts) { f.Socket.Path = strings.Repeat("x", 100) }, Fault, "100 of 99 bytes",
			"", "shorter"},
		{"socket", func(f *Facts) { f.Socket.Mode = mode(0o600) }, Fault, "no socket", "", "rm /s/procman.sock"},
		{"socket", func(f *Facts) { f.Socket.Mode = mode(fs.ModeSocket | 0o660) }, Warning, "mode 0660",
			"", "chmod 600"},
		{"out of memory", func(f *Facts) { f.OOM = new(int64(-900)) }, OK, "-900; instances are not protected", "", ""},

		{"fleet store", func(f *Facts) { f.Fleet.Store.Err = errors.New("permission denied") }, Fault,
			"permission denied", "no member", "fleet.endpoints"},
		{"fleet store", func(f *Facts) { f.Fleet.Store = Store{Missing: errors.New("no program")} },
			Fault, "it cannot be asked: no program", "no daemon", "procman-fleet"},
		{"fleet store", func(f *Facts) {
			f.Fleet.Store.Servers = append(f.Fleet.Store.Servers,
				Server{Name: "http://b", Err: errors.New("it is etcd 3.5.1"), Advice: "upgrade it"})
		}, Warning, "http://b: it is etcd 3.5.1; http://a is etcd 3.6.5 and answers in 0s", "asks another member",
			"upgrade it"},
		{"fleet store", func(f *Facts) {
			f.Fleet.Store.Servers[0].Err, f.Fleet.Store.Err = errors.New("refused"), errors.New("no server")
		}, Fault, "http://a: refused", "no member", "look at etcd"},
		{"fleet clock", func(f *Facts) { f.Fleet.Clock.Rate = new(1.006) }, Fault, "+6000 ppm",
			"another host could start", "chrony"},
		{"fleet clock", func(f *Facts) { f.Fleet.Clock.Synced = false }, Warning,
			"+0 ppm, and nothing holds the wall clock", "leases do not need it", "chrony"},
		{"fleet grace", func(f *Facts) { f.Fleet.Cut = []string{"a", "b", "c", "d", "e", "f", "g"} }, Warning,
			"1s between TERM and KILL in a partition; stop.grace is longer of a, b, c, d, e and 2 more", "killed",
			"fleet.grace"},
		{"leash", func(f *Facts) { f.Fleet.Leash.Able = no(unix.EPERM) }, Fault, "operation not permitted",
			"does not join", "seccomp"},
		{"leash", func(f *Facts) { f.Daemon.Answers = false },
			Warning, "process 900, without a daemon; fenced and running: a", "it ends them in 7s", "procman run"},
		{"leash", func(f *Facts) { f.Daemon.Answers, f.Fleet.Leash.Over = false, errors.New("it is void") }, Warning,
			"without a daemon", "it ends them now: it is void", "procman run"},
		{"leash", func(f *Facts) { f.Fleet.Leash.Lives = false }, Fault, "none; fenced and running: a",
			"nobody ends them", "end them by hand"},
		{"leash", func(f *Facts) { f.Fleet.Leash.Lives, f.Fleet.Leash.Fenced = false, nil }, Fault,
			"none, though the daemon runs", "does not join", "leash.log"},

		{"pid 1", func(f *Facts) { f.Init.PID = 1 }, Fault, "the daemon is pid 1", "kernel kills every instance",
			"docker run --init"},
		{"pid 1", func(f *Facts) { f.Init.Comm = "node" }, Warning, "node is not known as an init", "zombie", "tini"},
		{"pid 1", func(f *Facts) { f.Init.ReaperPID, f.Init.ReaperComm = 7, "java" },
			Warning, "adopted instances belong to pid 7, java", "", ""},
	} {
		f := healthy()
		c.change(&f)
		found := 0
		for _, got := range Examine(f) {
			if got.Check != c.check {
				continue
			}
			found++
			require.Equal(t, c.verdict, got.Verdict, got)
			require.Contains(t, got.What, c.what)
			require.Contains(t, got.Means, c.means)
			require.Contains(t, got.Do, c.do)
			if c.verdict != OK {
				require.NotEmpty(t, got.Do, got)
			}
		}
		require.Equal(t, 1, found, c.check)
	}
}

func TestWhatIsNoHarmIsOKThoughSomethingIsSaidOfIt(t *testing.T) {
	f := healthy()
	f.Dir.Type = 0x01021994
	require.Equal(t, OK, fileSystem(f).Verdict)
	require.Contains(t, fileSystem(f).Means, "after a reboot")
	f.Dir.Type, f.Dir.Collapse = 0x9123683E, Trial{true, unix.EOPNOTSUPP}
	require.Equal(t, Finding{"file system", OK, "btrfs; flock works, output is bounded by a hole at its head",
		"`ls -l` shows output files larger than what they occupy; `du` shows that", ""}, fileSystem(f))

	f.Kernel.ExitStatus = Trial{true, unix.ENOTTY}
	require.Equal(t, OK, exitStatus(f).Verdict, "the descriptor store makes up for it")
	f.Dir.OutputBytes, f.Dir.FreeBytes = 100<<20, new(int64(117<<20))
	require.Equal(t, OK, diskSpace(f).Verdict, "what output occupies already it need not get")
	f.Ports.Reserved = []Span{{30000, 40000}}
	f.Wants.First, f.Wants.Last = 33000, 34000
	require.Contains(t, outgoingPorts(f).What, "but it is reserved")
	f.Daemon = Daemon{Err: errors.New("nobody")}
	require.Equal(t, OK, daemon(f).Verdict)
	f.Init.ReaperPID, f.Init.ReaperComm = 7, "systemd"
	require.Equal(t, "systemd; adopted instances belong to pid 7, systemd", processOne(f).What)
}

func TestTheServiceIsPutRightByOneFile(t *testing.T) {
	f := healthy()
	f.Unit.Properties = map[string]string{"KillMode": "control-group", "OOMPolicy": "stop",
		"FileDescriptorStoreMax": "0", "Type": "forking", "Restart": "no"}
	got := serviceManager(f)
	require.Equal(t, Fault, got.Verdict)
	require.Contains(t, got.What, "the daemon is in procman.service: KillMode=control-group, OOMPolicy=stop, "+
		"FileDescriptorStoreMax=0")
	require.Contains(t, got.Means, "kill every instance")
	require.Equal(t, `write to /etc/systemd/system/procman.service.d/procman.conf:
  [Service]
  KillMode=process
  OOMPolicy=continue
  FileDescriptorStoreMax=200
  Type=simple
  Restart=always
then systemctl daemon-reload`, got.Do)

	f = healthy()
	f.Unit.Properties["FileDescriptorStoreMax"] = "99"
	got = serviceManager(f)
	require.Equal(t, Warning, got.Verdict)
	require.Contains(t, got.Do, "[Service]\n  FileDescriptorStoreMax=200\nthen", "only what is missing")

	for property, c := range map[string]struct {
		value   string
		verdict Verdict
		line    string
	}{
		"KillMode": {"mixed", Fault, "KillMode=process"}, "OOMPolicy": {"kill", Fault, "OOMPolicy=continue"},
		"NotifyAccess": {"none", Warning, "NotifyAccess=main"}, "Type": {"oneshot", Fault, "Type=simple"},
		"Restart": {"no", Warning, "Restart=always"},
	} {
		f := healthy()
		f.Unit.User = true
		f.Unit.Properties[property] = c.value
		got := serviceManager(f)
		require.Equal(t, c.verdict, got.Verdict, property)
		require.Contains(t, got.Do, "~/.config/systemd/user/procman.service.d/procman.conf:\n  [Service]\n  "+
			c.line+"\n", property)
		require.Contains(t, got.Do, "systemctl --user daemon-reload")
	}
	f = healthy()
	f.Unit.Properties["LimitNOFILESoft"], f.Unit.Properties["LimitNOFILE"] = "575", "524288"
	got = serviceManager(f)
	require.Equal(t, Warning, got.Verdict, "512 may be stored, and 64 beside them")
	require.Contains(t, got.Means, "status=202/FDS")
	require.Contains(t, got.Do, "[Service]\n  LimitNOFILE=576:524288\nthen")
	f.Unit.Properties["LimitNOFILESoft"], f.Unit.Properties["LimitNOFILE"] = "164", "200"
	require.Contains(t, serviceManager(f).Do, "LimitNOFILE=576:576\n")
	require.Equal(t, Warning, serviceManager(f).Verdict)
	f.Unit.Properties["LimitNOFILESoft"] = "150"
	require.Equal(t, Fault, serviceManager(f).Verdict, "with its hundred instances it cannot be started again")
	for _, enough := range []string{"576", "infinity", ""} {
		f.Unit.Properties["LimitNOFILESoft"] = enough
		require.Equal(t, OK, serviceManager(f).Verdict)
	}
	f = healthy()
	f.Unit.Properties["KillMode"] = "none"
	require.Equal(t, Warning, serviceManager(f).Verdict)
	f.Unit.Properties["KillMode"], f.Unit.Own = "control-group", true
	got = serviceManager(f)
	require.Equal(t, Warning, got.Verdict, "no daemon is there yet")
	require.Contains(t, got.What, "this process is in procman.service")
}

func TestOfAUnitThatIsNoServiceOrDoesNotTellNothingIsInvented(t *testing.T) {
	f := healthy()
	f.Unit.Properties, f.Unit.Err = nil, errors.New("Host is down")
	got := serviceManager(f)
	require.Equal(t, Unknown, got.Verdict)
	require.Contains(t, got.What, "Host is down")
	require.Contains(t, got.Do, "systemctl show -p KillMode,OOMPolicy procman.service")
	f.Unit = Unit{Cgroup: "/user.slice/session-3.scope", Name: "session-3.scope"}
	require.Equal(t, ok("service manager", "the daemon is in session-3.scope, which is no service"), serviceManager(f))
	f.Unit = Unit{Cgroup: "/"}
	require.Equal(t, ok("service manager", "the daemon is in no systemd unit"), serviceManager(f))
	f.Unit = Unit{Err: errors.New("no proc")}
	require.Equal(t, Unknown, serviceManager(f).Verdict)
}

func TestTheUnitIsTheInnermostOneOfACgroup(t *testing.T) {
	for path, want := range map[string]struct {
		name string
		user bool
	}{
		"/": {}, "/docker/0123": {}, "/system.slice": {},
		"/system.slice/procman.service":                                                  {"procman.service", false},
		"/system.slice/procman.service/instances/a":                                      {"procman.service", false},
		"/system.slice/system-procman.slice/procman@x.service":                           {"procman@x.service", false},
		"/user.slice/user-1000.slice/session-3.scope":                                    {"session-3.scope", false},
		"/user.slice/user-1000.slice/user@1000.service/app.slice/procman.service":        {"procman.service", true},
		"/user.slice/user-1000.slice/user@1000.service/app.slice/app-term.scope":         {"app-term.scope", true},
		"/user.slice/user-1000.slice/user@1000.service/app.slice/procman.service/sub/cg": {"procman.service", true},
		"/user.slice/user-1000.slice/user@1000.service/init.scope":                       {"init.scope", true},
	} {
		name, user := unitOf(path)
		require.Equal(t, want.name, name, path)
		require.Equal(t, want.user, user, path)
	}
}

func TestCgroupsAreReadInAllTheirForms(t *testing.T) {
	for name, c := range map[string]struct {
		text, unit, pids string
		old, unified     bool
	}{
		"one hierarchy": {"0::/system.slice/p.service\n", "/system.slice/p.service", "/system.slice/p.service",
			false, true},
		"both kinds": {"9:name=systemd:/system.slice/p.service\n8:pids:/a\n1:cpu,cpuacct:/\n0::/b\n",
			"/system.slice/p.service", "/a", true, false},
		"the old kind": {"3:cpu,pids:/c\n1:name=systemd:/d\n", "/d", "/c", true, false},
		"a colon": {"0::/system.slice/a:b.service\n", "/system.slice/a:b.service", "/system.slice/a:b.service",
			false, false},
		"nothing": {"garbage\n", "", "", false, false},
		"a container's systemd on a host of both kinds": {"9:name=systemd:/\n8:pids:/\n0::/system.slice/p.service\n",
			"/system.slice/p.service", "/", true, true},
	} {
		unit, pids, old := cgroupsOf(c.text, c.unified)
		require.Equal(t, []any{c.unit, c.pids, c.old}, []any{unit, pids, old}, name)
	}
}

func TestReservedPortsAreTakenOutOfARangeAndMerged(t *testing.T) {
	require.Equal(t, []Span{{8080, 8080}, {30000, 31000}}, parseSpans("8080,30000-31000\n"))
	require.Empty(t, parseSpans("\n"))
	require.Equal(t, []Span{{10, 14}, {21, 29}}, without(Span{10, 30}, []Span{{15, 18}, {17, 20}, {30, 40}, {1, 5}}))
	require.Empty(t, without(Span{10, 30}, []Span{{1, 20}, {21, 30}}))
	require.Equal(t, "1-5,7,10-40", spans(merge([]Span{{20, 40}, {7, 7}, {1, 3}, {4, 5}, {10, 20}})))
}

func TestTheDoctorTellsWhetherRunsHaveCgroupsAndWhatCannotBeBounded(t *testing.T) {
	f := healthy()
	require.Equal(t, ok("cgroups", "each run has one of its own below /sys/fs/cgroup/procman.service, ended as a "+
		"whole by cgroup.kill; "+
		"resources that it can bound: memory, cpu, pids"), cgroups(f))
	f.Cgroups.Refuses = map[string]string{"memory": "memory is missing (boot otherwise)"}
	require.Equal(t, OK, cgroups(f).Verdict, "nobody asks for it")
	require.Contains(t, cgroups(f).What, "can bound: cpu, pids")
	f.Wants.Bounded = map[string][]string{"memory": {"a", "b", "c", "d", "e", "f", "g"}, "pids": {"h"}}
	got := cgroups(f)
	require.Equal(t, Fault, got.Verdict)
	require.Contains(t, got.What, "there memory is missing (boot otherwise)")
	require.Contains(t, got.Means, "cannot be started: a, b, c, d, e, and 2 more")
	f.Cgroups = Cgroups{Absent: errors.New("the cgroup of x.service is not delegated to it")}
	got = cgroups(f)
	require.Equal(t, Fault, got.Verdict)
	require.Contains(t, got.Means, "a, b, c, d, e, and 3 more")
	f.Wants.Bounded = nil
	require.Equal(t, ok("cgroups", "runs have none of their own: the cgroup of x.service is not delegated to it"),
		cgroups(f))
}

func TestAFindingHasItsFieldsInJSON(t *testing.T) {
	text, err := json.Marshal(Finding{"c", OK, "w", "", ""})
	require.NoError(t, err)
	require.JSONEq(t, `{"check":"c","verdict":"ok","what":"w","means":"","do":""}`, string(text))
}
