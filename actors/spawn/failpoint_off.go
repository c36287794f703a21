//go:build linux && !failpoint

package spawn

// failpoint marks an instant at which the chaos tests kill the manager. It does nothing unless the program was built
// with the tag failpoint.
func failpoint(string) {}
