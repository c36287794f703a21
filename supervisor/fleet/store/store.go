package store

import (
	"context"
	"time"
)

// Revision counts the changes of a store. 0 is before the first.
type Revision int64

// Lease names a lease. 0 is none.
type Lease int64

// The limits of one transaction.
const (
	MaxOps  = 128     // puts and deletes, and as many compares
	MaxSize = 1 << 20 // of all keys and values, in bytes
)

// Store is shared by the hosts of a fleet. Its methods may be called by any number of goroutines. Their errors are
// *Error.
type Store interface {
	// Grant makes a lease. It lasts for ttl at least, a whole number of seconds of 2 or more; what it got is returned.
	Grant(ctx context.Context, ttl time.Duration) (Lease, time.Duration, error)
	// KeepAlive renews the lease, once, and returns for how long. The error is ErrLeaseLost if there is none.
	KeepAlive(ctx context.Context, l Lease) (time.Duration, error)
	// Revoke ends the lease and deletes what is bound to it. The error is ErrLeaseLost if there is none.
	Revoke(ctx context.Context, l Lease) error

	// Get returns the entry, which does not exist if the key is not there, and the revision at which that is so.
	Get(ctx context.Context, key string) (Entry, Revision, error)
	// List returns all entries whose keys begin with the prefix, at one revision. The error is ErrCompacted if the
	// store forgot that revision before all was read: then it is to be read anew.
	List(ctx context.Context, prefix string) (Snapshot, error)
	// Commit carries out the transaction if all its compares hold, and says whether they did. The error is ErrLeaseLost
	// if a put is bound to a lease that is not there.
	Commit(ctx context.Context, t Transaction) (Outcome, error)

	// Watch tells every change after that revision of the keys that begin with the prefix, from this goroutine, and
	// returns when ctx ends, with its error, or when it cannot go on: ErrCompacted says that changes are lost and all
	// is to be read anew, ErrUnavailable that it may be begun again after the last revision told. While the store
	// cannot be reached it may also wait in silence.
	Watch(ctx context.Context, prefix string, after Revision, tell func(Changes)) error

	// Close ends every call and watch, and what the Store keeps open. It does not revoke leases.
	Close() error
}

// Examiner is a Store that can tell who serves it.
type Examiner interface {
	Examine(ctx context.Context) []Examined
}

// Examined is one of the servers of a store.
type Examined struct {
	Server  string
	Version string        // empty if, and only if, Err is not nil
	Took    time.Duration // to connect, and to answer
	Err     error         // why it cannot be used
	Advice  string        // what to do about that; empty: look at the server
}

// Entry is a key with its value.
type Entry struct {
	Key, Value string
	Created    Revision // when the key came to be
	Modified   Revision // of the last put; 0: there is no such key
	Lease      Lease    // with which it goes; 0: none
}

// Exists reports whether there is such a key.
func (e Entry) Exists() bool { return e.Modified != 0 }

// Snapshot is what there was at one revision.
type Snapshot struct {
	Revision Revision
	Entries  []Entry // in the order of their keys
}

// Transaction is what happens together, and when.
type Transaction struct {
	If   []Compare
	Then []Op // no key twice
}

// Compare is a condition on one key; see Unchanged, Absent, Present and Valued.
type Compare struct {
	Key      string
	Is       Condition
	Modified Revision
	Value    string
}

// Condition is what a Compare asks of its key.
type Condition int

// The conditions.
const (
	IsUnchanged Condition = iota + 1
	IsAbsent
	IsPresent
	IsValued
)

// Unchanged holds if the last put of the key was at that revision; 0: if there is no such key.
func Unchanged(key string, modified Revision) Compare {
	return Compare{Key: key, Is: IsUnchanged, Modified: modified}
}

// Absent holds if there is no such key.
func Absent(key string) Compare { return Compare{Key: key, Is: IsAbsent} }

// Present holds if there is such a key.
func Present(key string) Compare { return Compare{Key: key, Is: IsPresent} }

// Valued holds if the key has that value.
func Valued(key, value string) Compare { return Compare{Key: key, Is: IsValued, Value: value} }

// Op is a put or a delete; see Put, PutLeased and Delete.
type Op struct {
	Key    string
	Value  string
	Lease  Lease
	Delete bool
}

// Put sets the key. It is bound to no lease from then on.
func Put(key, value string) Op { return Op{Key: key, Value: value} }

// PutLeased sets the key and binds it to the lease, and to no other from then on.
func PutLeased(key, value string, l Lease) Op { return Op{Key: key, Value: value, Lease: l} }

// Delete removes the key, if it is there.
func Delete(key string) Op { return Op{Key: key, Delete: true} }

// Outcome is what became of a transaction.
type Outcome struct {
	Done     bool     // all compares held
	Revision Revision // of the store then: if anything was changed, that of the change
}

// Changes are what happened to the keys of a watch: all that did, up to and with Revision, and after what was told
// before. Without events it tells merely how far that is.
type Changes struct {
	Revision Revision
	Events   []Event
}

// Event is a put or a delete of one key.
type Event struct {
	Entry   Entry // of one that is gone: its key, and as Modified the revision at which it went
	Deleted bool
}
