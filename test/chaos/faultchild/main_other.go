//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "faultchild: it needs the /proc and the signals of Linux")
	os.Exit(2)
}
