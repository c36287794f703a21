package fake

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// Program is the command that puts a program of this module, without the race detector and as built with the tags, into
// a file. It is linked once for all packages whose tests run it, and as long as its source stays the same: of all that
// the go command builds it keeps a program only for `go run`, by which it is copied here.
func Program(file, pkg string, tags ...string) *exec.Cmd {
	return exec.Command("go", "run", "-buildvcs=false", "-tags", strings.Join(tags, ","), "-exec", "cp", pkg, file)
}

// Executable writes a file that can be executed at once. No process is forked meanwhile: it would hold the file open
// for writing until it executes something else, and so long the kernel executes the file for nobody ("text file busy").
func Executable(file string, text []byte) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(file, text, 0o755)
}
