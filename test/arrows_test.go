package test

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// arrows says which of procman's own packages each may import. Nothing else may.
var arrows = map[string][]string{
	"messages":       {},
	"actors/run":     {"messages"},
	"actors/gate":    {"messages"},
	"actors/record":  {},
	"actors/kernel":  {"messages"},
	"actors/command": {},
	"actors/budget":  {"actors/kernel", "messages"},
	"actors/runas":   {"messages"},
	"actors/cgroup":  {"actors/kernel", "messages"},
	"actors/health":  {"actors/kernel", "actors/record", "messages"},
	"actors/port":    {"actors", "actors/kernel", "messages"},
	"actors/spawn": {"actors", "actors/command", "actors/cgroup", "actors/kernel", "actors/record",
		"actors/runas", "messages"},
	"actors/output":      {"actors", "actors/record", "messages"},
	"actors":             {"actors/run", "actors/gate", "messages"},
	"supervisor/plan":    {"messages"},
	"supervisor/explain": {"supervisor/plan", "messages"},
	"supervisor":         {"supervisor/explain", "supervisor/plan", "actors", "messages"},
	"supervisor/config":  {"supervisor", "supervisor/fleet/member", "actors/record", "actors/runas", "messages"},
	"supervisor/api":     {"supervisor", "actors/record", "messages"},
	"supervisor/events":  {"actors/record", "messages"},
	"supervisor/metrics": {"supervisor", "messages"},
	"supervisor/engine": {"supervisor", "actors/budget", "actors/health", "actors/output", "actors/port",
		"actors/spawn", "messages"},
	"supervisor/fleet": {"supervisor", "supervisor/fleet/leash", "supervisor/fleet/member", "supervisor/fleet/place",
		"supervisor/fleet/store",
		"actors", "actors/record", "messages"},
	"supervisor/fleet/place":           {},
	"supervisor/fleet/member":          {},
	"supervisor/fleet/store":           {},
	"supervisor/fleet/store/memory":    {"supervisor/fleet/store"},
	"supervisor/fleet/store/storetest": {"supervisor/fleet/store"},
	"supervisor/fleet/etcd":            {"supervisor/fleet/store", "actors/record"},
	"supervisor/fleet/leash": {"supervisor/fleet/member", "actors/kernel", "actors/record", "actors/spawn",
		"messages"},
	"cmd/procman": {"cmd/procman/cli"},
	"cmd/procman-fleet": {"cmd/procman/cli", "supervisor/config", "supervisor/fleet/etcd",
		"supervisor/fleet/store"},
	"cmd/procman/cli": {"supervisor/fleet/leash", "supervisor/explain", "supervisor/config", "supervisor/api",
		"supervisor/events", "actors/cgroup", "actors/output", "actors/spawn",
		"cmd/procman/daemon", "cmd/procman/doctor", "cmd/procman/systemd", "cmd/procman/words", "messages"},
	"cmd/procman/daemon": {"supervisor", "supervisor/explain", "supervisor/engine", "supervisor/config",
		"supervisor/api", "supervisor/events",
		"supervisor/metrics", "supervisor/fleet", "supervisor/fleet/leash", "supervisor/fleet/member",
		"supervisor/fleet/store", "actors",
		"actors/budget", "actors/spawn", "actors/output", "actors/health", "actors/kernel", "actors/port",
		"actors/record",
		"cmd/procman/doctor", "cmd/procman/hooks", "cmd/procman/systemd", "cmd/procman/words", "messages"},
	"cmd/procman/hooks":              {"supervisor/config", "actors/command", "messages"},
	"cmd/procman/words":              {},
	"cmd/procman/systemd":            {"cmd/procman/words", "supervisor", "supervisor/api", "actors/spawn", "messages"},
	"cmd/procman/doctor":             {"actors/budget", "actors/kernel", "messages"},
	"cmd/servicehost":                {"cmd/servicehost/guest"},
	"cmd/servicehost/guest":          {},
	"cmd/servicehost/apps/guestbook": {"cmd/servicehost/guest"},
	"cmd/servicehost/apps/counter":   {"cmd/servicehost/guest"},
	"test/fake":                      {"supervisor", "actors", "messages"},
}

// outside says which packages from elsewhere a package may import, beside the standard library. A package that is not
// named may import what it likes.
var outside = map[string][]string{
	"messages":                {},
	"actors/run":              {},
	"actors/gate":             {},
	"actors/record":           {},
	"supervisor/plan":         {"github.com/cenkalti/backoff/v4"},
	"supervisor/explain":      {},
	"supervisor/fleet/place":  {},
	"supervisor/fleet/member": {},
	"actors":                  {"github.com/asynkron/protoactor-go/actor"},
	"supervisor":              {"github.com/asynkron/protoactor-go/actor"},
	"actors/runas":            {"golang.org/x/sys/unix"},
	"actors/cgroup":           {"golang.org/x/sys/unix"},
	"actors/kernel":           {"golang.org/x/sys/unix"},
	"actors/spawn":            {"golang.org/x/sys/unix"},
	"actors/port":             {"golang.org/x/sys/unix"},
	"actors/health":           {"golang.org/x/sys/unix"},
}

type listedPackage struct {
	ImportPath, Dir  string
	Imports, GoFiles []string
	Standard         bool
	Deps             []string
}

func packages(t *testing.T) map[string]listedPackage {
	t.Helper()
	found, err := listPackages()
	require.NoError(t, err)
	return found
}

var listPackages = sync.OnceValues(func() (map[string]listedPackage, error) {
	found := map[string]listedPackage{}
	for _, target := range [][]string{{"GOOS=linux"}, {"GOOS=wasip1", "GOARCH=wasm"}} {
		list := exec.Command("go", "list", "-e", "-json=ImportPath,Dir,Imports,GoFiles,Standard,Deps", "procman/...")
		list.Dir = ".."
		list.Env = append(os.Environ(), append(target, "GOFLAGS=-buildvcs=false")...)
		list.Stderr = os.Stderr
		out, err := list.Output()
		if err != nil {
			return nil, err
		}
		for d := json.NewDecoder(bytes.NewReader(out)); ; {
			var p listedPackage
			err := d.Decode(&p)
			if err == io.EOF {
				break
			}
			if err != nil {
				return nil, err
			}
			name := strings.TrimPrefix(p.ImportPath, "procman/")
			if had, twice := found[name]; !twice || len(had.GoFiles) == 0 {
				found[name] = p
			}
		}
	}
	return found, nil
})

func TestTheArrowsPointDownwards(t *testing.T) {
	for name, p := range packages(t) {
		allowed, drawn := arrows[name]
		if strings.HasPrefix(name, "test") && name != "test/fake" {
			continue
		}
		require.True(t, drawn, "package %s has no place in the house: draw its arrows here and in the README", name)
		for _, imported := range p.Imports {
			own, ours := strings.CutPrefix(imported, "procman/")
			if ours {
				require.Contains(t, allowed, own, "%s imports %s", name, own)
				continue
			}
			others, limited := outside[name]
			if limited && strings.Contains(strings.Split(imported, "/")[0], ".") {
				require.Contains(t, others, imported, "%s imports %s", name, imported)
			}
		}
	}
}

func TestThePureCoresTouchNoWorld(t *testing.T) {
	all := packages(t)
	for _, name := range []string{"supervisor/plan", "supervisor/explain", "supervisor/fleet/place",
		"supervisor/fleet/member", "actors/run", "actors/gate"} {
		p := all[name]
		require.NotEmpty(t, p.GoFiles)
		for _, banned := range []string{"os", "net", "os/exec", "log/slog", "io", "sync", "context", "math/rand",
			"math/rand/v2"} {
			require.NotContains(t, p.Imports, banned, name)
		}
		for _, file := range p.GoFiles {
			tree, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, 0)
			require.NoError(t, err)
			ast.Inspect(tree, func(n ast.Node) bool {
				if s, is := n.(*ast.SelectorExpr); is {
					if x, is := s.X.(*ast.Ident); is && x.Name == "time" {
						require.NotContains(t, []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc",
							"NewTimer", "Tick"}, s.Sel.Name, "%s: time.%s", file, s.Sel.Name)
					}
				}
				if _, is := n.(*ast.GoStmt); is {
					t.Errorf("%s starts a goroutine", file)
				}
				return true
			})
		}
	}
}

// What a command does depends on its environment only where its caller says so.
func TestTheEnvironmentOfACommandIsReadInMainAlone(t *testing.T) {
	all := packages(t)
	for _, name := range []string{"cmd/procman/cli", "cmd/procman/daemon", "cmd/procman/systemd", "cmd/procman/words"} {
		require.NotEmpty(t, all[name].GoFiles, name)
		for _, file := range all[name].GoFiles {
			tree, err := parser.ParseFile(token.NewFileSet(), filepath.Join(all[name].Dir, file), nil, 0)
			require.NoError(t, err)
			ast.Inspect(tree, func(n ast.Node) bool {
				if s, is := n.(*ast.SelectorExpr); is {
					if x, is := s.X.(*ast.Ident); is && x.Name == "os" {
						require.NotContains(t, []string{"Getenv", "LookupEnv", "ExpandEnv"}, s.Sel.Name,
							"%s/%s", name, file)
					}
				}
				return true
			})
		}
	}
}

func TestAnEmbedderGetsNoCommandLineNoYAMLAndNoPrometheusOfOurs(t *testing.T) {
	deps := packages(t)["supervisor"].Deps
	for _, d := range deps {
		require.False(t, slices.ContainsFunc([]string{"github.com/spf13/", "github.com/goccy/", "github.com/fsnotify/",
			"github.com/tetratelabs/", "modernc.org/"},
			func(prefix string) bool { return strings.HasPrefix(d, prefix) }), d)
	}
}

func TestNoPackageHasAnInitOrImportsAForbiddenPartOfProtoactor(t *testing.T) {
	for name, p := range packages(t) {
		for _, imported := range p.Imports {
			if strings.HasPrefix(imported, "github.com/asynkron/protoactor-go/") {
				require.Equal(t, "github.com/asynkron/protoactor-go/actor", imported, name)
			}
		}
		for _, file := range p.GoFiles {
			tree, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, 0)
			require.NoError(t, err)
			for _, d := range tree.Decls {
				if f, is := d.(*ast.FuncDecl); is && f.Recv == nil {
					require.NotEqual(t, "init", f.Name.Name, "%s/%s", name, file)
				}
			}
		}
	}
}

func TestTheTopLevelHoldsWhatWasAskedForAndNoMore(t *testing.T) {
	list := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard")
	list.Dir = ".."
	out, err := list.Output()
	if err != nil {
		t.Skip("no git checkout")
	}
	for _, file := range strings.Fields(string(out)) {
		top := strings.Split(file, "/")[0]
		if strings.HasPrefix(top, ".") {
			continue
		}
		require.Contains(t, []string{"go.mod", "go.sum", "actors", "messages", "supervisor", "cmd",
			"test", "README.md"}, top)
	}
}
