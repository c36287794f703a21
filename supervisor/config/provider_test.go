package config

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/stretchr/testify/require"

	"procman/messages"
)

func listing(ids ...string) []byte {
	text := "instances: ["
	for _, id := range ids {
		text += "{id: " + id + ", wasm_path: w, db_name: d},"
	}
	return []byte(text + "]\n")
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, text, 0o600))
}

func provide(t *testing.T, path string, o ProviderOptions) *Provider {
	t.Helper()
	if o.Debounce == 0 {
		o.Debounce = 5 * time.Millisecond
	}
	p, err := NewProvider(path, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

// until waits for a signal after which the provider gives these ids; no ids: an error.
func until(t *testing.T, p *Provider, ids ...string) {
	t.Helper()
	limit := time.After(time.Minute)
	for {
		select {
		case <-p.Changes():
		case <-limit:
			require.Fail(t, "no signal of the change", "%v", ids)
		}
		list, err := p.AppInstances(t.Context())
		if err != nil {
			require.Nil(t, list)
			if len(ids) == 0 {
				return
			}
			continue
		}
		var got []string
		for _, a := range list {
			got = append(got, string(a.InstanceID))
		}
		if strings.Join(got, " ") == strings.Join(ids, " ") && len(ids) > 0 {
			return
		}
	}
}

func TestEveryWayToChangeAFileIsSignalled(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "procman.yaml")
	write(t, path, listing("a"))
	p := provide(t, path, ProviderOptions{})
	list, err := p.AppInstances(t.Context())
	require.NoError(t, err)
	require.Len(t, list, 1)

	write(t, path, listing("a", "inplace"))
	until(t, p, "a", "inplace")

	write(t, path+".new", listing("renamed"))
	require.NoError(t, os.Rename(path+".new", path))
	until(t, p, "renamed")

	require.NoError(t, os.Remove(path))
	until(t, p)
	require.Equal(t, messages.InstanceID("renamed"), p.File().Instances[0].InstanceID, "the last good one stays")

	write(t, path, listing("recreated"))
	until(t, p, "recreated")

	write(t, path, []byte("instances: ["))
	until(t, p)
	write(t, path, listing("mended"))
	until(t, p, "mended")
}

func TestADirectoryThatIsReplacedIsFollowed(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "conf")
	path := filepath.Join(conf, "procman.yaml")
	require.NoError(t, os.Mkdir(conf, 0o700))
	write(t, path, listing("a"))
	p := provide(t, path, ProviderOptions{})

	require.NoError(t, os.Rename(conf, conf+".old"))
	until(t, p)
	require.NoError(t, os.Mkdir(conf, 0o700))
	write(t, path, listing("b"))
	until(t, p, "b")
	write(t, path, listing("c"))
	until(t, p, "c")

	require.NoError(t, os.RemoveAll(conf))
	until(t, p)
	require.NoError(t, os.Mkdir(conf, 0o700))
	write(t, path, listing("d"))
	until(t, p, "d")
}

func TestASymbolicLinkThatIsSwappedIsFollowed(t *testing.T) {
	dir := t.TempDir()
	swap := func(target, link string) {
		require.NoError(t, os.Symlink(target, link+".tmp"))
		require.NoError(t, os.Rename(link+".tmp", link))
	}
	one, two := filepath.Join(dir, "1"), filepath.Join(dir, "2")
	for _, d := range []string{one, two, filepath.Join(dir, "etc")} {
		require.NoError(t, os.Mkdir(d, 0o700))
	}
	write(t, filepath.Join(one, "procman.yaml"), listing("one"))
	write(t, filepath.Join(two, "procman.yaml"), listing("two"))
	// As Kubernetes mounts it: etc/procman.yaml -> ..data/procman.yaml, ..data -> ../1.
	swap("../1", filepath.Join(dir, "etc", "..data"))
	path := filepath.Join(dir, "etc", "procman.yaml")
	swap("..data/procman.yaml", path)

	p := provide(t, path, ProviderOptions{})
	require.Equal(t, filepath.Join(dir, "etc"), p.File().Instances[0].WorkDir, "paths are relative to the link")
	swap("../2", filepath.Join(dir, "etc", "..data"))
	until(t, p, "two")
	write(t, filepath.Join(two, "procman.yaml"), listing("edited"))
	until(t, p, "edited")
	swap(filepath.Join(one, "procman.yaml"), path)
	until(t, p, "one")
}

func TestAChangedEnvFileIsSignalled(t *testing.T) {
	dir, secrets := t.TempDir(), t.TempDir()
	path, env := filepath.Join(dir, "procman.yaml"), filepath.Join(secrets, "a.env")
	write(t, env, []byte("TOKEN=1"))
	write(t, path, []byte("instances: [{id: a, wasm_path: w, db_name: d, env_file: "+env+"}]"))
	p := provide(t, path, ProviderOptions{})
	require.Equal(t, "1", p.File().Instances[0].Env["TOKEN"])

	write(t, env, []byte("TOKEN=2"))
	until(t, p, "a")
	require.Eventually(t, func() bool {
		_, err := p.AppInstances(t.Context())
		return err == nil && p.File().Instances[0].Env["TOKEN"] == "2"
	}, 5*time.Second, time.Millisecond)

	require.NoError(t, os.Remove(env))
	until(t, p)
	write(t, env, []byte("TOKEN=3"))
	until(t, p, "a")
	require.Equal(t, "3", p.File().Instances[0].Env["TOKEN"])
}

func TestABurstOfWritesGivesFewSignals(t *testing.T) {
	path := filepath.Join(t.TempDir(), "procman.yaml")
	write(t, path, listing("a"))
	p := provide(t, path, ProviderOptions{Debounce: 100 * time.Millisecond})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 1000 {
			_ = os.WriteFile(path, listing(fmt.Sprintf("n%d", i)), 0o600)
		}
	}()
	signals := 0
	defer func() { <-done }()
	for {
		select {
		case <-p.Changes():
			signals++
			if list, err := p.AppInstances(t.Context()); err == nil && len(list) == 1 && list[0].InstanceID == "n999" {
				require.LessOrEqual(t, signals, 20)
				return
			}
		case <-time.After(time.Minute):
			require.Fail(t, "the last write was not signalled")
		}
	}
}

func TestWithoutInotifyTheFilesAreLookedAtAgainAndAgain(t *testing.T) {
	var log bytes.Buffer
	path := filepath.Join(t.TempDir(), "procman.yaml")
	write(t, path, listing("a"))
	p := provide(t, path, ProviderOptions{
		Logger:     slog.New(slog.NewTextHandler(&log, nil)),
		newWatcher: func() (*fsnotify.Watcher, error) { return nil, errors.New("too many open files") },
		blind:      5 * time.Millisecond,
	})
	write(t, path, listing("a", "b"))
	until(t, p, "a", "b")
	require.NoError(t, os.Remove(path))
	until(t, p)
	write(t, path, listing("c"))
	until(t, p, "c")
	require.NoError(t, p.Close())
	require.Equal(t, 1, strings.Count(log.String(), "level=WARN"), log.String())
	require.Contains(t, log.String(), "too many open files")
}

func TestAProviderDoesNotBeginWithABrokenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "procman.yaml")
	_, err := NewProvider(path, ProviderOptions{})
	require.ErrorIs(t, err, os.ErrNotExist)
	write(t, path, []byte("x: 1"))
	_, err = NewProvider(path, ProviderOptions{})
	var errs Errors
	require.ErrorAs(t, err, &errs)
	_, err = NewProvider("/dev/null", ProviderOptions{})
	require.ErrorContains(t, err, "not a regular file")
}

func TestNotifySignalsAtOnceAndNeverWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "procman.yaml")
	write(t, path, listing("a"))
	p := provide(t, path, ProviderOptions{Debounce: time.Hour})
	for range 3 {
		p.Notify()
	}
	<-p.Changes()
	require.Empty(t, p.Changes(), "three that nobody received are one")
	require.NoError(t, p.Close())
	require.NoError(t, p.Close())
	_, err := p.AppInstances(t.Context())
	require.NoError(t, err)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = p.AppInstances(ended)
	require.ErrorIs(t, err, context.Canceled)
}

func TestWhatIsReturnedIsTheCallersOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "procman.yaml")
	write(t, path, []byte("instances: [{id: a, wasm_path: w, db_name: d, env: {A: b}}]"))
	p := provide(t, path, ProviderOptions{})
	list, err := p.AppInstances(t.Context())
	require.NoError(t, err)
	list[0].Env["A"] = "changed"
	require.Equal(t, "b", p.File().Instances[0].Env["A"])
}

func TestASignalFollowsAQuietTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := make(chan struct{}), make(chan struct{}, 1)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go debounce(ctx, in, out, pace{quiet: 250 * time.Millisecond, most: 2 * time.Second})
		pass := func(d time.Duration) { time.Sleep(d); synctest.Wait() }

		pass(time.Hour)
		require.Empty(t, out, "nothing happened")

		in <- struct{}{}
		pass(200 * time.Millisecond)
		in <- struct{}{}
		pass(249 * time.Millisecond)
		require.Empty(t, out)
		pass(time.Millisecond)
		require.Len(t, out, 1)
		pass(time.Hour)
		<-out
		require.Empty(t, out, "once")

		// Writes that never pause.
		began := time.Now()
		for range 60 {
			in <- struct{}{}
			pass(100 * time.Millisecond)
			if len(out) == 1 {
				break
			}
		}
		require.Equal(t, 2*time.Second, time.Since(began))
	})
}

func TestASignalThatNobodyReceivesBlocksNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := make(chan struct{}), make(chan struct{}, 1)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go debounce(ctx, in, out, pace{quiet: time.Millisecond, most: time.Second})
		for range 5 {
			in <- struct{}{}
			time.Sleep(time.Minute)
		}
		require.Len(t, out, 1)
	})
}

func BenchmarkParseThousandInstances(b *testing.B) {
	var text bytes.Buffer
	text.WriteString("health: {interval: 5s}\ninstances:\n")
	for i := range 1000 {
		fmt.Fprintf(&text, "  - id: app-%d\n    wasm_path: apps/app-%d.wasm\n    db_name: app-%d.db\n    env: "+
			"{LOG_LEVEL: debug}\n    restart: {max: 30s}\n", i, i, i)
	}
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		f, err := Parse("f", text.Bytes(), host(nil))
		if err != nil || len(f.Instances) != 1000 {
			b.Fatal(err)
		}
	}
}

func TestADirectoryFurtherUpThatIsReplacedIsTold(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere it is looked at again and again")
	}
	dir := t.TempDir()
	for n, name := range []string{"now", "next"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, name, "etc"), 0o700))
		text := fmt.Sprintf("instances:\n  - {id: a, wasm_path: a.wasm, db_name: a%d.db}\n", n)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name, "etc", "procman.yaml"), []byte(text), 0o600))
	}
	p, err := NewProvider(filepath.Join(dir, "now", "etc", "procman.yaml"), ProviderOptions{Debounce: time.Millisecond})
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	require.NoError(t, os.Rename(filepath.Join(dir, "now"), filepath.Join(dir, "before")))
	require.NoError(t, os.Rename(filepath.Join(dir, "next"), filepath.Join(dir, "now")))
	for {
		select {
		case <-p.Changes():
		case <-time.After(time.Minute):
			t.Fatal("nothing is told")
		}
		list, err := p.AppInstances(t.Context())
		if err == nil && list[0].DbName == "a1.db" {
			return
		}
	}
}
