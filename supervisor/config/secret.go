package config

import (
	"slices"
	"strings"
)

// secretWords are what the names of secrets hold.
var secretWords = []string{"PASSWORD", "PASSWD", "PASS", "SECRET", "TOKEN", "KEY", "APIKEY", "CREDENTIAL", "CREDENTIALS", "PRIVATE", "DSN", "AUTH"}

// looksSecret reports whether a name says that its value is secret: one of its words, between underscores or its ends,
// is one of secretWords, in capitals or not.
func looksSecret(name string) bool {
	return slices.ContainsFunc(strings.Split(strings.ToUpper(name), "_"), func(word string) bool {
		return slices.Contains(secretWords, word)
	})
}
