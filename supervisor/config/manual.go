package config

import (
	"fmt"
	"strings"
	"time"

	"procman/messages"
)

// Manual returns the reference of the configuration as the source of a manual page: every key with what it takes, its
// default and what an edit of it does.
func Manual(date time.Time) []byte { return []byte(everyKey().manual(date)) }

func (t *tables) manual(date time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, `.TH PROCMAN.YAML 5 "%s" "procman" "procman"
.SH NAME
procman.yaml \- the configuration of procman
.SH SYNOPSIS
procman.yaml
.SH DESCRIPTION
YAML. Relative paths are relative to the file. The file is watched: an edit is applied after a short quiet time, and touches only the
instances that it changes. A file that is broken is reported, and changes nothing.
.B procman init
writes an example,
.B procman validate
checks a file,
.B procman plan
shows what an edit would do.
.SH KEYS OF THE FILE
`, date.Format("January 2006"))
	each(t.file, func(k key, name string) { k.entry(&b, name) })
	b.WriteString(".SH KEYS OF A HOOK\n")
	for _, k := range hookKeys() {
		k.entry(&b, "hooks[]."+k.name)
	}
	b.WriteString(".SH KEYS OF AN INSTANCE, AND OF DEFAULTS\nThe sections, for this instance alone, and:\n")
	for _, k := range t.instance {
		if k.keys == nil {
			k.entry(&b, k.name)
		}
	}
	return b.String()
}

// entry writes what is to be known of a key.
func (k key) entry(b *strings.Builder, name string) {
	takes := string(k.Kind)
	if k.Words != nil {
		takes = messages.Alternatives(k.Words)
	}
	if k.Default != nil && k.Kind != messages.KindTexts {
		takes += "; default " + k.shown()
	}
	edit := ""
	if does := k.edit(); does != "" {
		edit = " An edit " + does + "."
	}
	roff := strings.NewReplacer(`\`, `\e`, "-", `\-`)
	fmt.Fprintf(b, ".TP\n.B %s\n(%s)\n%s.%s\n", roff.Replace(name), roff.Replace(takes),
		roff.Replace(strings.ToUpper(k.Doc[:1])+k.Doc[1:]), edit)
}

// Reference returns a table in Markdown of the keys of a file and, behind them, those that only an instance has: the
// default, what it is for, and what an edit of it does, if that needs a word.
func Reference() string { return everyKey().reference() }

func (t *tables) reference() string {
	var b strings.Builder
	b.WriteString("| key | default | meaning | an edit |\n|---|---|---|---|\n")
	row := func(k key, name string) {
		shown := ""
		if k.Default != nil && written(k.Default) != "" && k.Kind != messages.KindTexts {
			shown = "`" + k.shown() + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, shown,
			strings.NewReplacer("|", `\|`, "*", `\*`).Replace(k.meaning()), k.edit())
	}
	each(t.file, row)
	for _, k := range hookKeys() {
		row(k, "hooks[]."+k.name)
	}
	for _, k := range t.instance {
		if k.keys == nil {
			row(k, "instances[]."+k.name)
		}
	}
	return b.String()
}

// edit is what an edit of a key does.
func (k key) edit() string {
	return map[messages.Effect]string{
		messages.Respawns:  "restarts the instance",
		messages.Wished:    "touches no process, and starts what has ended",
		messages.Applied:   "touches no process",
		messages.NewDaemon: "takes effect in a new daemon only",
	}[k.Effect]
}
