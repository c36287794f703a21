// Package systemd tests procman under a real systemd: the unit as it is shipped, the real binary, in a container of
// namespaces that the script `container` makes. The tests run with PROCMAN_SYSTEMD=1 as root, on a host with unshare,
// nsenter and debootstrap (or a root file system that was made before). PROCMAN_SYSTEMD_ROOT names that root file
// system; else it is made once in the user's cache directory. PROCMAN_SYSTEMD_MANY says how many instances the large
// cases have.
package systemd
