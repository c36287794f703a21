// Package config turns procman's YAML file, and the fragments in the directories it includes, into desired instances,
// and watches them.
//
// Invariants:
//   - Strict: an unknown key, a wrong type, a key written twice or a null is an error. As many errors as can be told
//     apart are reported at once, each with its line, its column and the line itself ([Error]).
//   - An error never means "no instances". A file that is empty, cut short within a value or without the key
//     instances is refused; only the written list [] says none.
//     The same holds for each fragment, and one broken fragment means that the whole is refused.
//   - A file that parses may be half a file all the same. What was seen of it by watching alone is a draft: see
//     [Provider.Draft] before anything is stopped because it is not there.
//   - Values under env, in env files and in the token file appear in no error text, also where an alias brings them. A
//     shown line is hidden from the secret on.
//   - What holds for an instance, from weak to strong: the top level, its defaults, the defaults of the fragment, the
//     instance itself. Keys are replaced one by one; env and labels are merged name by name, and within one level env
//     comes before env_file.
//   - [Parse] depends on its arguments alone. Every path is relative to the file in which it stands. Every path it
//     returns is absolute, apart from those which the instance itself resolves (wasm_path, db_name) and programs looked
//     up in PATH (an executable without a slash).
//   - A list is read item by item, and an item whose text is as it was is not read again ([Provider] remembers a sum of
//     each). That is the same as to read the whole, or it is not done: a file is cut only where the parser would, and
//     whatever is found wrong is found by reading the whole, with its lines. Env files are looked at each time.
//   - A key is declared once: one of an instance in messages.Fields, one of the daemon in settings.go. Reading,
//     suggestions, the JSON Schema ([Schema]), the example ([Example]) and the manual page ([Manual]) are loops over
//     them.
//   - The list of a fleet ([ParseList]) is read like any other, but its relative paths stay so: each host resolves them
//     ([Spec], [ParseInstance]) against its own file. What env files hold never leaves a host.
//   - A level is a file, its defaults, a fragment's or an instance. Each is read over a copy of the one above it.
//
// Facts that forced choices: the YAML parser recurses once per nesting level and once per sibling key of a block
// mapping, takes time quadratic in the latter and in the number of documents, and a stack overflow cannot be recovered
// from. So the tokens are screened before they are parsed (limits in syntax.go). Editors replace a file by a rename and
// Kubernetes by swapping a symbolic link two directories away, so directories are watched, along every link on the way
// to the file, and only for the names that matter: by default the instances' databases live in the same directory. In
// an included directory any name of the form of a fragment matters. A change to one fragment looks at all of them
// again, so a look asks for no path twice.
package config
