package test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"procman/actors/run"
	"procman/messages"
	"procman/supervisor/config"
	"procman/supervisor/fleet/member"
	"procman/supervisor/plan"
)

var rewrite = flag.Bool("rewrite", false, "write the tables into the README")

func TestTheReadmeShowsTheTables(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	want := string(text)
	want = put(t, want, "plan", table(plan.Events(), messages.Phases(), plan.Cell))
	want = put(t, want, "run", table(run.Events(), run.Phases(), run.Cell))
	want = put(t, want, "keys", config.Reference())
	want = put(t, want, "bad", keysSaid(t))
	if *rewrite {
		require.NoError(t, os.WriteFile("../README.md", []byte(want), 0o644))
		return
	}
	require.Equal(t, want, string(text), "go test ./test -run Readme -rewrite")
}

func TestThePackageDocumentationShowsTheStateTables(t *testing.T) {
	for file, lines := range map[string]string{
		"../supervisor/plan/doc.go":         table(plan.Events(), messages.Phases(), plan.Cell),
		"../actors/run/doc.go":              table(run.Events(), run.Phases(), run.Cell),
		"../supervisor/fleet/member/doc.go": table(member.Events(), member.Phases(), member.Cell),
	} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		before, rest, found := strings.Cut(string(text), "// # The table\n//\n")
		require.True(t, found, file)
		_, after, found := strings.Cut(rest, "package ")
		require.True(t, found, file)
		var shown strings.Builder
		for line := range strings.Lines(lines) {
			shown.WriteString("//\t" + line)
		}
		want := before + "// # The table\n//\n" + shown.String() + "package " + after
		if *rewrite {
			require.NoError(t, os.WriteFile(file, []byte(want), 0o644))
			continue
		}
		require.Equal(t, want, string(text), "go test ./test -run Documentation -rewrite")
	}
}

func put(t *testing.T, text, name, table string) string {
	t.Helper()
	before, rest, found := strings.Cut(text, "<!-- "+name+" table -->\n")
	require.True(t, found)
	_, after, found := strings.Cut(rest, "<!-- end -->")
	require.True(t, found)
	return before + "<!-- " + name + " table -->\n" + table + "<!-- end -->" + after
}

func table[P ~string](events []string, phases []P, cell func(string, P) string) string {
	var b strings.Builder
	b.WriteString("| event |")
	for _, p := range phases {
		fmt.Fprintf(&b, " %s |", p)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(phases)) + "\n")
	for _, e := range events {
		fmt.Fprintf(&b, "| %s |", e)
		for _, p := range phases {
			fmt.Fprintf(&b, " %s |", cell(e, p))
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestTheReadmeHasTwoQuickStartCommandsEachInItsOwnBlock(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(text), "## Quick start\n")
	require.True(t, found)
	section, _, _ := strings.Cut(rest, "\n## ")
	blocks := strings.Split(section, "```")
	require.Len(t, blocks, 5, "two fenced blocks")
	for _, block := range []string{blocks[1], blocks[3]} {
		lines := strings.Split(strings.TrimSpace(block), "\n")
		require.Len(t, lines, 2, "the language and one command")
	}
}
