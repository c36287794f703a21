// Package config turns procman's YAML file into desired instances, and watches it.
//
// Invariants:
//   - Strict: an unknown key, a wrong type, a key written twice or a null is an error. As many errors as can be told
//     apart are reported at once, each with its line, its column and the line itself ([Error]).
//   - An error never means "no instances". A file that is empty, cut short within a value or without the key
//     instances is refused; only the written list [] says none.
//   - Values under env and in env files appear in no error text. A shown line is hidden from the secret on.
//   - [Parse] depends on its arguments alone. Every path it returns is absolute, apart from those which the instance
//     itself resolves (wasm_path, db_name) and programs looked up in PATH (an executable without a slash).
//   - The keys are declared once, in the tables of keys.go: reading, suggestions and the list of keys follow from them.
//
// Facts that forced choices: the YAML parser recurses once per nesting level and once per sibling key of a block
// mapping, takes time quadratic in the latter and in the number of documents, and a stack overflow cannot be
// recovered from. So the tokens are screened before they are parsed (limits in syntax.go). Editors replace a file by
// a rename and Kubernetes by swapping a symbolic link two directories away, so directories are watched, along every
// link on the way to the file, and only for the names that matter: by default the instances' databases live in the
// same directory.
package config
