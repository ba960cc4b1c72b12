package knative

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/infinicache/infinicache/internal/deploy"
)

// PlanDestroy is what deleting the pool would delete: everything of the kinds that a
// pool consists of that has its label, whatever the pool file now says, and the
// proxy's volume if data. The volume has the pool's secret and what a restarted proxy
// must know.
func (d *Deployer) PlanDestroy(ctx context.Context, data bool) (*Plan, error) {
	kinds := []resourceOf{statefulSets, nodeServices, services, configMaps, policies, budgets, accounts}
	if data {
		kinds = append(kinds, claims)
	}
	plan := &Plan{}
	for _, kind := range kinds {
		all, err := d.cluster.list(ctx, kind, d.pool.Namespace, d.pool.mine())
		if err != nil {
			return nil, err
		}
		for i := range all {
			u := &all[i]
			if !d.deployed(u) {
				continue
			}
			plan.steps = append(plan.steps, step{deploy.Change{Action: deploy.Delete, Kind: kindOf(u), Name: u.GetName()}, u})
		}
	}
	if data {
		return plan, d.foreignClaim(ctx)
	}
	return plan, nil
}

// foreignClaim complains about a claim of the proxy's name that is not the pool's: its
// volume has the pool's data, and whoever made it by hand may have left the label out.
func (d *Deployer) foreignClaim(ctx context.Context) error {
	u, err := d.cluster.get(ctx, claims, d.pool.Namespace, d.pool.claimName())
	if err != nil || u == nil || u.GetLabels()[PoolLabel] == d.pool.ID() {
		return err
	}
	return fmt.Errorf("persistentvolumeclaim %s has the proxy's data and no label %s=%s, so it would stay: label it, or delete it yourself and leave --with-data out",
		u.GetName(), PoolLabel, d.pool.ID())
}

// deployed tells an object of this deployment from one that Knative made of it with
// its labels, which goes with its owner.
func (d *Deployer) deployed(u *unstructured.Unstructured) bool {
	return len(u.GetOwnerReferences()) == 0
}

// Destroy carries out a plan of PlanDestroy.
func (d *Deployer) Destroy(ctx context.Context, plan *Plan) error {
	return d.deleteAll(ctx, plan.steps)
}
