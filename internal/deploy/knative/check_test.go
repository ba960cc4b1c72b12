package knative

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// furnish gives the API server what a cluster has in which a pool works.
func furnish(s *apiServer) {
	config := func(name string, data m) {
		s.put("/api/v1/namespaces/knative-serving/configmaps/"+name, m{"kind": "ConfigMap", "apiVersion": "v1", "metadata": m{"name": name}, "data": data})
	}
	s.put("/apis/apps/v1/namespaces/knative-serving/deployments/controller", m{
		"kind": "Deployment", "apiVersion": "apps/v1",
		"metadata": m{"name": "controller", "labels": m{"app.kubernetes.io/version": "1.15.2"}}, "status": m{"readyReplicas": 1},
	})
	config("config-features", m{"kubernetes.podspec-topologyspreadconstraints": "enabled"})
	config("config-defaults", m{})
	config("config-autoscaler", m{"allow-zero-initial-scale": "true"})
	for _, name := range []string{"one", "two"} {
		s.put("/api/v1/nodes/"+name, m{"kind": "Node", "apiVersion": "v1", "metadata": m{"name": name}, "status": m{"conditions": l{m{"type": "Ready", "status": "True"}}}})
	}
	s.put("/apis/storage.k8s.io/v1/storageclasses/fast", m{"kind": "StorageClass", "apiVersion": "storage.k8s.io/v1", "metadata": m{
		"name": "fast", "annotations": m{"storageclass.kubernetes.io/is-default-class": "true"},
	}})
}

// faulty are the findings that are not ok, as text.
func faulty(all []Finding) []string {
	var bad []string
	for _, f := range all {
		if f.Level != OK {
			bad = append(bad, string(f.Level)+": "+f.About+": "+f.What+" | "+f.Mend)
		}
	}
	return bad
}

func TestCheckOfGoodPool(t *testing.T) {
	s := newAPIServer(t)
	furnish(s)
	d := deployerFor(t, s, load(t, "small.yaml"), nil)
	if err := deployPool(t, d); err != nil {
		t.Fatal(err)
	}
	s.changed()
	if bad := faulty(d.Check(t.Context())); len(bad) > 0 {
		t.Errorf("complaints about a good pool: %q", bad)
	}
	if calls := s.changed(); len(calls) > 0 {
		t.Errorf("a check changes the cluster: %q", calls)
	}
}

func TestCheckFinds(t *testing.T) {
	pod := func(status m) m {
		return m{"kind": "Pod", "apiVersion": "v1", "metadata": m{"name": "p", "labels": m{PoolLabel: "cache", partLabel: partNode, NodeLabel: "0"}}, "status": status}
	}
	const podPath = "/api/v1/namespaces/default/pods/p"
	for name, c := range map[string]struct {
		spoil func(s *apiServer, p *Pool)
		want  []string // in one finding
	}{
		"no cluster":            {func(s *apiServer, _ *Pool) { s.refuse = always("/version") }, []string{"failure: cluster: not reachable"}},
		"no Knative":            {func(s *apiServer, _ *Pool) { s.refuse = always("/apis/serving.knative.dev/v1") }, []string{"failure: Knative Serving", "install"}},
		"no namespace":          {func(_ *apiServer, p *Pool) { p.Namespace = "missing" }, []string{"failure: namespace", "kubectl create namespace missing"}},
		"no permission":         {func(s *apiServer, _ *Pool) { s.forbidden = []string{"patch configmaps"} }, []string{"failure: permissions: you may not patch configmaps", "--policy"}},
		"no spreading":          {func(s *apiServer, _ *Pool) { configure(s, "config-features", m{}) }, []string{"warning: spread", "is left out", "kubectl -n knative-serving patch"}},
		"no spread":             {func(s *apiServer, p *Pool) { p.Spread = Required; configure(s, "config-features", m{}) }, []string{"failure: spread", "which is disabled", "kubectl -n knative-serving patch"}},
		"long timeout":          {func(_ *apiServer, p *Pool) { p.Timeout.Duration *= 6 }, []string{"failure: timeout: timeout: 30m0s is above", "600", `"1800"`}},
		"asleep":                {func(s *apiServer, p *Pool) { p.StartAsleep = true; configure(s, "config-autoscaler", m{}) }, []string{"failure: startAsleep", "allow-zero-initial-scale"}},
		"one machine":           {func(s *apiServer, _ *Pool) { delete(s.objects, "/api/v1/nodes/two") }, []string{"warning: machines: all nodes share one machine"}},
		"no volume":             {func(_ *apiServer, p *Pool) { p.StorageClass = "slow" }, []string{"warning: volume: the cluster has no storage class slow: there has to be a volume of slow, ReadWriteOnce, 1Gi or more", "infinicache.dev/pool=cache"}},
		"no default class":      {func(s *apiServer, _ *Pool) { delete(s.objects, classPath+"fast") }, []string{"warning: volume: the cluster has no default storage class: there has to be a volume of no class"}},
		"no provisioner":        {func(s *apiServer, _ *Pool) { class(s, m{"provisioner": noProvisioner}) }, []string{"warning: volume: storage class fast makes no volumes: there has to be a volume of fast"}},
		"claim without class":   {func(s *apiServer, _ *Pool) { claim(s, "Pending", m{"storageClassName": ""}) }, []string{"warning: volume: the claim asks for no storage class"}},
		"claim not provisioned": {func(s *apiServer, _ *Pool) { claim(s, "Pending", m{"storageClassName": "fast"}) }, []string{"warning: volume: claim journal-cache-proxy-0 is not bound: storage class fast", "describe"}},
		"claim lost":            {func(s *apiServer, _ *Pool) { claim(s, "Lost", m{}) }, []string{"failure: volume: claim journal-cache-proxy-0 has lost its volume"}},
		"claim deleted": {func(s *apiServer, _ *Pool) {
			claim(s, "Bound", m{}).SetDeletionTimestamp(&metav1.Time{Time: time.Now()})
		}, []string{"failure: volume: claim journal-cache-proxy-0 is being deleted"}},
		"not deployed": {func(*apiServer, *Pool) {}, []string{"warning: nodes: 0 of 2 are deployed"}},
		"quota":        {spoilQuota, []string{"failure: quota: quota q has 1Gi of 1536Mi in use", "2 nodes"}},
		"evicted": {func(s *apiServer, _ *Pool) {
			s.put(podPath, pod(m{"phase": "Failed", "reason": "Evicted", "message": "low on memory"}))
		}, []string{"failure: pods of nodes: pod p: Evicted: low on memory", "keep less"}},
		"left of a bad revision": {func(s *apiServer, _ *Pool) { spoilRevision(s, "cache-0-00002") }, []string{
			"warning: pods of nodes: pod p is left of revision cache-0-00002", "ErrImagePull", "kubectl -n default delete revision cache-0-00002",
		}},
		"of the revision to come": {func(s *apiServer, _ *Pool) { spoilRevision(s, "cache-0-00004") }, []string{"failure: pods of nodes: pod p: ErrImagePull"}},
		"crashing":                {func(s *apiServer, _ *Pool) { s.put(podPath, pod(crashing)) }, []string{"failure: pods of nodes: pod p: OOMKilled: node ended with code 137", "raise memory"}},
		"pending silent":          {spoilPending, []string{"failure: pods of nodes: pod p: FailedMount: no such volume"}},
		"unready": {func(s *apiServer, _ *Pool) {
			u := &unstructured.Unstructured{Object: m{"status": m{"conditions": l{m{"type": "Ready", "status": "False", "reason": "Gone"}}}}}
			u.SetLabels(map[string]string{PoolLabel: "cache", NodeLabel: "1"})
			u.SetKind("Service")
			u.SetAPIVersion(servingV1)
			u.SetName("cache-1")
			s.put(knativePath+"cache-1", u.Object)
		}, []string{"failure: nodes: ksvc cache-1 is not ready: Gone"}},
	} {
		s := newAPIServer(t)
		furnish(s)
		p := load(t, "small.yaml")
		c.spoil(s, p)
		bad := faulty(deployerFor(t, s, p, nil).Check(t.Context()))
		if !slices.ContainsFunc(bad, func(finding string) bool {
			return !slices.ContainsFunc(c.want, func(part string) bool { return !strings.Contains(finding, part) })
		}) {
			t.Errorf("%s: no finding says %q in:\n%s", name, c.want, strings.Join(bad, "\n"))
		}
		for _, finding := range bad {
			if strings.HasSuffix(finding, "| ") {
				t.Errorf("%s: %q does not say how to mend it", name, finding)
			}
		}
	}
}

var crashing = m{"phase": "Running", "containerStatuses": l{m{
	"name": "node", "state": m{"waiting": m{"reason": "CrashLoopBackOff"}},
	"lastState": m{"terminated": m{"exitCode": 137, "reason": "OOMKilled"}},
}}}

func always(path string) func(string, string) (int, string) {
	return func(_, at string) (int, string) {
		if at == path {
			return 404, "not there"
		}
		return 0, ""
	}
}

func configure(s *apiServer, name string, data m) {
	s.put("/api/v1/namespaces/knative-serving/configmaps/"+name, m{"kind": "ConfigMap", "apiVersion": "v1", "metadata": m{"name": name}, "data": data})
}

func spoilQuota(s *apiServer, _ *Pool) {
	s.put("/api/v1/namespaces/default/resourcequotas/q", m{"kind": "ResourceQuota", "apiVersion": "v1", "metadata": m{"name": "q"}, "status": m{
		"hard": m{"limits.memory": "1536Mi"}, "used": m{"limits.memory": "1Gi"},
	}})
}

func spoilPending(s *apiServer, _ *Pool) {
	s.put("/api/v1/namespaces/default/pods/p", m{"kind": "Pod", "apiVersion": "v1", "metadata": m{
		"name": "p", "labels": m{PoolLabel: "cache", partLabel: partNode},
	}, "status": m{"phase": "Pending"}})
	s.put("/api/v1/namespaces/default/events/e", m{"kind": "Event", "apiVersion": "v1", "metadata": m{"name": "e"}, "reason": "FailedMount", "message": "no such volume"})
}

// spoilRevision has a pod of a revision that cannot be pulled, where the service leads to
// the third and makes the fourth.
func spoilRevision(s *apiServer, revision string) {
	s.put(knativePath+"cache-0", m{"kind": "Service", "apiVersion": servingV1, "metadata": m{
		"name": "cache-0", "labels": m{PoolLabel: "cache", NodeLabel: "0"},
	}, "status": m{"conditions": l{m{"type": "Ready", "status": "True"}}, "latestReadyRevisionName": "cache-0-00003", "latestCreatedRevisionName": "cache-0-00004"}})
	s.put("/api/v1/namespaces/default/pods/p", m{"kind": "Pod", "apiVersion": "v1", "metadata": m{
		"name": "p", "labels": m{PoolLabel: "cache", partLabel: partNode, NodeLabel: "0", revisionLabel: revision},
	}, "status": m{"phase": "Pending", "containerStatuses": l{m{"name": partNode, "state": m{"waiting": m{"reason": "ErrImagePull"}}}}}})
}

// TestLeftPodsDoNotCount sees that pods of revisions that never became ready are neither
// taken for nodes that run nor waited for.
func TestLeftPodsDoNotCount(t *testing.T) {
	s := newAPIServer(t)
	furnish(s)
	spoilRevision(s, "cache-0-00002")
	for i, state := range []m{{"waiting": m{"reason": "CrashLoopBackOff"}}, {"running": m{}}} {
		name := fmt.Sprintf("q%d", i)
		s.put("/api/v1/namespaces/default/pods/"+name, m{"kind": "Pod", "apiVersion": "v1", "metadata": m{
			"name": name, "labels": m{PoolLabel: "cache", partLabel: partNode, NodeLabel: "0", revisionLabel: "cache-0-00001"},
		}, "status": m{"phase": "Running", "containerStatuses": l{m{"name": "queue-proxy", "state": m{"running": m{}}}, m{"name": partNode, "state": state}}}})
	}
	spoilQuota(s, nil) // has 512 MiB left, of which each node takes all
	d := deployerFor(t, s, load(t, "small.yaml"), nil)
	earlier, err := d.earlierPods(t.Context())
	if err != nil || !slices.Equal(earlier, []string{"q1"}) {
		t.Errorf("pods that are waited for: %v, %v, want the one that runs", earlier, err)
	}
	var f findings
	if d.checkQuotas(t.Context(), &f); len(f) != 1 || f[0].Level != OK {
		t.Errorf("one node without a pod, and room for one: %v", f)
	}
	d.pool.Nodes = 3
	f = nil
	if d.checkQuotas(t.Context(), &f); len(f) != 1 || f[0].Level != Failure || !strings.Contains(f[0].What, "the 2 nodes") {
		t.Errorf("two nodes without a pod, and room for one: %v", f)
	}
}

const classPath = "/apis/storage.k8s.io/v1/storageclasses/"

// class has the default storage class be another one.
func class(s *apiServer, fields m) {
	s.put(classPath+"fast", merge(s.objects[classPath+"fast"].server, fields))
}

// claim makes the proxy's.
func claim(s *apiServer, phase string, spec m) *unstructured.Unstructured {
	const path = "/api/v1/namespaces/default/persistentvolumeclaims/journal-cache-proxy-0"
	s.put(path, m{
		"kind": "PersistentVolumeClaim", "apiVersion": "v1", "metadata": m{"name": "journal-cache-proxy-0"}, "spec": spec, "status": m{"phase": phase},
	})
	return &unstructured.Unstructured{Object: s.objects[path].server}
}

// TestVolumesThatComeLater sees that nothing is said against a claim that is bound when the
// proxy's pod is there.
func TestVolumesThatComeLater(t *testing.T) {
	for name, spoil := range map[string]func(s *apiServer){
		"none yet": func(s *apiServer) { class(s, m{"provisioner": "p", "volumeBindingMode": "WaitForFirstConsumer"}) },
		"pending": func(s *apiServer) {
			class(s, m{"volumeBindingMode": "WaitForFirstConsumer"})
			claim(s, "Pending", m{"storageClassName": "fast"})
		},
		"bound by hand": func(s *apiServer) { delete(s.objects, classPath+"fast"); claim(s, "Bound", m{"storageClassName": ""}) },
	} {
		s := newAPIServer(t)
		furnish(s)
		spoil(s)
		var f findings
		if deployerFor(t, s, load(t, "small.yaml"), nil).checkVolume(t.Context(), &f); len(f) != 1 || f[0].Level != OK {
			t.Errorf("%s: %v", name, f)
		}
	}
}
