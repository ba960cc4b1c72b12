package knative

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/infinicache/infinicache/internal/deploy"
)

// step is what a deployment does to one object.
type step struct {
	deploy.Change
	object *unstructured.Unstructured // to apply, or to delete
}

// node is the number of the node whose service the step is about, -1 if it is
// about none.
func (s step) node() int {
	if !isNode(s.object) {
		return -1
	}
	return nodeOf(s.object)
}

// nodeOf is the number of the node whose service or pod it is, by its label; -1
// without one.
func nodeOf(u *unstructured.Unstructured) int {
	node, err := strconv.Atoi(u.GetLabels()[NodeLabel])
	if err != nil {
		return -1
	}
	return node
}

// rolls tells whether the step replaces the pods of a node.
func (s step) rolls() bool {
	return s.Action == deploy.Update && s.node() >= 0 && restarts(s.Fields)
}

// restartsProxy tells whether the step replaces the proxy's pod.
func (s step) restartsProxy() bool {
	return s.Action == deploy.Update && s.object.GetKind() == statefulSets.kind && restarts(s.Fields)
}

// Plan is what a deployment would change. It is made by asking the cluster, which
// changes nothing, and is out of date when someone else changes the cluster.
type Plan struct {
	steps []step
}

// Changes are those of the plan, for people.
func (p *Plan) Changes() []deploy.Change {
	all := []deploy.Change{}
	for _, s := range p.steps {
		all = append(all, s.Change)
	}
	return all
}

// Restarts are the nodes whose instances the plan replaces or takes, which lose what
// they hold unless they are drained.
func (p *Plan) Restarts() []int {
	var all []int
	for _, s := range p.steps {
		if s.rolls() || s.Action == deploy.Delete && s.node() >= 0 {
			all = append(all, s.node())
		}
	}
	return all
}

// Plan asks the cluster what applying the pool would change. The error has every
// object that cannot be applied.
func (d *Deployer) Plan(ctx context.Context) (*Plan, error) {
	plan := &Plan{}
	var faults []error
	for _, u := range d.objects(ctx) {
		s, err := d.step(ctx, u)
		switch {
		case err != nil:
			faults = append(faults, err)
			if ctx.Err() != nil || len(faults) >= manyFaults {
				return nil, errors.Join(faults...)
			}
		case s != nil:
			plan.steps = append(plan.steps, *s)
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	surplus, err := d.surplus(ctx, d.pool.Nodes)
	if err != nil {
		return nil, err
	}
	plan.steps = append(plan.steps, surplus...)
	return plan, nil
}

// manyFaults are enough to say what is wrong with a cluster.
const manyFaults = 10

// step finds out what applying an object changes; nil if nothing.
func (d *Deployer) step(ctx context.Context, u *unstructured.Unstructured) (*step, error) {
	live, err := d.cluster.get(ctx, kindNamed(u), u.GetNamespace(), u.GetName())
	if err != nil {
		return nil, err
	}
	if live != nil && live.GetLabels()[PoolLabel] != d.pool.ID() {
		return nil, d.clash(u)
	}
	then, err := d.cluster.apply(ctx, u, true)
	if err != nil {
		return nil, err
	}
	change := deploy.Change{Action: deploy.Create, Kind: kindOf(u), Name: u.GetName()}
	if live != nil {
		change.Action, change.Fields = deploy.Update, different(live, then)
		if len(change.Fields) == 0 {
			return nil, nil
		}
	}
	return &step{change, u}, nil
}

func (d *Deployer) clash(u *unstructured.Unstructured) error {
	return fmt.Errorf("%s exists and is not of this pool (it has no label %s: %s): give the pool another prefix or namespace, or delete what is there",
		title(u), PoolLabel, d.pool.ID())
}

// surplus deletes the services of the pool's nodes from a number on.
func (d *Deployer) surplus(ctx context.Context, from int) ([]step, error) {
	all, err := d.cluster.list(ctx, nodeServices, d.pool.Namespace, d.pool.mine())
	if err != nil {
		return nil, err
	}
	var steps []step
	for i := range all {
		u := &all[i]
		if node := nodeOf(u); node >= from && u.GetName() == d.pool.NodeName(node) {
			steps = append(steps, step{deploy.Change{Action: deploy.Delete, Kind: kindOf(u), Name: u.GetName()}, u})
		}
	}
	return steps, nil
}

// mine selects what belongs to the pool.
func (p *Pool) mine() string { return PoolLabel + "=" + p.ID() }
