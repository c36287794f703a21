// Package spawn starts the processes of instances, watches them, and finds them again after the manager has died.
//
// Invariants:
//   - The manager may be killed at any instant: what it started lives on, and the next manager finds every process
//     again, exactly once. Closing the Spawner touches no process either.
//   - Never two processes of one instance: a flock on the state directory admits one manager; a flock on the instance's
//     lock file is inherited by its process and held by it, and by all it forks, for life.
//   - Whose a process is has three answers, see package kernel: ours, a stranger, cannot tell. Boot id, pid and start
//     time on record name one process for ever, whatever it shows; the run tag in its environment and what its lock
//     says tell the rest. That nothing proves a process ours is no proof that ours has ended. In doubt nothing is
//     started in its place and nothing is signalled, and the error names the process and what settles it.
//   - Processes that live may be more than we have descriptors for. Those that find no room run on: nothing is started
//     in their place, they are taken over later, and to be ended at once. That nothing could be read for want of a
//     descriptor is no answer about a process.
//   - To belong to a run is not to be its process. A helper carries the tag, and perhaps the lock: it is never adopted.
//     A run below the one on record is neither survivor nor rival.
//   - Who adopts names the run, and waits for a start that is under way: the end of one run is never taken for that of
//     another. What lives is the instance's, whatever its run.
//   - A process has one manager. One that was started under another state directory is ours by its record, which came
//     along, unless a manager lives there; the lock there is then taken, too, and what it holds tells others from where
//     it is managed. Without a record it is not ours, and is not started a second time either.
//   - A process is signalled through a pidfd only, opened before anything was compared: a reused pid, a process started
//     by hand are never adopted and never signalled.
//   - A run is over when nobody of it lives, not when its first process has ended. Who belongs to it is kernel.Circle's
//     word, for health, stop, the lock and survivors alike: two words for it are two circles, and between them somebody
//     lives on.
//   - Where a run has a cgroup of its own, whoever is in that belongs to it, whatever else he shows, unless that is
//     another run's tag. The number of the cgroup is on record, so a later manager asks it, too. KILL is sent to the
//     cgroup as a whole if all in it are the run's, or else to each that is.
//   - Who holds the lock of a run was started by it, whatever else it shows: it belongs to the run. To have that file
//     open is not to hold the lock.
//   - Of a run whose first process has ended while nobody watched, those count that show its tag, hold its lock, or are
//     in its session and nearly as old as it. What detaches itself, shows nothing and holds nothing is nobody's from
//     then on.
//   - A process that wipes its environment and closes its descriptors is known by its record alone. So the intent is
//     written into its lock before the fork: if the manager is killed before the record, such a one is told by when it
//     began, its command line and the output files that it was given. One that changes those too, within that instant,
//     nothing tells of.
//   - Reality wins over records. The record of a run may be missing, torn or of another version: a live process is
//     found by its environment all the same. What was read badly is reported, and no reason to stop.
//   - A look at the files of a program may hang on a dead mount: it is made where nobody but that start waits for it,
//     and no start of another program.
//   - The command of a health check is no process of its instance: no tag of a run, no lock, no record, a session of
//     its own. There is one of an instance at a time. Its group gets KILL when its time is over, and when its first
//     process has ended. It outlives the manager by nothing: the kernel ends its first process with the thread that
//     forked it (Pdeathsig), and what that had started shows EnvCheck, by which the next manager finds and ends it as
//     it looks for survivors.
//   - A child has no signal blocked and the soft limits the manager was started with, whatever became of the manager's
//     own.
//   - A death is reported before it is recorded, and no lock that a report takes is held over a call to a file system.
//     A start has to wait for the state disk, and is told when that does not answer.
//   - An exit status is the kernel's or unknown, never invented.
//   - What an instance wrote outlives it, and goes by Discard only: never while a process of it may live, a helper, or
//     one that writes there, never what is held, and of a directory nothing that procman has not made.
//
// Facts that forced the choices (measured on Linux 6.18, Go 1.26):
//   - os/exec's Wait occupies an OS thread per child. A pidfd in Go's netpoller occupies none, and it watches processes
//     that are not our children just as well.
//   - Between fork and exec a child has the lock of the state directory, too: so a lock whose owner has died may stay
//     locked for an instant, and is asked for again before anybody is refused. After that instant, for some
//     microseconds, the new program has no environment yet: so a held instance lock without a visible owner makes us
//     look again.
//   - A fork copies the table of descriptors of the thread that forks. So that is one of two threads with a table of
//     their own, see forker: beside 18 000 descriptors a start takes half the time. Any thread of the runtime may come
//     to wait in its epoll (one that begins a garbage collection does): that has to stay in the table.
//   - While the leader of a session is a zombie its pid cannot be given away. So its others are looked for before it is
//     reaped; later the number is trusted only while one of them that we know has it.
//   - The os package's copy of a pidfd shares O_NONBLOCK with ours, and its Wait then fails. So children are reaped
//     here.
//   - A child that a tracer keeps, as a debugger at its prompt does, is a zombie that cannot be reaped. So nothing
//     waits for a child: whether it has ended its pidfd tells, and how its line in /proc.
//   - A child of this process is not always one that we started: as pid 1 or subreaper it is given orphans. Nothing
//     waits for any child (Wait4(-1)): orphans are told from what is waited for, see orphanage, and only they are
//     reaped so.
//   - What is set for the manager is not the instances': its protection from the OOM killer is given up while it forks.
//   - A container that was started again has the host's boot id; when pid 1 was started tells it from the one before.
//   - The exit status of a process that init has reaped is still told by the pidfd (PIDFD_GET_INFO, Linux 6.15).
//   - Wall clocks jump. Times are stored as CLOCK_MONOTONIC with the boot id, which is also the clock of time.Time.
//   - Records are written by rename and not synced: the page cache outlives us, and after a crash of the host there is
//     no process to be found. Only what an operator wished (Memory.Held) is synced.
package spawn
