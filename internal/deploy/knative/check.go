package knative

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Level is how bad a finding is.
type Level string

const (
	OK      Level = "ok"
	Warning Level = "warning" // it works, but not as it could
	Failure Level = "failure" // it does not work
)

// Finding is one thing that was looked at.
type Finding struct {
	Level Level  `json:"level"`
	About string `json:"about"`
	What  string `json:"what"`           // was found
	Mend  string `json:"mend,omitempty"` // how to, unless it is ok
}

// findings collects what a check finds.
type findings []Finding

func (f *findings) ok(about, format string, args ...any) {
	*f = append(*f, Finding{OK, about, fmt.Sprintf(format, args...), ""})
}

func (f *findings) bad(level Level, about, mend, format string, args ...any) {
	*f = append(*f, Finding{level, about, fmt.Sprintf(format, args...), mend})
}

// unseen is about what could not be read: it may be right or wrong.
func (f *findings) unseen(about string, err error) {
	f.bad(Warning, about, "have it granted to you (--policy), or ask who may see it", "not known: %v", err)
}

// Check looks at whether the pool can be deployed and, if it is, whether it works. It
// changes nothing. The rest is left out where an answer makes it pointless.
func (d *Deployer) Check(ctx context.Context) []Finding {
	var f findings
	version, err := d.cluster.discovery.ServerVersion()
	if err != nil {
		f.bad(Failure, "cluster", "see KUBECONFIG and --context, and whether the cluster is up", "not reachable: %v", err)
		return f
	}
	f.ok("cluster", "Kubernetes %s", version.GitVersion)
	if !d.checkKnative(ctx, &f) || !d.checkNamespace(ctx, &f) {
		return f
	}
	d.checkPermissions(ctx, &f)
	d.checkSettings(ctx, &f)
	d.checkQuotas(ctx, &f)
	d.checkMachines(ctx, &f)
	d.checkVolume(ctx, &f)
	d.checkNodes(ctx, &f)
	d.checkProxy(ctx, &f)
	return f
}

func (d *Deployer) checkKnative(ctx context.Context, f *findings) bool {
	const about = "Knative Serving"
	if _, err := d.cluster.discovery.ServerResourcesForGroupVersion(servingV1); err != nil {
		f.bad(Failure, about, "install Knative Serving, or choose the cluster that has it", "%s is not known to the cluster: %v", servingV1, err)
		return false
	}
	controller, err := d.cluster.get(ctx, deployments, servingNamespace, "controller")
	switch {
	case err != nil:
		f.unseen(about, err)
	case controller == nil:
		f.bad(Warning, about, "look at the namespace "+servingNamespace, "its controller is not there")
	default:
		version := controller.GetLabels()["app.kubernetes.io/version"]
		if ready, _, _ := unstructured.NestedInt64(controller.Object, "status", "readyReplicas"); ready == 0 {
			f.bad(Failure, about, "kubectl -n "+servingNamespace+" describe deployment controller", "its controller does not run")
			return true
		}
		f.ok(about, "version %s", nonEmpty(version, "not told")[0])
	}
	return true
}

func (d *Deployer) checkNamespace(ctx context.Context, f *findings) bool {
	const about = "namespace"
	name := d.pool.Namespace
	switch u, err := d.cluster.get(ctx, namespaces, "", name); {
	case err != nil:
		f.unseen(about, err)
	case u == nil:
		f.bad(Failure, about, "kubectl create namespace "+name, "there is no namespace %s", name)
		return false
	case u.GetDeletionTimestamp() != nil:
		f.bad(Failure, about, "wait until it is gone, then create it", "%s is being deleted", name)
		return false
	default:
		f.ok(about, "%s", name)
	}
	return true
}

func (d *Deployer) checkPermissions(ctx context.Context, f *findings) {
	const about = "permissions"
	var missing []string
	for _, one := range permissions() {
		for _, verb := range one.verbs {
			ok, err := d.cluster.allowed(ctx, one.on, d.pool.Namespace, verb)
			if err != nil {
				f.unseen(about, err)
				return
			}
			if !ok {
				missing = append(missing, strings.TrimSuffix(verb+" "+one.on.plural+"."+one.on.group, "."))
			}
		}
	}
	if len(missing) > 0 {
		f.bad(Failure, about, "have what \"infinicache deploy knative --policy\" prints granted to you", "you may not %s", strings.Join(missing, ", "))
		return
	}
	f.ok(about, "all that a deployment needs")
}

// checkSettings compares the pool with Knative's configuration.
func (d *Deployer) checkSettings(ctx context.Context, f *findings) {
	setting := func(about, name, key, otherwise string) (string, bool) {
		value, err := d.setting(ctx, name, key, otherwise)
		if err != nil {
			f.unseen(about, err)
		}
		return value, err == nil
	}
	patch := func(name, key, value string) string {
		return fmt.Sprintf(`kubectl -n %s patch configmap %s --type merge -p '{"data":{"%s":"%s"}}'`, servingNamespace, name, key, value)
	}
	if d.pool.Spread != None {
		const about = "spread"
		mend := patch(featuresMap, spreadFeature, "enabled") + ", or spread: " + None
		switch value, ok := setting(about, featuresMap, spreadFeature, "disabled"); {
		case !ok:
		case enabled(value):
			f.ok(about, "%s is %s", spreadFeature, value)
		case d.pool.Spread == Preferred:
			f.bad(Warning, about, mend, "spread: %s is left out, since Knative's feature %s is %s", d.pool.Spread, spreadFeature, value)
		default:
			f.bad(Failure, about, mend, "spread: %s needs Knative's feature %s, which is %s", d.pool.Spread, spreadFeature, value)
		}
	}
	const about, name, key = "timeout", "config-defaults", "max-revision-timeout-seconds"
	if value, ok := setting(about, name, key, "600"); ok {
		most, err := strconv.ParseFloat(value, 64)
		if need := d.pool.Timeout.Seconds(); err == nil && need > most {
			f.bad(Failure, about, fmt.Sprintf("%s, or timeout: %ss", patch(name, key, strconv.Itoa(int(need))), value),
				"timeout: %v is above Knative's %s of %s", d.pool.Timeout.Duration, key, value)
		} else {
			f.ok(about, "%v of at most %ss", d.pool.Timeout.Duration, value)
		}
	}
	if d.pool.StartAsleep {
		const about, name, key = "startAsleep", "config-autoscaler", "allow-zero-initial-scale"
		if value, ok := setting(about, name, key, "false"); ok && value != "true" {
			f.bad(Failure, about, patch(name, key, "true")+", or startAsleep: false", "startAsleep: true needs Knative's %s, which is %s", key, value)
		}
	}
}

// checkQuotas compares what the namespace still has with what the nodes that do not
// run yet need.
func (d *Deployer) checkQuotas(ctx context.Context, f *findings) {
	const about = "quota"
	all, err := d.cluster.list(ctx, quotas, d.pool.Namespace, "")
	if err != nil {
		f.unseen(about, err)
		return
	}
	running, err := d.cluster.list(ctx, pods, d.pool.Namespace, d.pool.mine()+","+partLabel+"="+partNode)
	if err != nil {
		f.unseen(about, err)
		return
	}
	nodes := map[int]bool{} // one may have pods of several revisions
	for i := range running {
		nodes[nodeOf(&running[i])] = true
	}
	missing := max(0, d.pool.Nodes-len(nodes))
	cpu, _ := resource.ParseQuantity(d.pool.CPU)
	need := map[string]int64{ // in thousandths
		"limits.memory": int64(missing) * int64(d.pool.Memory) * 1000, "requests.memory": int64(missing) * int64(d.pool.Memory) * 1000,
		"memory": int64(missing) * int64(d.pool.Memory) * 1000, "requests.cpu": int64(missing) * cpu.MilliValue(),
		"cpu": int64(missing) * cpu.MilliValue(), "pods": int64(missing) * 1000,
	}
	short := false
	for i := range all {
		hard, _, _ := unstructured.NestedStringMap(all[i].Object, "status", "hard")
		used, _, _ := unstructured.NestedStringMap(all[i].Object, "status", "used")
		for name, most := range sorted(hard) {
			h, err := resource.ParseQuantity(most)
			u, _ := resource.ParseQuantity(used[name])
			if left := h.MilliValue() - u.MilliValue(); err == nil && need[name] > left {
				short = true
				f.bad(Failure, about, "raise the quota, or give the pool fewer or smaller nodes",
					"quota %s has %s of %s in use; the %d nodes that do not run need more than is left", all[i].GetName(), used[name], most, missing)
			}
		}
	}
	if !short {
		f.ok(about, "none in the way")
	}
}

// checkMachines looks whether there are machines to spread the nodes over.
func (d *Deployer) checkMachines(ctx context.Context, f *findings) {
	const about = "machines"
	all, err := d.cluster.list(ctx, machines, "", "")
	if err != nil {
		return // who deploys need not see them
	}
	usable := 0
	for i := range all {
		if off, _, _ := unstructured.NestedBool(all[i].Object, "spec", "unschedulable"); !off && conditionOf(&all[i], "Ready").status == "True" {
			usable++
		}
	}
	switch {
	case usable == 0:
		f.bad(Failure, about, "kubectl get nodes", "none takes pods")
	case usable == 1 && d.pool.Nodes > 1:
		f.bad(Warning, about, "add machines", "all nodes share one machine and are lost with it")
	default:
		f.ok(about, "%d", usable)
	}
}

// checkNodes looks at the nodes that are deployed, and at their pods.
func (d *Deployer) checkNodes(ctx context.Context, f *findings) {
	const about = "nodes"
	all, err := d.cluster.list(ctx, nodeServices, d.pool.Namespace, d.pool.mine())
	if err != nil {
		f.unseen(about, err)
		return
	}
	ready, deployed := 0, 0
	used := revisions{}
	for i := range all {
		used.add(&all[i])
		node := nodeOf(&all[i])
		if node < 0 || node >= d.pool.Nodes {
			f.bad(Warning, about, "deploy", "ksvc %s is not of the pool file", all[i].GetName())
			continue
		}
		deployed++
		if r := serviceReadiness(&all[i]); r.ready {
			ready++
		} else {
			f.bad(Failure, about, "mend the cause and deploy", "ksvc %s is not ready: %s", all[i].GetName(), r.why)
		}
	}
	if deployed < d.pool.Nodes {
		f.bad(Warning, about, "deploy", "%d of %d are deployed", deployed, d.pool.Nodes)
	} else if ready == deployed {
		f.ok(about, "all %d services are ready", ready)
	}
	d.checkPods(ctx, f, "pods of nodes", partNode, used)
}

func (d *Deployer) checkPods(ctx context.Context, f *findings, about, part string, used revisions) {
	list, err := d.cluster.list(ctx, pods, d.pool.Namespace, d.pool.mine()+","+partLabel+"="+part)
	if err != nil {
		f.unseen(about, err)
		return
	}
	for i := range list {
		for _, trouble := range d.podTroubles(ctx, &list[i]) {
			if pod := list[i].GetName(); used.left(&list[i]) {
				revision := list[i].GetLabels()[revisionLabel]
				f.bad(Warning, about, "kubectl -n "+d.pool.Namespace+" delete revision "+revision,
					"pod %s is left of revision %s, which is not used any more; it takes room, and a drain of machines waits for it: %s", pod, revision, trouble)
			} else {
				f.bad(Failure, about, "kubectl -n "+d.pool.Namespace+" describe pods -l "+d.pool.mine(), "pod %s: %s", pod, trouble)
			}
		}
	}
}

func (d *Deployer) checkProxy(ctx context.Context, f *findings) {
	const about = "proxy"
	u, err := d.cluster.get(ctx, statefulSets, d.pool.Namespace, d.pool.ProxyName())
	if err != nil {
		f.unseen(about, err)
		return
	}
	if u == nil {
		f.bad(Warning, about, "deploy", "it is not deployed")
		return
	}
	if r := proxyReadiness(u); r.ready {
		f.ok(about, "ready")
	} else {
		f.bad(Failure, about, "kubectl -n "+d.pool.Namespace+" logs "+d.pool.ProxyName()+"-0", "%s", r.why)
	}
	d.checkPods(ctx, f, "pod of the proxy", partProxy, nil)
}
