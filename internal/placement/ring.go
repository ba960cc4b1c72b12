package placement

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/cespare/xxhash/v2"
)

// Hash is the hash of an object's key: what the ring spreads keys by, and what
// logs show in place of the key. It is the same in every process and release.
func Hash(key string) uint64 { return xxhash.Sum64String(key) }

// virtualNodes is how many points of the ring each proxy gets: with 256 the
// proxies' shares differ by about 1/16.
const virtualNodes = 256

// Ring spreads keys over proxies by consistent hashing: when a proxy goes, only
// its own keys move. Clients that know the same addresses, in any order, agree on
// every owner. A Ring does not change and is safe for concurrent use.
type Ring struct {
	addrs  []string // sorted, without repeats
	points []point  // sorted by hash
}

type point struct {
	hash uint64
	addr int // index into addrs
}

// NewRing makes a ring of the proxies at addrs. Repeated addresses count once. A
// ring of none has no owners.
func NewRing(addrs []string) *Ring {
	addrs = slices.Compact(slices.Sorted(slices.Values(addrs)))
	r := &Ring{addrs: addrs, points: make([]point, 0, len(addrs)*virtualNodes)}
	for i, addr := range addrs {
		for v := range virtualNodes {
			r.points = append(r.points, point{xxhash.Sum64String(addr + "#" + strconv.Itoa(v)), i})
		}
	}
	slices.SortFunc(r.points, func(a, b point) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.addr, b.addr))
	})
	return r
}

// Addrs is the proxies' addresses, sorted. The caller must not change it.
func (r *Ring) Addrs() []string { return r.addrs }

// Owner is the address of the proxy that owns key, "" on a ring of none.
func (r *Ring) Owner(key string) string {
	if len(r.points) == 0 {
		return ""
	}
	return r.addrs[r.points[r.first(key)].addr]
}

// Order is all proxies in the order in which they would own key: the owner, then
// who owns it when the owner is gone, and so on.
func (r *Ring) Order(key string) []string {
	order := make([]string, 0, len(r.addrs))
	seen := make([]bool, len(r.addrs))
	for i := r.first(key); len(order) < len(r.addrs); i++ {
		addr := r.points[i%len(r.points)].addr
		if !seen[addr] {
			seen[addr] = true
			order = append(order, r.addrs[addr])
		}
	}
	return order
}

// first is the index of the point that key falls to, 0 on an empty ring.
func (r *Ring) first(key string) int {
	i, _ := slices.BinarySearchFunc(r.points, Hash(key), func(p point, h uint64) int {
		return cmp.Compare(p.hash, h)
	})
	if i == len(r.points) {
		return 0
	}
	return i
}
