package config

import (
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"procman/messages"
)

//go:embed example.yaml
var frame string

// Example returns a commented configuration that parses, names every key and says the defaults.
func Example() []byte { return []byte(everyKey().example()) }

// example fills the frame: the settings with their defaults, and the sections that an instance may have of its own.
func (t *tables) example() string {
	var settings, own strings.Builder
	for _, k := range t.file {
		if k.at != nil || k.keys != nil && k.name != "defaults" && !k.many {
			doc := k.meaning()
			fmt.Fprintf(&settings, "# %s.\n%s\n", strings.ToUpper(doc[:1])+doc[1:], k.example())
		}
	}
	for _, k := range t.instance {
		if k.keys != nil {
			own.WriteString(k.commented("    # "))
		}
	}
	return strings.NewReplacer("# (settings)\n", settings.String(), "    # (sections)\n", own.String()).Replace(frame)
}

// commented is the lines of a section that is not there unless somebody writes it.
func (k key) commented(indent string) string {
	lines, line := "", indent+k.name+": {"
	for n, inner := range k.keys {
		v := inner.flow()
		if n > 0 && len(line)+len(v) > 100 {
			lines += line + "\n"
			line = indent + "  "
		}
		line += v + map[bool]string{true: ", ", false: "}"}[n < len(k.keys)-1]
	}
	return lines + line + "\n"
}

// flow is a key as it is written within braces.
func (k key) flow() string {
	if k.keys == nil {
		return k.name + ": " + cmp.Or(k.sample, k.shown())
	}
	inner := make([]string, len(k.keys))
	for i, k := range k.keys {
		inner[i] = k.flow()
	}
	return k.name + ": {" + strings.Join(inner, ", ") + "}"
}

// example is the lines of a setting, or of a section.
func (k key) example() string {
	if k.sample != "" {
		return "# " + k.name + ": " + k.sample + "\n"
	}
	if k.keys == nil {
		return k.name + ": " + k.shown() + "\n"
	}
	if k.begin != nil {
		return k.commented("# ")
	}
	lines := k.name + ":\n"
	for _, inner := range k.keys {
		lines += fmt.Sprintf("  %-20s # %s\n", inner.name+": "+inner.shown(), inner.meaning())
	}
	return lines
}

// shown is the default as it is written in a file.
func (k key) shown() string {
	if k.keys != nil {
		inner := make([]string, len(k.keys))
		for n, k := range k.keys {
			inner[n] = k.name + ": " + k.shown()
		}
		return "{" + strings.Join(inner, ", ") + "}"
	}
	if names, is := k.Default.(map[string]string); is && len(names) == 0 {
		return "{}"
	}
	text := fmt.Sprint(written(k.Default))
	if text == "" {
		return `""`
	}
	return text
}

// meaning is what a key is for, and the words it takes.
func (k key) meaning() string {
	if k.Words == nil {
		return k.Doc
	}
	return k.Doc + ": " + messages.Alternatives(k.Words)
}

// Init writes the example to path, and makes its directory if need be. It never overwrites: if something is there, the
// error wraps fs.ErrExist.
func Init(path string) error {
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err != nil {
		return fmt.Errorf("the example cannot be written: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("the example is not written, %s is there already: %w", path, fs.ErrExist)
	}
	if err != nil {
		return fmt.Errorf("the example cannot be written: %w", err)
	}
	_, err = f.Write(Example())
	if err = errors.Join(err, f.Close()); err != nil {
		// Half an example would be in the way of the next attempt.
		return fmt.Errorf("the example cannot be written: %w", errors.Join(err, os.Remove(path)))
	}
	return nil
}
