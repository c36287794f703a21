package place

// The hashes decide on every host of a fleet alike: a change of them moves instances, and hosts of two versions would
// claim the same ones. A test pins them.

// hash is FNV-1a with a finish that spreads its last bytes over all bits.
func hash(s string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for n := range len(s) {
		h = (h ^ uint64(s[n])) * 0x100000001b3
	}
	return mix(h)
}

// mix is the finish of splitmix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// score says how well a host suits an instance: the highest comes first. Each host draws for each instance, so that
// the loss of one changes nothing among the others.
func score(instance, host uint64) uint64 { return mix(instance + host) }
