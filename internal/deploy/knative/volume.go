package knative

import (
	"cmp"
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// noProvisioner is the provisioner of storage classes whose volumes somebody makes.
const noProvisioner = "kubernetes.io/no-provisioner"

// checkVolume looks where the proxy's volume comes from. A claim that is not there yet, or
// not bound, is no failure by itself: some are bound only when the proxy's pod is there,
// or to a volume that somebody makes.
func (d *Deployer) checkVolume(ctx context.Context, f *findings) {
	const about = "volume"
	claim, err := d.cluster.get(ctx, claims, d.pool.Namespace, d.pool.claimName())
	if err != nil {
		f.unseen(about, err)
		return
	}
	name, given := d.pool.StorageClass, d.pool.StorageClass != ""
	if claim != nil {
		phase, _, _ := unstructured.NestedString(claim.Object, "status", "phase")
		switch {
		case claim.GetDeletionTimestamp() != nil:
			f.bad(Failure, about, "wait until it is gone; no pod is started with it any more", "claim %s is being deleted", claim.GetName())
			return
		case phase == "Lost":
			f.bad(Failure, about, "bring its volume back, or delete the claim: the proxy then begins with nothing", "claim %s has lost its volume", claim.GetName())
			return
		case phase == "Bound":
			f.ok(about, "claim %s is bound", claim.GetName())
			return
		}
		name, given, _ = unstructured.NestedString(claim.Object, "spec", "storageClassName")
	}
	class, err := d.storageClass(ctx, name, given)
	if err != nil {
		f.unseen(about, err)
		return
	}
	switch {
	case class == nil && given && name != "":
		d.byHand(f, name, "the cluster has no storage class "+name)
	case class == nil && given:
		d.byHand(f, "", "the claim asks for no storage class")
	case class == nil:
		d.byHand(f, "", "the cluster has no default storage class")
	case field(class, "provisioner") == noProvisioner:
		d.byHand(f, class.GetName(), "storage class "+class.GetName()+" makes no volumes")
	case field(class, "volumeBindingMode") == "WaitForFirstConsumer":
		f.ok(about, "storage class %s, which makes it for the proxy's pod", class.GetName())
	case claim != nil:
		f.bad(Warning, about, "kubectl -n "+d.pool.Namespace+" describe persistentvolumeclaim "+claim.GetName(),
			"claim %s is not bound: storage class %s has to make its volume before the proxy starts", claim.GetName(), class.GetName())
	default:
		f.ok(about, "storage class %s", class.GetName())
	}
}

func field(u *unstructured.Unstructured, name string) string {
	text, _, _ := unstructured.NestedString(u.Object, name)
	return text
}

// storageClass is the class of a name, or the default one if none is given; nil if there
// is none.
func (d *Deployer) storageClass(ctx context.Context, name string, given bool) (*unstructured.Unstructured, error) {
	all, err := d.cluster.list(ctx, storageClasses, "", "")
	if err != nil {
		return nil, err
	}
	for i := range all {
		standard := all[i].GetAnnotations()["storageclass.kubernetes.io/is-default-class"] == "true"
		if given && all[i].GetName() == name || !given && standard {
			return &all[i], nil
		}
	}
	return nil, nil
}

// byHand says what has to be true where nobody makes the volume.
func (d *Deployer) byHand(f *findings, class, why string) {
	f.bad(Warning, "volume", fmt.Sprintf("name a class that makes volumes in storageClass (kubectl get storageclass), or make the volume; "+
		"who makes its claim, too, calls it %s and gives it the label %s", d.pool.claimName(), d.pool.mine()),
		"%s: there has to be a volume of %s, ReadWriteOnce, %s or more, that no other claim has and user or group %d may write", why, cmp.Or(class, "no class"), quantity(d.pool.Storage), imageUser)
}
