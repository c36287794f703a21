package plan

import (
	"fmt"
	"time"

	"procman/messages"
)

// Draft says how a list came about that nobody has confirmed: by watching files, say.
type Draft struct {
	Whole   bool          // every file came to its place in one piece, so that nobody can have seen a part of it
	Writing bool          // somebody has a file open for writing
	Quiet   time.Duration // since a file changed last
	// Concerns says which instances the list in doubt is about; nil: all. Others have another source, which is never in
	// doubt.
	Concerns func(messages.InstanceID) bool
}

// A list that was written in place must be quiet for so long before what it lacks is taken for removed. While that is
// in doubt it is looked at again and again; when only a person can tell, that is merely in case something else has
// changed.
const (
	removalQuiet  = 5 * time.Second
	removalAgain  = time.Second
	removalSeldom = time.Minute
)

// Removal decides what becomes of instances that have left a list of so many, of which so many are left: half a file
// looks like a file in which instances were removed. It returns 0 if they are to go now; else when to decide again, and
// why a person should look, if one should. Whoever confirms a list is not asked.
func Removal(d Draft, before, after, removed int) (again time.Duration, doubt string) {
	switch {
	case removed == 0:
		return 0, ""
	case d.Writing && d.Quiet < removalQuiet:
		return removalAgain, ""
	case d.Writing:
		return removalAgain, "somebody has the configuration open for writing"
	case d.Whole:
		return 0, ""
	case d.Quiet < removalQuiet:
		return removalQuiet - d.Quiet, ""
	case after < before && 2*removed > before:
		return removalSeldom, fmt.Sprintf("%d of the %d in the list have left the configuration, which was not "+
			"replaced but written in place, so that it may be half a file",
			removed, before)
	}
	return 0, ""
}

// HalfEdit returns when to decide whether what runs is to be replaced, by a list that lacks instances or was seen to
// lack some a moment ago: where one entry is missing another may be half written. 0: now.
func HalfEdit(d Draft) time.Duration {
	if d.Whole && !d.Writing {
		return 0
	}
	return max(0, removalQuiet-d.Quiet)
}
