package messages

import (
	"slices"
	"strings"
)

// SecretWords are what the names of secrets hold.
func SecretWords() []string {
	return []string{"PASSWORD", "PASSWD", "PASS", "SECRET", "TOKEN", "KEY", "APIKEY", "CREDENTIAL", "CREDENTIALS",
		"PRIVATE", "DSN", "AUTH"}
}

// LooksSecret reports whether a name says that its value is secret: one of its words, between underscores or its ends,
// is one of [SecretWords], in capitals or not.
func LooksSecret(name string) bool {
	words := SecretWords()
	return slices.ContainsFunc(strings.Split(strings.ToUpper(name), "_"), func(word string) bool {
		return slices.Contains(words, word)
	})
}
