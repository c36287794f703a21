package main

import (
	"context"
	"embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// payloadName is that of the payload's file, by which a process that has ended is known.
const payloadName = "bench-payload"

const limitName = "limit"

func (c contestant) isLimit() bool { return c.name == limitName }

// compiler returns a C compiler, or "".
func compiler() string {
	for _, name := range []string{"cc", "gcc", "clang"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// module returns the directory of this module.
func module(ctx context.Context) (string, error) {
	list := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "procman")
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return "", fmt.Errorf("outside of the procman module only programs given with -procman can be measured: %w",
			err)
	}
	return string(out[:len(out)-1]), nil
}

//go:embed testdata/*.c
var sources embed.FS

// compile makes the program of testdata/name, statically if that is possible: a static program starts in half the time.
func compile(ctx context.Context, cc, name, into string) error {
	text, err := sources.ReadFile("testdata/" + name)
	if err != nil {
		return err
	}
	source := into + ".c"
	if err := os.WriteFile(source, text, 0o600); err != nil {
		return err
	}
	var out []byte
	for _, link := range [][]string{{"-static", "-s"}, nil} {
		args := append([]string{"-O2", "-Wall", "-o", into}, link...)
		if out, err = exec.CommandContext(ctx, cc, append(args, source)...).CombinedOutput(); err == nil {
			return nil
		}
	}
	return fmt.Errorf("testdata/%s: %w\n%s", name, err, out)
}

func goBuild(ctx context.Context, pkg, into string) error {
	root, err := module(ctx)
	if err != nil {
		return err
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", into, pkg)
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
	}
	return nil
}

// build makes the payload and the contestants, each in a file of its own, and says what is missing.
func (b *bench) build(ctx context.Context, cc string, binaries []binary) (missing string, err error) {
	b.payload = filepath.Join(b.dir, payloadName)
	if cc == "" {
		missing = "There is no C compiler (cc, gcc or clang): the payload is the one in Go, and the limit is missing."
		if err := goBuild(ctx, "./test/bench/testdata/payload", b.payload); err != nil {
			return "", err
		}
	} else {
		if err := compile(ctx, cc, "payload.c", b.payload); err != nil {
			return "", err
		}
		limit := filepath.Join(b.dir, "bench-limit")
		if err := compile(ctx, cc, "limit.c", limit); err != nil {
			return "", err
		}
		b.contestants = append(b.contestants, contestant{limitName, limit, openLimit})
	}
	if len(binaries) == 0 {
		binaries = []binary{{name: "procman"}}
	}
	for i, p := range binaries {
		own := filepath.Join(b.dir, fmt.Sprintf("procman-%d", i))
		if p.path == "" {
			err = goBuild(ctx, "./cmd/procman", own)
		} else {
			err = copyFile(p.path, own)
		}
		if err != nil {
			return "", err
		}
		b.contestants = append(b.contestants, contestant{p.name, own, openProcman})
	}
	return missing, nil
}

func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	copied, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o700)
	if err != nil {
		return err
	}
	if _, err := io.Copy(copied, source); err != nil {
		_ = copied.Close() // the copy is what failed
		return err
	}
	return copied.Close()
}
