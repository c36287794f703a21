// Package explain puts into words what the core decides: why an instance is as it is, what follows by itself, what
// would change that, and what another list would do.
//
// Invariants:
//   - It decides nothing. What it announces is what plan.Step answers on a copy of the instance: the moment of the next
//     start, whether there is one, what a list starts, stops or restarts. Whoever adds a sentence about what will
//     happen asks Step.
//   - It is pure: no clock, no file. The same view gives the same words.
//   - It names no program and no file. By which commands a reader does what is advised, and what the list is to them,
//     is said by whoever composes the supervisor ([Terms]).
package explain
