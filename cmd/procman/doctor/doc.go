// Package doctor finds what on this host would void the adoption of instances or harm operation, and says what to do.
//
// Invariants:
//   - Look finds facts and judges nothing; Examine judges and touches nothing.
//   - What can be tried is tried, in a temporary file or on a process of its own, and not guessed from a version.
//   - What cannot be learned is unknown: neither fine nor a fault.
//   - Nothing is changed. A temporary file in the state directory is gone when Look returns.
package doctor
