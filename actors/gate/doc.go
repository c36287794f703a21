// Package gate is the pure core of the gate, which rations the processor among the instances that are starting: it
// decides which of those that wait may go on, and when those that are under way are to be looked at again. It reads no
// clock and no process.
//
// What is rationed is places, of which there are as many as start.parallel says. Who has one:
//
//   - a start that was let go on, until its process exists and was seen at rest: one that listens a millisecond after
//     its exec gives its place back a millisecond later, and not when a probe says that it is healthy;
//   - a start whose process is at work: it has used the processor since it was looked at last, or it or a process that
//     it has started runs at that very moment, or waits for the processor. Whoever is at rest has no place, and is
//     given one again as soon as it is seen at work, also when there is none to give: then the next wait.
//
// Of who has just been let go on it is not known which it will be. As long as those before it had next to nothing to do
// it takes an eighth of a place: so a thousand tiny programs need not wait to be looked at. One that turns out to be at
// work makes the next ones count for more, until each takes a place, as it does at first. Whoever has no process yet
// takes a whole place: to fork is work, too, if the manager's.
//
// So a start that hangs, which uses no processor, keeps nobody waiting, and one that compiles for a second does. Three
// kinds of start never have a place for long: who is healthy has left; whose process does not come to exist waits for a
// disk; and who has used the processor for ten seconds, or is still at work half a minute after it began, may be one
// that never ends.
//
// That the whole host is busy is not asked. A thousand tiny programs keep it busy by being started, and are to be
// started as fast as the kernel can; and on a host that others keep busy the next start would have to wait for them.
//
// Who goes first: see messages.Precedence. Those of equal precedence go in the order in which they came. One who waits
// is not passed by for ever: after eight of those that go before it, it is its turn. Those that fail again and again
// never have more than half of the places.
//
// Nobody is looked at while nobody waits.
package gate
