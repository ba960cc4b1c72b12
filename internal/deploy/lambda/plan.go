package lambda

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/infinicache/infinicache/internal/deploy"
)

// Plan is what a deployment is about to change, in the order in which it does.
type Plan struct {
	Changes []deploy.Change `json:"changes"`
	// Notes say what the changes mean for the cache.
	Notes []string `json:"notes,omitempty"`
	// Loses tells that applying the plan may lose objects, so that it has to be
	// allowed.
	Loses bool `json:"loses"`

	steps  []step
	drains bool // nodes before they are updated or deleted
}

// step is one change with all that is needed to make it.
type step struct {
	deploy.Change
	place
	difference       // of an update
	replace    bool  // an update that deletes the function and creates it
	retention  int32 // days, of a log group
}

// Kinds of things that a plan changes.
const (
	kindFunction = "function"
	kindLogGroup = "log group"
	kindNode     = "node" // of the proxy's
)

// observed is what exists of a pool, and around it.
type observed struct {
	// functions have names that this pool's could have, whosever they are.
	functions []function
	logs      *logGroup // nil if retention is none of the deployment's business
}

// logGroup is the pool's log group.
type logGroup struct {
	exists    bool
	retention int32 // days; zero is forever
}

// planning are the circumstances of a plan.
type planning struct {
	drains  bool  // nodes can be drained
	atOnce  int   // nodes that are updated at the same time
	drained []int // nodes that are, already
}

// plan compares what exists with what is wanted. The error is of kind Clash if a
// name is taken by what is not the pool's, and names all of them.
func (p *Pool) plan(have observed, want settings, how planning) (Plan, error) {
	if err := p.clashes(have.functions, want); err != nil {
		return Plan{}, err
	}
	byName := map[string]*function{}
	for i := range have.functions {
		byName[have.functions[i].function] = &have.functions[i]
	}
	var creates, gentle, retiring, deletes []step
	for _, at := range p.functions() {
		existing, ok := byName[at.function]
		delete(byName, at.function)
		if !ok {
			creates = append(creates, step{Change: change(deploy.Create, at, nil), place: at})
			continue
		}
		s := step{place: at, difference: compare(existing.settings, want)}
		s.reviveFailed(existing)
		s.Change = change(deploy.Update, at, s.fields)
		switch {
		case s.none():
		case s.retires():
			retiring = append(retiring, s)
		default:
			gentle = append(gentle, s)
		}
	}
	for _, f := range have.functions {
		if _, surplus := byName[f.function]; surplus && f.owner() == p.Prefix {
			deletes = append(deletes, step{Change: change(deploy.Delete, f.place, nil), place: f.place})
		}
	}
	deletes = leavingOrder(deletes)
	admissions := p.admissions(how.drained, have.functions, retiring)
	return assemble(slices.Concat(p.planLogs(have.logs), creates, gentle, retiring, deletes, admissions), p.notes(retiring, deletes, how)), nil
}

// admissions have nodes used again that are drained, such as those of a deployment
// that was killed, unless an update does it, this one's or somebody else's.
func (p *Pool) admissions(drained []int, have []function, retiring []step) []step {
	var steps []step
	for _, node := range drained {
		updated := slices.ContainsFunc(retiring, func(s step) bool { return s.node == node }) ||
			slices.ContainsFunc(have, func(f function) bool { return f.node == node && f.changing() })
		if node >= p.Nodes || updated {
			continue
		}
		c := deploy.Change{
			Action: deploy.Update, Kind: kindNode, Name: strconv.Itoa(node),
			Fields: []deploy.Field{{Name: "state", From: "drained", To: "in use"}},
		}
		steps = append(steps, step{Change: c, place: place{node: node}})
	}
	return steps
}

// destruction is the plan that deletes everything the pool owns.
func (p *Pool) destruction(have observed) Plan {
	var deletes []step
	for _, f := range have.functions {
		if f.owner() == p.Prefix {
			deletes = append(deletes, step{Change: change(deploy.Delete, f.place, nil), place: f.place})
		}
	}
	var notes []string
	if len(deletes) > 0 {
		notes = append(notes, "everything that the pool holds is lost",
			fmt.Sprintf("log group %s stays; delete it when its logs are no longer wanted", p.logGroup()))
	}
	return assemble(leavingOrder(deletes), consequences{notes: notes})
}

// consequences are what a plan means for the cache.
type consequences struct {
	notes  []string
	loses  bool
	drains bool
}

func assemble(steps []step, c consequences) Plan {
	plan := Plan{Changes: []deploy.Change{}, Notes: c.notes, Loses: c.loses, steps: steps, drains: c.drains}
	for _, s := range steps {
		plan.Changes = append(plan.Changes, s.Change)
	}
	return plan
}

func change(action deploy.Action, at place, fields []deploy.Field) deploy.Change {
	return deploy.Change{Action: action, Kind: kindFunction, Name: at.function, Fields: fields}
}

// leavingOrder has the highest nodes leave first, as a pool that shrinks does.
func leavingOrder(deletes []step) []step {
	slices.SortStableFunc(deletes, func(a, b step) int { return b.node - a.node })
	return deletes
}

// reviveFailed has an update done again that failed, whose settings the platform
// may tell although the function runs with others; and a function created again
// whose creation failed.
func (s *step) reviveFailed(f *function) {
	if f.state == types.StateFailed {
		s.replace, s.code = true, true
		s.fields = append(s.fields, deploy.Field{Name: "state", From: "Failed (" + or(f.stateReason, "no reason given") + ")", To: "created again"})
		return
	}
	if f.lastUpdate == types.LastUpdateStatusFailed {
		s.code, s.configuration = true, true
		s.fields = append(s.fields, deploy.Field{Name: "last update", From: "Failed (" + or(f.stateReason, "no reason given") + ")", To: "done again"})
	}
}

// clashes complains about every name that the pool needs and that is taken.
func (p *Pool) clashes(have []function, want settings) error {
	var names []string
	mode := false
	for _, at := range p.functions() {
		i := slices.IndexFunc(have, func(f function) bool { return f.function == at.function })
		switch {
		case i < 0:
		case have[i].owner() == "":
			names = append(names, at.function+", which has no tag "+poolTag)
		case have[i].owner() != p.Prefix:
			names = append(names, fmt.Sprintf("%s, which is of the pool %q", at.function, have[i].owner()))
		case have[i].tenants != want.tenants:
			mode = true
			names = append(names, at.function+", whose tenant isolation is otherwise and can only be set at its creation")
		}
	}
	if len(names) == 0 {
		return nil
	}
	mend := "choose another prefix, or see whose these functions are"
	if mode {
		mend = "destroy the pool first, or choose another prefix"
	}
	return &Error{Kind: Clash, Mend: mend, Err: fmt.Errorf("%d names are taken, nothing was changed: %s", len(names), join(names, func(s string) string { return s }))}
}

// planLogs has the log group made, and its logs kept as long as is wanted.
func (p *Pool) planLogs(have *logGroup) []step {
	want := int32(p.LogRetentionDays)
	if have == nil || want == 0 || have.exists && have.retention == want {
		return nil
	}
	s := step{retention: want, Change: deploy.Change{Action: deploy.Create, Kind: kindLogGroup, Name: p.logGroup()}}
	s.Fields = []deploy.Field{{Name: "retention", To: days(want)}}
	if have.exists {
		s.Action, s.Fields[0].From = deploy.Update, days(have.retention)
	}
	return []step{s}
}

func days(n int32) string {
	if n == 0 {
		return "forever"
	}
	return fmt.Sprintf("%d days", n)
}

// notes say what retiring instances and deleting functions does to the cache.
func (p *Pool) notes(retiring, deletes []step, how planning) consequences {
	var c consequences
	say := func(format string, args ...any) { c.notes = append(c.notes, fmt.Sprintf(format, args...)) }
	shared := func(s step) bool { return s.node == allNodes }
	switch {
	case slices.ContainsFunc(deletes, shared), len(deletes) > 0 && p.Tenants:
		c.loses = true
		say("the pool changes between a function for each node and one for all: what the cache holds is lost, " +
			"and the proxy has to be told")
		return c
	case slices.ContainsFunc(retiring, shared):
		c.loses = true
		say("one function is all nodes: its update ends every instance at once, and what the cache holds is lost")
		return c
	}
	c.drains = how.drains && len(retiring)+len(deletes) > 0
	c.loses = !how.drains && len(retiring)+len(deletes) > 0
	if len(retiring) > 0 {
		done := "drained and updated"
		if !how.drains {
			done = "updated without being drained, since no proxy was named"
		}
		say("an update ends a node's instances: %d nodes are %s, %d at a time", len(retiring), done, how.atOnce)
		if len(retiring) > how.atOnce {
			say("one of the first %d has to answer a probe before others are updated", how.atOnce)
		}
	}
	if len(deletes) > 0 {
		done := "drained and deleted"
		if !how.drains {
			done = "deleted without being drained, since no proxy was named"
		}
		say("%d nodes are %s; make the proxy's pool %d nodes first, or it goes on invoking them", len(deletes), done, p.Nodes)
	}
	if c.loses {
		say("objects are lost beyond what parity, replicas and repair save meanwhile")
	}
	return c
}
