package fake

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
)

// Crowd lets more tests run at once than there are cores, unless somebody has said how many: it is for those that wait
// for processes most of the time. It is called by TestMain, after flag.Parse.
func Crowd() {
	said := false
	flag.Visit(func(f *flag.Flag) { said = said || f.Name == "test.parallel" })
	if said {
		return
	}
	if err := flag.Set("test.parallel", strconv.Itoa(3*runtime.NumCPU())); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// Unlogged has the go command's log of what a test opened written nowhere. It is for those that fork on the thread
// which has its own table of descriptors: package os notes a program that is started there, and what was noted would go
// to whatever has the number of the log in that table. It is called by TestMain, and parses the flags.
func Unlogged() {
	flag.Parse()
	if err := flag.Set("test.testlogfile", ""); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}
