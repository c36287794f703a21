// Package hooks tells others what happens: a command or a webhook, when an instance fails, is unhealthy, goes on
// failing or is well again, and when a configuration is rejected.
//
// Invariants:
//   - Nobody waits for a hook: who tells of an event leaves it in a queue. The queue, those that run at once and the
//     time of each are bounded; what finds no room is dropped, logged and counted.
//   - Of one hook, instance and happening there is one call in [config.Hook.Every]: the first at once, and at the end
//     the newest of those that came meanwhile, which says how many it stands for.
//   - A hook that fails is logged and counted, and not tried again.
//   - A command has no tag of a run in its environment, so it is never taken for an instance; its group ends with it,
//     with its time and with the daemon, also one that is killed, see package command.
//   - Without hooks in the configuration there is neither a goroutine nor a timer, and an event costs a comparison.
package hooks
