// Package cgroup gives each run a cgroup of its own, in the hierarchy of cgroups v2.
//
// What always holds:
//   - A cgroup is made below the one that was delegated, or that is root's to divide: DELEGATED/procman-HASH/ID.RUN,
//     HASH being of the state directory. Nothing is written to, moved in or removed from a cgroup that is not there,
//     but for the controllers that DELEGATED hands on. A unit of systemd that was not delegated is not divided.
//   - A process is put there by the fork itself (CLONE_INTO_CGROUP) and never moved. The manager moves itself once,
//     before anything else, and only where it is alone in a cgroup that is neither the root nor a unit's: in a
//     container.
//   - A cgroup is known by its number, which the kernel gives to no other before the host is started again: a name may
//     be reused.
//   - One that holds a process is never removed; the kernel refuses. It is tried again later, and at the next start of
//     the manager.
//   - One descriptor is held, of the hierarchy's mount; none for a run.
//   - Without cgroups a [Tree] still is there: it gives none, and says why where resources are to be bounded.
//
// Facts that forced the choices (Linux 6.18, systemd 252 to 257):
//   - No process can be put into a cgroup that hands controllers on, but for the root ("no internal processes"): EBUSY.
//     systemd puts a unit's new main process into the unit's own cgroup. So where instances have outlived the daemon, a
//     unit whose cgroup hands on controllers cannot be started again, unless DelegateSubgroup= (systemd 254) says into
//     which one below it. So controllers are handed on only there, and what does without controllers works with any
//     systemd that delegates.
//   - cgroup.kill (Linux 5.14) reaches all of a cgroup and of those below it, also who is being forked.
//   - A zombie keeps no cgroup from being removed.
package cgroup
