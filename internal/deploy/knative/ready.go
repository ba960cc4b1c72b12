package knative

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// settling is how long a service may say that it is not ready before it is believed:
// while revisions change hands it may say so for a moment.
const settling = 10 * time.Second

// readiness is what the cluster says of a service or of the proxy.
type readiness struct {
	ready    bool
	broken   bool   // and not just on its way
	why      string // it is not ready
	revision string // of a service: the latest
}

// serviceReadiness is that of a node's service. What is said of an older generation
// of it does not count.
func serviceReadiness(u *unstructured.Unstructured) readiness {
	observed, _, _ := unstructured.NestedInt64(u.Object, "status", "observedGeneration")
	if observed < u.GetGeneration() {
		return readiness{why: "Knative has not looked at it yet"}
	}
	c := conditionOf(u, "Ready")
	latest, _, _ := unstructured.NestedString(u.Object, "status", "latestCreatedRevisionName")
	return readiness{
		ready: c.status == "True", broken: c.status == "False",
		why: cmp.Or(c.text(), "Knative is at it"), revision: latest,
	}
}

// proxyReadiness is that of the proxy's StatefulSet.
func proxyReadiness(u *unstructured.Unstructured) readiness {
	if u == nil {
		return readiness{broken: true, why: "there is none"}
	}
	number := func(field string) int64 {
		n, _, _ := unstructured.NestedInt64(u.Object, "status", field)
		return n
	}
	current, _, _ := unstructured.NestedString(u.Object, "status", "currentRevision")
	update, _, _ := unstructured.NestedString(u.Object, "status", "updateRevision")
	switch {
	case number("observedGeneration") < u.GetGeneration(), update == "":
		return readiness{why: "the cluster has not looked at it yet"}
	case current != update && number("updatedReplicas") < 1:
		return readiness{why: "its pod is being replaced"}
	case number("readyReplicas") < 1:
		return readiness{why: "its pod is not ready"}
	}
	return readiness{ready: true}
}

// condition is one of an object's conditions; without a status if it has none of
// that type.
type condition struct{ status, reason, message string }

func (c condition) text() string {
	return strings.TrimSuffix(strings.Join(nonEmpty(c.reason, c.message), ": "), ".")
}

func nonEmpty(texts ...string) []string {
	return slices.DeleteFunc(texts, func(s string) bool { return s == "" })
}

func conditionOf(u *unstructured.Unstructured, kind string) condition {
	all, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, one := range all {
		fields, ok := one.(map[string]any)
		if !ok || fields["type"] != kind {
			continue
		}
		text := func(key string) string {
			s, _ := fields[key].(string)
			return s
		}
		return condition{text("status"), text("reason"), text("message")}
	}
	return condition{}
}

// awaitNodes waits until the services of nodes are ready. The error says of each that
// is not what its conditions, its pods and their events say.
func (d *Deployer) awaitNodes(ctx context.Context, nodes []int) error {
	deadline := time.Now().Add(d.patience)
	broken := map[int]time.Time{} // since when
	told := 0
	for {
		waiting, err := d.unready(ctx, nodes)
		if err != nil {
			return err
		}
		now := time.Now()
		failed := now.After(deadline)
		for node, r := range waiting {
			since, ok := broken[node]
			switch {
			case !r.broken:
				delete(broken, node)
			case !ok:
				broken[node] = now
			case now.Sub(since) >= min(settling, d.patience):
				failed = true
			}
		}
		if len(waiting) == 0 {
			return nil
		}
		if failed {
			return d.unreadyError(ctx, waiting)
		}
		if told != len(waiting) {
			told = len(waiting)
			d.tell("%d of %d services ready", len(nodes)-told, len(nodes))
		}
		if err := pause(ctx, d.every); err != nil {
			return err
		}
	}
}

// unready are the services of nodes that are not ready, and why.
func (d *Deployer) unready(ctx context.Context, nodes []int) (map[int]readiness, error) {
	all, err := d.cluster.list(ctx, nodeServices, d.pool.Namespace, d.pool.mine())
	if err != nil {
		return nil, err
	}
	waiting := map[int]readiness{}
	for _, node := range nodes {
		waiting[node] = readiness{why: "there is none"}
	}
	for i := range all {
		node := nodeOf(&all[i])
		if _, ok := waiting[node]; !ok {
			continue
		}
		if r := serviceReadiness(&all[i]); r.ready {
			delete(waiting, node)
		} else {
			waiting[node] = r
		}
	}
	return waiting, nil
}

// unreadyError says of the first few services that are not ready why.
func (d *Deployer) unreadyError(ctx context.Context, waiting map[int]readiness) error {
	const few = 5
	var faults []error
	nodes := slices.Sorted(maps.Keys(waiting))
	for _, node := range nodes[:min(len(nodes), few)] {
		r := waiting[node]
		selector := fmt.Sprintf("%s,%s=%d", d.pool.mine(), NodeLabel, node)
		if r.revision != "" { // pods of older ones are none of its troubles
			selector += "," + revisionLabel + "=" + r.revision
		}
		why := append([]string{r.why}, d.troubles(ctx, selector)...)
		faults = append(faults, fmt.Errorf("ksvc %s is not ready: %s", d.pool.NodeName(node), strings.Join(slices.Compact(why), "; ")))
	}
	if more := len(nodes) - few; more > 0 {
		faults = append(faults, fmt.Errorf("and %d more are not ready", more))
	}
	return errors.Join(faults...)
}

// awaitHandover waits until no node has pods of earlier revisions: they have handed
// over what they held, and the autoscaler has taken them. It does so for as long as
// their number goes down within the deployer's patience: where the autoscaler looks back
// further than that, they stay, and hold nothing any more. Where there is no proxy they
// cannot hand over, and end the sooner the longer it is away.
func (d *Deployer) awaitHandover(ctx context.Context) error {
	const few = 5
	fewest, since := 0, time.Now()
	served := since // when there was a proxy
	for {
		serves, err := d.proxyServes(ctx)
		if err != nil {
			return err
		}
		if serves {
			served = time.Now()
		} else if time.Since(served) >= min(awayFor, d.patience/10) {
			d.tell("there is no proxy that is ready: pods of earlier revisions are not waited for")
			return nil
		}
		earlier, err := d.earlierPods(ctx)
		if err != nil {
			return err
		}
		n := len(earlier)
		if n == 0 {
			return nil
		}
		names := strings.Join(earlier[:min(n, few)], ", ")
		if fewest == 0 || n < fewest {
			fewest, since = n, time.Now()
			d.tell("the proxy waits for %d pods of earlier revisions: %s", n, names)
		}
		if time.Since(since) >= d.patience {
			d.tell("%d pods of earlier revisions are still there after %v, the proxy goes on: %s", n, d.patience, names)
			return nil
		}
		if err := pause(ctx, d.every); err != nil {
			return err
		}
	}
}

// awayFor is how long a proxy may not be ready before it is given up.
const awayFor = 5 * time.Second

// proxyServes tells whether there is a proxy that is ready, of whatever revision.
func (d *Deployer) proxyServes(ctx context.Context) (bool, error) {
	u, err := d.cluster.get(ctx, statefulSets, d.pool.Namespace, d.pool.ProxyName())
	if err != nil || u == nil {
		return false, err
	}
	ready, _, _ := unstructured.NestedInt64(u.Object, "status", "readyReplicas")
	return ready > 0, nil
}

// awaitProxy waits until the proxy can be used.
func (d *Deployer) awaitProxy(ctx context.Context) error {
	deadline := time.Now().Add(d.patience)
	for told := ""; ; {
		u, err := d.cluster.get(ctx, statefulSets, d.pool.Namespace, d.pool.ProxyName())
		if err != nil {
			return err
		}
		r := proxyReadiness(u)
		switch {
		case r.ready:
			return nil
		case time.Now().After(deadline):
			why := append([]string{r.why}, d.troubles(ctx, d.pool.mine()+","+partLabel+"="+partProxy)...)
			return fmt.Errorf("statefulset %s is not ready: %s", d.pool.ProxyName(), strings.Join(why, "; "))
		case told != r.why:
			told = r.why
			d.tell("proxy: %s", r.why)
		}
		if err := pause(ctx, d.every); err != nil {
			return err
		}
	}
}

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
