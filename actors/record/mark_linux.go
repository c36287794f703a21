package record

import (
	"io/fs"
	"syscall"
	"time"
)

// placed returns the number of the file, and when anything of it was changed, its name included.
func placed(info fs.FileInfo) (node uint64, changed time.Time) {
	st, is := info.Sys().(*syscall.Stat_t)
	if !is {
		return 0, info.ModTime()
	}
	return st.Ino, time.Unix(st.Ctim.Unix())
}
