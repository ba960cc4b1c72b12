package lambda

import (
	"regexp"
	"strconv"
	"strings"

	platform "github.com/infinicache/infinicache/internal/platform/lambda"
)

const (
	tagPrefix = "infinicache:"
	// poolTag marks what a deployment owns; its value is the pool's prefix.
	poolTag = tagPrefix + "pool"
)

// allNodes stands in for a node's number where a function belongs to all.
const allNodes = -1

// functions names the functions that the pool has, by node. A function for all
// nodes is its only one.
func (p *Pool) functions() []place {
	if p.Tenants {
		return []place{{platform.TenantFunction(p.Prefix), allNodes}}
	}
	all := make([]place, p.Nodes)
	for node := range all {
		name, _ := platform.Address(p.Prefix, node, false)
		all[node] = place{name, node}
	}
	return all
}

// place is a function and the node that it is for.
type place struct {
	function string
	node     int // or allNodes
}

var numberForm = regexp.MustCompile(`^(0|[1-9]\d{0,3})$`)

// placeOf reads a function's name as one that a pool of this prefix, of whatever
// size and mode, would give.
func (p *Pool) placeOf(name string) (place, bool) {
	if name == platform.TenantFunction(p.Prefix) {
		return place{name, allNodes}, true
	}
	number, ok := strings.CutPrefix(name, p.Prefix)
	if !ok || !numberForm.MatchString(number) {
		return place{}, false
	}
	node, err := strconv.Atoi(number)
	return place{name, node}, err == nil && node < MaxNodes
}

// logGroup is where all of the pool's functions write, so that one retention and
// one permission are enough.
func (p *Pool) logGroup() string { return "/aws/lambda/" + platform.TenantFunction(p.Prefix) }

// reserved is how much concurrency each of the pool's functions reserves.
func (p *Pool) reserved() int {
	if p.Tenants {
		return p.Nodes * p.Concurrency
	}
	return p.Concurrency
}

// partition and account are those of the functions' role.
func (p *Pool) partition() string { return roleForm.FindStringSubmatch(p.Role)[1] }
func (p *Pool) account() string   { return roleForm.FindStringSubmatch(p.Role)[2] }
