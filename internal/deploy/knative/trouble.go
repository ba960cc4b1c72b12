package knative

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// remedies are what to do about the reasons that Kubernetes gives.
var remedies = map[string]string{
	"ErrImagePull":      pullRemedy,
	"ImagePullBackOff":  pullRemedy,
	"ErrImageNeverPull": pullRemedy,
	"InvalidImageName":  "mend the image's name in the pool file",
	"Unschedulable":     "give the cluster room, or the nodes less memory or cpu, or spread: preferred",
	"Evicted":           "its machine ran out of memory or disk: keep less on it",
	"OOMKilled":         "it used more memory than the pool file gives it: see its log, and raise memory",
	"CrashLoopBackOff":  "its program ends by itself: kubectl logs --previous says why",
}

const pullRemedy = "load the image where the cluster pulls from, or mend its name in the pool file"

// troubles are what keeps the pods that a selector matches from running, a line each;
// what cannot be read is left out.
func (d *Deployer) troubles(ctx context.Context, selector string) []string {
	list, err := d.cluster.list(ctx, pods, d.pool.Namespace, selector)
	if err != nil {
		return nil
	}
	var all []string
	for i := range list {
		for _, trouble := range d.podTroubles(ctx, &list[i]) {
			all = append(all, fmt.Sprintf("pod %s: %s", list[i].GetName(), trouble))
		}
	}
	return all
}

// podTroubles are those of one pod.
func (d *Deployer) podTroubles(ctx context.Context, u *unstructured.Unstructured) []string {
	var pod corev1.Pod
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &pod); err != nil {
		return nil
	}
	all := podReasons(&pod)
	if len(all) == 0 && pod.Status.Phase == corev1.PodPending {
		all = append(all, "pending")
		all = append(all, d.warnings(ctx, pod.Name)...)
	}
	return all
}

// podReasons are the reasons that a pod's status gives for its not running.
func podReasons(pod *corev1.Pod) []string {
	var all []string
	add := func(reason, message string) {
		text := strings.Join(nonEmpty(reason, message), ": ")
		if remedy := remedies[reason]; remedy != "" {
			text += " (" + remedy + ")"
		}
		all = append(all, text)
	}
	if pod.Status.Phase == corev1.PodFailed {
		add(pod.Status.Reason, pod.Status.Message)
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			add(c.Reason, c.Message)
		}
	}
	for _, c := range pod.Status.ContainerStatuses {
		if w := c.State.Waiting; w != nil && !starting(w.Reason) {
			add(w.Reason, w.Message)
		}
		for _, end := range []*corev1.ContainerStateTerminated{c.State.Terminated, c.LastTerminationState.Terminated} {
			if end != nil && end.ExitCode != 0 && pod.DeletionTimestamp == nil {
				add(end.Reason, strings.Join(nonEmpty(fmt.Sprintf("%s ended with code %d", c.Name, end.ExitCode), oneLine(end.Message)), ": "))
			}
		}
	}
	return slices.Compact(all)
}

// starting tells whether a container that waits for such a reason is on its way.
func starting(reason string) bool {
	return reason == "ContainerCreating" || reason == "PodInitializing"
}

// oneLine is the beginning of what a program said.
func oneLine(text string) string {
	return fmt.Sprintf("%.400s", strings.ReplaceAll(strings.TrimSpace(text), "\n", "; "))
}

// warnings are what events say of a pod, the latest last.
func (d *Deployer) warnings(ctx context.Context, pod string) []string {
	list, err := d.cluster.of(events, d.pool.Namespace).List(ctx, metav1.ListOptions{
		FieldSelector: "involvedObject.kind=Pod,type=Warning,involvedObject.name=" + pod, Limit: 50,
	})
	if err != nil {
		return nil
	}
	var all []string
	for i := range list.Items {
		reason, _, _ := unstructured.NestedString(list.Items[i].Object, "reason")
		message, _, _ := unstructured.NestedString(list.Items[i].Object, "message")
		if text := strings.Join(nonEmpty(reason, message), ": "); !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	return all[max(0, len(all)-3):]
}
