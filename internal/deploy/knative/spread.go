package knative

import (
	"context"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// spreadFeature is Knative's setting, in config-features, that lets services have
// constraints on how pods are spread. It is off unless somebody turned it on.
const (
	featuresMap   = "config-features"
	spreadFeature = "kubernetes.podspec-topologyspreadconstraints"
)

// spread has the pods of all nodes balanced over the machines. A constraint on zones
// beside it would have the scheduler pass over machines that name no zone.
func (p *Pool) spread() l {
	unsatisfiable := map[string]string{Preferred: "ScheduleAnyway", Required: "DoNotSchedule"}[p.Spread]
	if unsatisfiable == "" {
		return nil
	}
	return l{m{
		"maxSkew":           1,
		"topologyKey":       "kubernetes.io/hostname",
		"whenUnsatisfiable": unsatisfiable,
		"labelSelector":     m{"matchLabels": p.selector(partNode)},
	}}
}

// objects are those of the pool as this cluster takes them. Spread that is preferred
// is left out where Knative refuses it, and that is told; what is required is not.
func (d *Deployer) objects(ctx context.Context) []*unstructured.Unstructured {
	all := d.pool.Objects()
	if d.pool.Spread != Preferred {
		return all
	}
	value, err := d.setting(ctx, featuresMap, spreadFeature, "disabled")
	if err != nil || enabled(value) {
		return all // who may not read the setting is told by Knative, if it refuses
	}
	d.tell("warning: spread: %s is left out, since Knative's feature %s is %s: where pods go is left to chance; --check says how to turn it on",
		d.pool.Spread, spreadFeature, value)
	for _, u := range all {
		if isNode(u) {
			unstructured.RemoveNestedField(u.Object, "spec", "template", "spec", "topologySpreadConstraints")
		}
	}
	return all
}

// setting reads one of Knative's settings; otherwise is what counts where there is
// none.
func (d *Deployer) setting(ctx context.Context, name, key, otherwise string) (string, error) {
	u, err := d.cluster.get(ctx, configMaps, servingNamespace, name)
	if err != nil || u == nil {
		return otherwise, err
	}
	if value, ok, _ := unstructured.NestedString(u.Object, "data", key); ok {
		return value, nil
	}
	return otherwise, nil
}

// enabled tells what Knative makes of a feature's value.
func enabled(value string) bool {
	return strings.EqualFold(value, "enabled") || strings.EqualFold(value, "allowed")
}
