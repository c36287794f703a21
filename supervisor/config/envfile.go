package config

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

const maxEnvFile = 1 << 20 // bytes

// envFile is the content of an env file, or why there is none.
type envFile struct {
	values map[string]string
	err    error // holds nothing of the file's text
}

func (d *decoder) loadEnvFile(path string) (map[string]string, error) {
	text, err := d.read(path)
	if err != nil {
		return nil, err
	}
	if len(text) > maxEnvFile {
		return nil, fmt.Errorf("larger than %d MiB", maxEnvFile>>20)
	}
	return parseEnvFile(string(text))
}

// parseEnvFile reads NAME=VALUE lines. Blank lines and lines that begin with # are passed over, and so is the word
// export. A value in single quotes is taken as it is; in double quotes \n, \r, \t, \", \\ and \$ have their meaning;
// without quotes it ends at the end of the line or at a # after a blank. Nothing is expanded. The last of several lines
// of one name counts. Errors name the line and nothing of what it says.
func parseEnvFile(text string) (map[string]string, error) {
	if !utf8.ValidString(text) {
		return nil, errors.New("not UTF-8 text")
	}
	values := map[string]string{}
	number := 0
	for line := range strings.SplitSeq(strings.TrimPrefix(text, "\ufeff"), "\n") {
		number++
		line = strings.TrimSpace(line)
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
		value, err := envValue(strings.TrimSpace(raw))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		values[name] = value
	}
	return values, nil
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
