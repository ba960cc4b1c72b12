package knative

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// revisionLabel is Knative's, on pods.
const revisionLabel = servingGroup + "/revision"

// revisions are, by node, those that its service leads to or is about to. A pod of
// another one hands over what it holds, or has never held anything: Knative leaves
// pending for long what a revision began that never became ready.
type revisions map[int][]string

func (r revisions) add(service *unstructured.Unstructured) {
	for _, field := range []string{"latestCreatedRevisionName", "latestReadyRevisionName"} {
		if name, _, _ := unstructured.NestedString(service.Object, "status", field); name != "" {
			r[nodeOf(service)] = append(r[nodeOf(service)], name)
		}
	}
}

// left tells whether a pod is of another revision and does not run.
func (r revisions) left(pod *unstructured.Unstructured) bool {
	used, revision := r[nodeOf(pod)], pod.GetLabels()[revisionLabel]
	return revision != "" && len(used) > 0 && !slices.Contains(used, revision) && !plays(pod)
}

// plays tells whether a node's pod may hold something: its program runs.
func plays(pod *unstructured.Unstructured) bool {
	if phase, _, _ := unstructured.NestedString(pod.Object, "status", "phase"); phase != "Running" {
		return false
	}
	all, _, _ := unstructured.NestedSlice(pod.Object, "status", "containerStatuses")
	return !slices.ContainsFunc(all, func(one any) bool {
		status, _ := one.(map[string]any)
		state, _ := status["state"].(map[string]any)
		return status["name"] == partNode && state["running"] == nil
	})
}

// earlierPods are the names of nodes' pods that run and are not of the revision that
// their service gives requests to.
func (d *Deployer) earlierPods(ctx context.Context) ([]string, error) {
	list, err := d.cluster.list(ctx, nodeServices, d.pool.Namespace, d.pool.mine())
	if err != nil {
		return nil, err
	}
	latest := map[int]string{} // by node
	for i := range list {
		latest[nodeOf(&list[i])], _, _ = unstructured.NestedString(list[i].Object, "status", "latestReadyRevisionName")
	}
	list, err = d.cluster.list(ctx, pods, d.pool.Namespace, d.pool.mine()+","+revisionLabel)
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range list {
		if now := latest[nodeOf(&list[i])]; plays(&list[i]) && now != "" && list[i].GetLabels()[revisionLabel] != now {
			names = append(names, list[i].GetName())
		}
	}
	return names, nil
}
