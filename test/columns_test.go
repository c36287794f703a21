package test

import (
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// A tab is four columns. What is quoted as it is may be wider, and what a comment shows as it is: a table, a command.
func TestLinesEndBeforeColumn120(t *testing.T) {
	require.NoError(t, filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		quoted := quotedLines(src)
		for i, line := range strings.Split(string(src), "\n") {
			if n := utf8.RuneCountInString(line) + 3*strings.Count(line, "\t"); n > 120 && !quoted[i+1] {
				t.Errorf("%s:%d has %d columns", path, i+1, n)
			}
		}
		return nil
	}))
}

// quotedLines returns the lines, counted from 1, of which not a single word can be moved.
func quotedLines(src []byte) map[int]bool {
	file := token.NewFileSet().AddFile("", 1, len(src))
	var s scanner.Scanner
	s.Init(file, src, nil, scanner.ScanComments)
	quoted := map[int]bool{}
	for {
		at, what, text := s.Scan()
		if what == token.EOF {
			return quoted
		}
		if what == token.STRING && text[0] == '`' || what == token.COMMENT && strings.HasPrefix(text, "//\t") {
			for n := range strings.Count(text, "\n") + 1 {
				quoted[file.Line(at)+n] = true
			}
		}
	}
}
