package runas

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// become makes the calling thread, and no other, one that the file system takes for the user's. It is not undone.
func become(uid, gid uint32, groups []uint32) error {
	var list unsafe.Pointer
	if len(groups) > 0 {
		list = unsafe.Pointer(&groups[0])
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(list), 0); errno != 0 {
		return errno
	}
	// The calls return what was before, never an error: whether it is so is asked by another.
	for _, step := range []struct{ call, id uintptr }{{unix.SYS_SETFSGID, uintptr(gid)},
		{unix.SYS_SETFSUID, uintptr(uid)}} {
		_, _, _ = unix.RawSyscall(step.call, step.id, 0, 0)
		if now, _, _ := unix.RawSyscall(step.call, ^uintptr(0), 0, 0); now != step.id {
			return unix.EPERM
		}
	}
	return nil
}
