package store

import (
	"errors"
	"fmt"
	"time"
)

// Check returns why a store would not take the transaction.
func (t Transaction) Check() error {
	if len(t.Then) > MaxOps || len(t.If) > MaxOps {
		return fmt.Errorf("%d compares and %d changes are more than %d", len(t.If), len(t.Then), MaxOps)
	}
	size := 0
	for _, c := range t.If {
		size += len(c.Key) + len(c.Value)
		switch {
		case c.Key == "":
			return errNoKey
		case c.Is < IsUnchanged || c.Is > IsValued:
			return fmt.Errorf("the compare of %q has no condition", c.Key)
		}
	}
	seen := make(map[string]bool, len(t.Then))
	for _, o := range t.Then {
		size += len(o.Key) + len(o.Value)
		switch {
		case o.Key == "":
			return errNoKey
		case seen[o.Key]:
			return fmt.Errorf("%q is changed twice", o.Key)
		}
		seen[o.Key] = true
	}
	if size > MaxSize {
		return fmt.Errorf("keys and values of %d bytes are more than %d", size, MaxSize)
	}
	return nil
}

// CheckTTL returns why no lease can be granted for so long.
func CheckTTL(ttl time.Duration) error {
	if ttl < 2*time.Second || ttl%time.Second != 0 {
		return fmt.Errorf("a lease of %v: it must be a whole number of seconds, 2 or more", ttl)
	}
	return nil
}

var errNoKey = errors.New("a key is empty")
