package knative

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

const (
	partTrial = "proxy-trial"
	// trialLabel is on the pod of a trial, with what is tried.
	trialLabel = labelDomain + "/trial"
)

// trial is a StatefulSet, which a deployer may make anyway, whose pod runs the proxy's
// image to have it read its command line and end. It is beside the proxy's pod if there
// is room: images may be on one machine only.
func (p *Pool) trial() *unstructured.Unstructured {
	labels := p.labels(partTrial)
	labels[trialLabel] = p.trialID()
	return object(m{
		"apiVersion": "apps/v1", "kind": "StatefulSet",
		"metadata": p.metadata(p.trialName(), partTrial),
		"spec": m{
			"replicas":            1,
			"podManagementPolicy": "Parallel",
			"serviceName":         p.linksName(),
			"selector":            m{"matchLabels": p.selector(partTrial)},
			"template": m{
				"metadata": m{"labels": labels},
				"spec": m{
					"serviceAccountName":            p.accountName(partProxy),
					"automountServiceAccountToken":  false,
					"enableServiceLinks":            false,
					"terminationGracePeriodSeconds": 1,
					"affinity": m{"podAffinity": m{"preferredDuringSchedulingIgnoredDuringExecution": l{m{
						"weight": 100,
						"podAffinityTerm": m{
							"topologyKey":   "kubernetes.io/hostname",
							"labelSelector": m{"matchLabels": p.selector(partProxy)},
						},
					}}}},
					"containers": l{m{
						"name":  partTrial,
						"image": p.ProxyImage,
						"args":  append(p.proxyArgs(), "--help"),
						"resources": m{
							"requests": m{"cpu": "10m", "memory": trialMemory},
							"limits":   m{"memory": trialMemory},
						},
						"securityContext": confined(),
						// What the program complains about, which nobody may read the log for.
						"terminationMessagePolicy": "FallbackToLogsOnError",
					}},
				},
			},
		},
	})
}

const trialMemory = "64Mi"

func (p *Pool) trialName() string { return p.Prefix + partTrial }

// trialID tells one trial from another.
func (p *Pool) trialID() string { return digest(fmt.Sprint(p.ProxyImage, p.proxyArgs())) }

// tryProxy sees whether the proxy's new pod will find its image, and whether the program
// in it understands its command line, before there is no other proxy. Where the
// cluster has no room to try, that is told, and nothing else.
func (d *Deployer) tryProxy(ctx context.Context) error {
	trial := d.pool.trial()
	live, err := d.cluster.get(ctx, statefulSets, trial.GetNamespace(), trial.GetName())
	if err != nil {
		return err
	}
	if live != nil && live.GetLabels()[PoolLabel] != d.pool.ID() {
		return d.clash(trial)
	}
	d.tell("try %s, beside the proxy", d.pool.ProxyImage)
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), admitPatience)
		defer cancel()
		if err := d.cluster.delete(ctx, statefulSets, trial.GetNamespace(), trial.GetName()); err != nil {
			d.tell("warning: what tried the proxy's image is left: %v", err)
		}
	}()
	if _, err := d.cluster.apply(ctx, trial, false); err != nil {
		return err
	}
	return d.awaitTrial(ctx)
}

func (d *Deployer) awaitTrial(ctx context.Context) error {
	selector := fmt.Sprintf("%s,%s=%s,%s=%s", d.pool.mine(), partLabel, partTrial, trialLabel, d.pool.trialID())
	deadline := time.Now().Add(d.patience)
	var failing time.Time
	for {
		list, err := d.cluster.list(ctx, pods, d.pool.Namespace, selector)
		if err != nil {
			return err
		}
		state := trialWaits
		for i := range list {
			state = max(state, trialState(&list[i]))
		}
		now := time.Now()
		switch {
		case state == trialDone:
			return nil
		case state != trialFails:
			failing = time.Time{}
		case failing.IsZero():
			failing = now
		}
		lasts, late := state == trialFails && now.Sub(failing) >= settling, now.After(deadline)
		switch {
		case late && state == trialRuns:
			return nil // a program of somebody else's, which at least is there
		case lasts, late && state != trialWaits:
			why := cmp.Or(strings.Join(d.troubles(ctx, selector), "; "), fmt.Sprintf("not started after %v", d.patience))
			return fmt.Errorf("proxyImage %s: nothing is changed, since the proxy's new pod would not start: %s", d.pool.ProxyImage, why)
		case late:
			d.tell("warning: %s was not tried: there is no room for its pod beside the others", d.pool.ProxyImage)
			return nil
		}
		if err := pause(ctx, d.every); err != nil {
			return err
		}
	}
}

// States of a trial, the one that counts last if there are several pods.
const (
	trialWaits  = iota // for a machine
	trialStarts        // its image may be being pulled
	trialRuns
	trialFails
	trialDone
)

// trialState is how far a pod is that tries the proxy's image.
func trialState(u *unstructured.Unstructured) int {
	var pod corev1.Pod
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &pod); err != nil || pod.Spec.NodeName == "" {
		return trialWaits
	}
	at := slices.IndexFunc(pod.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool { return c.Name == partTrial })
	if at < 0 {
		return trialStarts
	}
	c := pod.Status.ContainerStatuses[at]
	for _, end := range []*corev1.ContainerStateTerminated{c.State.Terminated, c.LastTerminationState.Terminated} {
		if end != nil && end.ExitCode == 0 {
			return trialDone
		}
		if end != nil {
			return trialFails
		}
	}
	switch w := c.State.Waiting; {
	case w != nil && !starting(w.Reason):
		return trialFails
	case c.State.Running != nil:
		return trialRuns
	}
	return trialStarts
}
