package config

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode/utf8"
)

const maxEnvFile = 1 << 20 // bytes

// envFile is the content of an env file, or why there is none.
type envFile struct {
	values map[string]string
	sum    sum   // of its text; zero if there is an error
	err    error // holds nothing of the file's text
}

// envFile returns what an env file holds. It is read once.
func (r *reading) envFile(path string) envFile {
	file, known := r.envFiles[path]
	if !known {
		file = loadEnvFile(r.host.ReadFile(path))
		r.envFiles[path] = file
	}
	return file
}

func loadEnvFile(text []byte, err error) envFile {
	switch {
	case err != nil:
		return envFile{err: bare(err)}
	case len(text) > maxEnvFile:
		return envFile{err: fmt.Errorf("larger than %d MiB", maxEnvFile>>20)}
	}
	values, err := parseEnvFile(string(text))
	if err != nil {
		return envFile{err: err}
	}
	return envFile{values: values, sum: sumOf(text)}
}

// parseEnvFile reads NAME=VALUE lines. Blank lines and lines that begin with # are passed over, and so is the word
// export. A value in single quotes is taken as it is; in double quotes \n, \r, \t, \", \\ and \$ have their meaning; in
// either it may go on over several lines. Without quotes it ends at the end of the line or at a # after a blank.
// Nothing is expanded. The last of several lines of one name counts. Errors name the line and nothing of what it says,
// but the name of a value that is too long.
func parseEnvFile(text string) (map[string]string, error) {
	if err := screenEnvFile(text); err != nil {
		return nil, err
	}
	values := map[string]string{}
	lines := strings.Split(strings.TrimPrefix(text, "\ufeff"), "\n")
	for n := 0; n < len(lines); n++ {
		number, line := n+1, strings.TrimSpace(lines[n])
		if line == "" || line[0] == '#' {
			continue
		}
		if rest, ok := strings.CutPrefix(line, "export"); ok && strings.TrimLeft(rest, " \t") != rest {
			line = strings.TrimLeft(rest, " \t")
		}
		name, raw, ok := strings.Cut(line, "=")
		name = strings.TrimSpace(name)
		if !ok {
			return nil, fmt.Errorf("line %d: no = in it; write NAME=VALUE", number)
		}
		if name == "" || strings.ContainsAny(name, " \t\x00\"'") {
			return nil, fmt.Errorf("line %d: no name before the =; write NAME=VALUE", number)
		}
		raw = strings.TrimSpace(raw)
		if end := closing(raw, lines[n+1:]); end > 0 {
			_, raw, _ = strings.Cut(lines[n], "=")
			more := append([]string{strings.TrimLeft(raw, " \t")}, lines[n+1:n+1+end]...)
			raw = strings.TrimSpace(strings.ReplaceAll(strings.Join(more, "\n"), "\r\n", "\n"))
			n += end
		}
		value, err := envValue(raw)
		if err == nil {
			err = tooLong(name, value)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		values[name] = value
	}
	return values, nil
}

// screenEnvFile finds what is no text at all, and says on which line.
func screenEnvFile(text string) error {
	if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
		return errors.New("it is UTF-16; save it as UTF-8")
	}
	for at, r := range text {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(text[at:]); size == 1 {
				return fmt.Errorf("line %d: not UTF-8 text; save the file as UTF-8", strings.Count(text[:at], "\n")+1)
			}
		}
	}
	return nil
}

// closing returns how many of the next lines belong to a value whose opening quote is not closed on its own; 0 if none
// do.
func closing(raw string, next []string) int {
	if raw == "" || raw[0] != '"' && raw[0] != '\'' || closed(raw[1:], raw[0]) {
		return 0
	}
	for i, line := range next {
		if closed(line, raw[0]) {
			return i + 1
		}
	}
	return 0
}

// closed reports whether the quote is closed in a line that begins within it.
func closed(line string, quote byte) bool {
	for i := 0; i < len(line); i++ {
		switch {
		case line[i] == quote:
			return true
		case line[i] == '\\' && quote == '"':
			i++
		}
	}
	return false
}

// mostText is what the kernel takes of one argument, or one variable with its name, in bytes with the NUL at its end:
// 32 pages.
func mostText() int { return 32 * os.Getpagesize() }

// tooLong says that no process can be started with the variable.
func tooLong(name, value string) error {
	if n := len(name) + len(value) + len("=\x00"); n > mostText() {
		return fmt.Errorf("%s has %d bytes, and the kernel takes %d with the name; give the process the path of a "+
			"file in its place",
			spokenKey(name), len(value), mostText())
	}
	return nil
}

func envValue(raw string) (string, error) {
	if strings.ContainsRune(raw, 0) {
		return "", errors.New("a NUL byte, which no environment can carry")
	}
	if raw == "" {
		return "", nil
	}
	switch raw[0] {
	case '\'':
		value, rest, ok := strings.Cut(raw[1:], "'")
		if !ok {
			return "", errors.New("the quote ' is not closed")
		}
		return value, trailing(rest)
	case '"':
		return doubleQuoted(raw[1:])
	}
	for i := 1; i < len(raw); i++ {
		if raw[i] == '#' && (raw[i-1] == ' ' || raw[i-1] == '\t') {
			return strings.TrimRight(raw[:i], " \t"), nil
		}
	}
	if raw[0] == '#' {
		return "", nil
	}
	return raw, nil
}

// doubleQuoted reads on behind an opening quote.
func doubleQuoted(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '"':
			return b.String(), trailing(s[i+1:])
		case '\\':
			i++
			if i == len(s) {
				continue
			}
			switch s[i] {
			case 'n':
				b.WriteByte('\n')
			case 'r':
				b.WriteByte('\r')
			case 't':
				b.WriteByte('\t')
			case '"', '\\', '$':
				b.WriteByte(s[i])
			default:
				b.WriteString(s[i-1 : i+1])
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", errors.New(`the quote " is not closed`)
}

func trailing(rest string) error {
	if rest = strings.TrimSpace(rest); rest != "" && rest[0] != '#' {
		return errors.New("text follows the closing quote")
	}
	return nil
}
