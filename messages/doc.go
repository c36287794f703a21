// Package messages holds everything procman's parts say to each other: the desired list, commands, facts and status.
//
// Invariants:
//   - Values only. The package imports nothing but the standard library, starts nothing and reads no clock.
//   - Commands are imperatives (StopRun), facts are past or adjective (Exited, Ready).
//   - An instance is described once, in the table beside its struct ([Fields]). Whoever lists its fields by hand lies
//     after the next one is added: loop over the table.
//   - A value that holds a map or a slice is cloned where it enters the program ([AppInstance.Clone]) and is
//     treated as immutable from then on.
package messages
