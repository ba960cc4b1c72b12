package knative

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// fieldManager is who owns the fields that a deployment sets.
const fieldManager = "infinicache"

// cluster asks an API server. All errors of its methods name what was attempted.
type cluster struct {
	api       dynamic.Interface
	discovery discovery.DiscoveryInterface
}

func newCluster(config *rest.Config) (*cluster, error) {
	own := rest.CopyConfig(config)
	// The defaults are for controllers; a deployment of hundreds of nodes would wait
	// for them by the minute.
	own.QPS, own.Burst = 50, 100
	api, err := dynamic.NewForConfig(own)
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	disco, err := discovery.NewDiscoveryClientForConfig(own)
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	return &cluster{api, disco}, nil
}

func (r resourceOf) resource() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: r.group, Version: r.version, Resource: r.plural}
}

// of are the objects of a kind in a namespace; of the whole cluster without one.
func (c *cluster) of(kind resourceOf, namespace string) dynamic.ResourceInterface {
	if namespace == "" {
		return c.api.Resource(kind.resource())
	}
	return c.api.Resource(kind.resource()).Namespace(namespace)
}

// kindNamed finds the kind of a part of a pool.
func kindNamed(u *unstructured.Unstructured) resourceOf {
	for _, kind := range slices.Concat(deployedKinds, []resourceOf{claims}) {
		if gvk := u.GroupVersionKind(); gvk.Group == kind.group && gvk.Kind == kind.kind {
			return kind
		}
	}
	panic("no kind of a pool: " + u.GetKind()) // all that is rendered or listed is among them
}

// get returns an object, or nil if there is none.
func (c *cluster) get(ctx context.Context, kind resourceOf, namespace, name string) (*unstructured.Unstructured, error) {
	u, err := c.of(kind, namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, explain(fmt.Sprintf("get %s %s", kind.plural, name), err)
	}
	return u, nil
}

// list returns the objects of a kind that have a label.
func (c *cluster) list(ctx context.Context, kind resourceOf, namespace, selector string) ([]unstructured.Unstructured, error) {
	const page = 500
	var all []unstructured.Unstructured
	opts := metav1.ListOptions{LabelSelector: selector, Limit: page}
	for {
		part, err := c.of(kind, namespace).List(ctx, opts)
		if err != nil {
			return nil, explain("list "+kind.plural, err)
		}
		all = append(all, part.Items...)
		if opts.Continue = part.GetContinue(); opts.Continue == "" {
			return all, nil
		}
	}
}

// apply makes an object as it is given, as far as it is given; dry only finds out
// what it would become.
func (c *cluster) apply(ctx context.Context, u *unstructured.Unstructured, dry bool) (*unstructured.Unstructured, error) {
	text, err := json.Marshal(u.Object)
	if err != nil {
		return nil, fmt.Errorf("apply %s: %w", title(u), err)
	}
	// Fields that someone else has set meanwhile are taken over: the plan shows them.
	force := true
	opts := metav1.PatchOptions{FieldManager: fieldManager, Force: &force}
	if dry {
		opts.DryRun = []string{metav1.DryRunAll}
	}
	got, err := c.of(kindNamed(u), u.GetNamespace()).Patch(ctx, u.GetName(), types.ApplyPatchType, text, opts)
	if err != nil {
		return nil, explain("apply "+title(u), err)
	}
	return got, nil
}

// delete deletes an object and, in the background, what belongs to it. It is no
// error if there is none.
func (c *cluster) delete(ctx context.Context, kind resourceOf, namespace, name string) error {
	background := metav1.DeletePropagationBackground
	err := c.of(kind, namespace).Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: &background})
	if err != nil && !apierrors.IsNotFound(err) {
		return explain(fmt.Sprintf("delete %s %s", kind.plural, name), err)
	}
	return nil
}

// allowed asks whether the deployer may do something.
func (c *cluster) allowed(ctx context.Context, on resourceOf, namespace, verb string) (bool, error) {
	review := &authorizationv1.SelfSubjectAccessReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "authorization.k8s.io/v1", Kind: "SelfSubjectAccessReview"},
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: namespace, Verb: verb, Group: on.group, Resource: on.plural,
		}},
	}
	text, err := json.Marshal(review)
	if err != nil {
		return false, err
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(text); err != nil {
		return false, err
	}
	reviews := resourceOf{"authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews"}
	answer, err := c.of(reviews, "").Create(ctx, u, metav1.CreateOptions{})
	if err != nil {
		return false, explain("ask for permissions", err)
	}
	ok, _, _ := unstructured.NestedBool(answer.Object, "status", "allowed")
	return ok, nil
}

// explain says what was attempted and, where it is known, how to mend it.
func explain(attempt string, err error) error {
	hint := ""
	var unreachable *url.Error
	var resolve *net.DNSError
	switch {
	case apierrors.IsUnauthorized(err):
		hint = "the cluster does not know who you are: see the user of the context in KUBECONFIG"
	case apierrors.IsForbidden(err):
		hint = "have what \"infinicache deploy knative --policy\" prints granted to you"
	case apierrors.IsNotFound(err):
		hint = "is Knative Serving installed there, and the namespace? --check says"
	case apierrors.IsBadRequest(err):
		hint = "--check says which of Knative's settings the pool needs"
	case apierrors.IsInvalid(err):
		hint = "some fields of what exists cannot change, such as storage and storageClass of a proxy's volume"
	case errors.As(err, &resolve), errors.As(err, &unreachable):
		hint = "is the cluster of this context in KUBECONFIG the right one, and up?"
	}
	if hint == "" {
		return fmt.Errorf("%s: %w", attempt, err)
	}
	return fmt.Errorf("%s: %w; %s", attempt, err, hint)
}
