package fake

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
)

// Crowd lets more tests run at once than there are cores, unless somebody has said how many: it is for those that wait for
// processes most of the time. It is called by TestMain, after flag.Parse.
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
