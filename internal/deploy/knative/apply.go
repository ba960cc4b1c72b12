package knative

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/infinicache/infinicache/internal/deploy"
)

// Apply carries out a plan and waits until all nodes' services and the proxy are
// ready. New nodes come first and leaving ones go last, so that the proxy never has a
// node without a service. Services whose pods are replaced are updated a few at once,
// drained before, and the proxy is not restarted while pods of earlier revisions may
// still have something to hand over, which they can only with its help. Whether it can
// be replaced at all is tried before anything is changed. After a
// failure, plan and apply again: what is done is not done twice.
func (d *Deployer) Apply(ctx context.Context, plan *Plan) error {
	var before, create, roll, after, leave []step
	for _, s := range plan.steps {
		switch {
		case s.Action == deploy.Delete:
			leave = append(leave, s)
		case s.rolls():
			roll = append(roll, s)
		case s.node() >= 0:
			create = append(create, s)
		case s.object.GetKind() == statefulSets.kind, s.object.GetKind() == configMaps.kind:
			after = append(after, s)
		default:
			before = append(before, s)
		}
	}
	replaced := slices.ContainsFunc(after, step.restartsProxy)
	if replaced {
		if err := d.tryProxy(ctx); err != nil {
			return err
		}
	}
	if err := d.applyAll(ctx, append(before, create...)); err != nil {
		return err
	}
	if err := d.roll(ctx, roll); err != nil {
		return err
	}
	if err := d.awaitNodes(ctx, d.allNodes()); err != nil {
		return err
	}
	if err := d.admitAll(ctx, nodesOf(slices.DeleteFunc(create, func(s step) bool { return s.Action != deploy.Create }))); err != nil {
		return err
	}
	if err := d.drainLeaving(ctx, leave); err != nil {
		return err
	}
	if replaced {
		if err := d.awaitHandover(ctx); err != nil {
			return err
		}
	}
	if err := d.applyAll(ctx, after); err != nil {
		return err
	}
	if err := d.awaitProxy(ctx); err != nil {
		return err
	}
	return d.deleteAll(ctx, leave)
}

func (d *Deployer) allNodes() []int {
	all := make([]int, d.pool.Nodes)
	for node := range all {
		all[node] = node
	}
	return all
}

func (d *Deployer) applyAll(ctx context.Context, steps []step) error {
	for _, s := range steps {
		d.tell("%s %s %s", s.Action, s.Kind, s.Name)
		if _, err := d.cluster.apply(ctx, s.object, false); err != nil {
			return err
		}
	}
	return nil
}

func (d *Deployer) deleteAll(ctx context.Context, steps []step) error {
	for _, s := range steps {
		d.tell("delete %s %s", s.Kind, s.Name)
		if err := d.cluster.delete(ctx, kindNamed(s.object), s.object.GetNamespace(), s.Name); err != nil {
			return err
		}
	}
	return nil
}

// roll updates services a few at once: drains the nodes, applies, waits for the new
// revisions, and lets the nodes be used again.
func (d *Deployer) roll(ctx context.Context, steps []step) error {
	done := 0
	for batch := range slices.Chunk(steps, d.atOnce) {
		if err := d.rollBatch(ctx, batch); err != nil {
			return fmt.Errorf("rollout stopped after %d of %d nodes: %w", done, len(steps), err)
		}
		done += len(batch)
		d.tell("rolled %d of %d", done, len(steps))
	}
	return nil
}

// admitPatience bounds letting nodes in again after the deployment was cancelled.
const admitPatience = 10 * time.Second

func (d *Deployer) rollBatch(ctx context.Context, batch []step) (err error) {
	nodes := nodesOf(batch)
	if d.drain != nil {
		if err := d.drainNodes(ctx, nodes); err != nil {
			return err
		}
		// A revision that does not become ready leaves the one before in its place,
		// so the nodes are as good as they were: they are let in whatever comes.
		defer func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), admitPatience)
			defer cancel()
			if admitErr := d.drain.Admit(ctx, nodes); admitErr != nil {
				err = errors.Join(err, fmt.Errorf("admit %s: %w", nodeList(nodes), admitErr))
			}
		}()
	}
	if err := d.applyAll(ctx, batch); err != nil {
		return err
	}
	return d.awaitNodes(ctx, nodes)
}

// admitAll lets all nodes be used that the proxy knows, so without new ones: a
// deployment that was killed may have left some drained.
func (d *Deployer) admitAll(ctx context.Context, created []int) error {
	known := slices.DeleteFunc(d.allNodes(), func(node int) bool { return slices.Contains(created, node) })
	if d.drain == nil || len(known) == 0 {
		return nil
	}
	if err := d.drain.Admit(ctx, known); err != nil {
		return fmt.Errorf("admit all nodes, of which a deployment that did not end may have drained some: %w", err)
	}
	return nil
}

// drainLeaving empties the nodes that are to go. They are not let in again.
func (d *Deployer) drainLeaving(ctx context.Context, leave []step) error {
	nodes := nodesOf(leave)
	if d.drain == nil || len(nodes) == 0 {
		return nil
	}
	return d.drainNodes(ctx, nodes)
}

func nodesOf(steps []step) []int {
	var nodes []int
	for _, s := range steps {
		if node := s.node(); node >= 0 {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

// nodeList names nodes for people.
func nodeList(nodes []int) string {
	const few = 8
	texts := []string{}
	for _, node := range nodes[:min(len(nodes), few)] {
		texts = append(texts, fmt.Sprint(node))
	}
	list := strings.Join(texts, ", ")
	switch {
	case len(nodes) == 1:
		return "node " + list
	case len(nodes) > few:
		return fmt.Sprintf("nodes %s and %d more", list, len(nodes)-few)
	}
	return "nodes " + list
}
