package config

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// The limits of a file. No configuration comes near them; a file that does is a mistake or an attack.
const (
	maxFile  = 16 << 20 // bytes
	maxDepth = 64       // levels of nesting
	maxKeys  = 2000     // keys of one mapping
)

// fault is an Error before the line is known that shows it.
type fault struct {
	line, column int
	message      string
}

func faultf(at *token.Position, format string, args ...any) *fault {
	return &fault{at.Line, at.Column, fmt.Sprintf(format, args...)}
}

// screenText finds bytes that no text file holds, before the parser sees them.
func screenText(text []byte) *fault {
	if f := screenBlanks(string(text)); f != nil {
		return f
	}
	line, start := 1, 0
	at := func(i int, format string, args ...any) *fault {
		return &fault{line, utf8.RuneCount(text[start:i]) + 1, fmt.Sprintf(format, args...)}
	}
	if bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")) {
		return at(0, "the file is UTF-16; save it as UTF-8")
	}
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == '\n':
			line, start = line+1, i+1
		case c == '\r' && i+1 < len(text) && text[i+1] == '\n', c == '\t':
		case c == 0:
			return at(i, "the file holds a NUL byte; it is no text, or was not written to the end")
		case c < ' ' || c == 0x7f:
			return at(i, "the file holds the control character %q", rune(c))
		case c >= utf8.RuneSelf:
			r, size := utf8.DecodeRune(text[i:])
			if r == utf8.RuneError && size == 1 {
				return at(i, "the byte 0x%02x is not UTF-8; save the file as UTF-8", c)
			}
			i += size
			continue
		}
		i++
	}
	return nil
}

// oddBlank is a blank of Unicode where YAML takes the structure from: before a line, behind a - or behind a key. YAML
// knows the plain blank only, and takes the line for text.
var oddBlank = pattern(
	"^[ \\t]*(?:-[ \\t]+)*(?:-|[A-Za-z_][A-Za-z0-9_]*:)?([\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000\ufeff])")

func screenBlanks(text string) *fault {
	text = strings.TrimPrefix(text, "\ufeff")
	if !strings.ContainsFunc(text,
		func(r rune) bool { return r > unicode.MaxASCII && (unicode.IsSpace(r) || r == 0x200b || r == 0xfeff) }) {
		return nil
	}
	for n, line := range strings.Split(text, "\n") {
		if m := oddBlank().FindStringSubmatchIndex(line); m != nil {
			r, _ := utf8.DecodeRuneInString(line[m[2]:])
			return &fault{n + 1, utf8.RuneCountInString(line[:m[2]]) + 1,
				fmt.Sprintf("%U stands here, which looks like a blank and is none for YAML; write a plain blank (in "+
					"a text: put that in quotes, with \\u%04x)", r, r)}
		}
	}
	return nil
}

// parseYAML returns the one document of the text and its tokens; a nil node if the document is empty.
func parseYAML(text string) (body ast.Node, tokens token.Tokens, f *fault) {
	// An edit of the file must not end the daemon, whatever the parser has not thought of.
	defer func() {
		if r := recover(); r != nil {
			body, tokens, f = nil, nil, &fault{1, 1, "the YAML parser failed; simplify the file"}
		}
	}()
	tokens = lexer.Tokenize(text)
	if f := screenTokens(tokens); f != nil {
		return nil, nil, f
	}
	// Keys written twice are found by the decoder, which names them all.
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, nil, syntaxFault(err)
	}
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil:
		case body != nil:
			return nil, nil, faultf(position(doc.Body), "a second document begins; a configuration is one document")
		default:
			body = doc.Body
		}
	}
	return body, tokens, nil
}

// screenTokens refuses what the parser cannot survive or the configuration has no use for.
func screenTokens(tokens token.Tokens) *fault {
	type level struct{ column, keys int }
	var (
		blocks  []level
		flow    int
		headers int
		anchors int
	)
	for i, t := range tokens {
		if t.Type != token.AnchorType && (i == 0 || tokens[i-1].Type != token.AnchorType) {
			anchors = 0
		}
		switch t.Type {
		case token.AnchorType:
			if anchors++; anchors > 1 {
				return faultf(t.Position, "an anchor follows an anchor; one is enough")
			}
		case token.TagType:
			return faultf(t.Position, "tags are not supported; put the value in quotes if it begins with !")
		case token.DirectiveType:
			return faultf(t.Position, "directives are not supported; leave the line out")
		case token.MappingKeyType:
			return faultf(t.Position, "\"?\" keys are not supported; write key: value")
		case token.DocumentHeaderType:
			if headers++; headers > 1 {
				return faultf(t.Position, "a second document begins; a configuration is one document")
			}
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow--
		case token.SequenceEntryType, token.MappingValueType:
			column := t.Position.Column
			if t.Type == token.MappingValueType && i > 0 {
				column = tokens[i-1].Position.Column
			}
			if flow > 0 {
				break
			}
			for len(blocks) > 0 && blocks[len(blocks)-1].column > column {
				blocks = blocks[:len(blocks)-1]
			}
			if len(blocks) == 0 || blocks[len(blocks)-1].column < column {
				blocks = append(blocks, level{column: column})
			}
			if t.Type == token.MappingValueType {
				top := &blocks[len(blocks)-1]
				if top.keys++; top.keys > maxKeys {
					return faultf(t.Position, "more than %d keys in one mapping", maxKeys)
				}
			}
		}
		if flow+len(blocks) > maxDepth {
			return faultf(t.Position, "nested more than %d levels deep", maxDepth)
		}
	}
	return nil
}

func syntaxFault(err error) *fault {
	var located interface {
		GetToken() *token.Token
		GetMessage() string
	}
	if !errors.As(err, &located) || located.GetToken() == nil || located.GetToken().Position == nil {
		return &fault{1, 1, "not YAML"} // the error's own text may quote the file
	}
	message := located.GetMessage()
	switch {
	case strings.Contains(message, "header option"):
		// The parser quotes the value, which may be secret.
		message = "text follows | or >; put the value in quotes if it begins with one of them"
	case strings.Contains(message, "'\t'"):
		message = "a tab stands where YAML wants blanks; indent with blanks"
	case strings.Contains(message, "reserved character"):
		message += "; put the value in quotes"
	}
	at := located.GetToken().Position
	return &fault{max(1, at.Line), max(1, at.Column), "not YAML: " + message}
}

// position is where a reader sees a node begin.
func position(n ast.Node) *token.Position {
	switch n := n.(type) {
	case *ast.MappingNode:
		// The parser gives a block mapping the place of its first colon.
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return position(n.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return position(n.Key)
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position
	}
	return &token.Position{Line: 1, Column: 1}
}

// clip quotes a text from the file for a message.
func clip(s string) string { return fmt.Sprintf("%q", shortened(s)) }

// shortened is what a message shows of a text from the file.
func shortened(s string) string {
	if utf8.RuneCountInString(s) > mostQuoted {
		return string([]rune(s)[:mostQuoted]) + "…"
	}
	return s
}

// mostQuoted is how many characters of a text from the file a message shows.
const mostQuoted = 40
