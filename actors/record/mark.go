package record

import (
	"os"
	"time"
)

// Mark is what tells one content of a path from another without reading it.
type Mark struct {
	node, size uint64
	written    int64
	// Changed is when the path came to mean what it means: it was written, or put in its place. Its name and its
	// permissions count, too.
	Changed time.Time
	// Written is when its content was written, as far as it says.
	Written time.Time
}

// MarkOf returns the mark of a file; false: there is none. It waits for the file system.
func MarkOf(path string) (Mark, bool) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return Mark{}, false
	}
	m := Mark{size: uint64(info.Size()), written: info.ModTime().UnixNano(), Written: info.ModTime()}
	m.node, m.Changed = placed(info)
	return m, true
}

// Same reports whether the content is most likely the same: a change of permissions, or another name of the file, is
// none.
func (m Mark) Same(other Mark) bool {
	return m.node == other.node && m.size == other.size && m.written == other.written
}
